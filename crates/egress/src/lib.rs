//! The one place that builds HTTP clients: bounded in time, never redirected, and, where the address comes from
//! outside, kept away from private networks.

mod cause;
mod client;
mod redact;
mod resend;
mod retry_after;
pub mod ssrf;
mod tls;
mod trace;

pub use cause::cause;
pub use client::{Clients, Error, Settings, client};
pub use redact::redact;
pub use resend::GuardedClient;
pub use retry_after::retry_after;
pub use tls::{Tls, TlsError};
pub use trace::traced;
