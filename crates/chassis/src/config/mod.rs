//! Settings from the environment, checked in one pass.
//!
//! Invariant: a [`Reader`] does not stop at a mistake. It records the mistake and returns a placeholder.
//! [`Reader::finish`] returns all mistakes together as its error, so that no placeholder is ever used.

mod address;
mod alerts;
mod edge;
mod keys;
mod observe;
mod reader;
mod report;
mod sections;
mod servers;
mod source;
#[cfg(test)]
mod tests;
mod tls;

pub use alerts::{Alerts, Telegram};
pub use edge::{Http, RateLimit};
pub use keys::{ApiKey, EncryptionKey};
pub(crate) use observe::{Log, LogFile, LogFormat};
pub(crate) use reader::{Absent, NearMiss};
pub use reader::{Mistake, Reader};
pub(crate) use report::{list, list_json, print_effective, print_mistakes, print_near_misses};
pub use sections::{Auth, Encryption};
pub use servers::{Amqp, Database, Redis};
pub use tls::Tls;
