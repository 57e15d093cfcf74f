//! Builds all HTTP clients: with time limits, without redirects, and, for addresses that users supply, without access
//! to private networks.

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
