//! The one place that builds HTTP clients: bounded in time, never redirected, and, where the address comes from
//! outside, kept away from private networks.

mod cause;
mod client;
mod redact;
pub mod ssrf;
mod trace;

pub use cause::cause;
pub use client::{Clients, Error, Settings, Tls, client};
pub use redact::redact;
pub use trace::traced;
