//! Events between services, over RabbitMQ: told at least once, applied exactly once.
//!
//! - An event is pushed to the [`outbox`] in the transaction of the change it speaks of.
//! - The [`Relay`] tells the broker, and forgets an event only when the broker has confirmed it.
//! - A [`Consumer`] applies events in batches; effect and inbox row commit in one transaction, acknowledged after.
//!
//! Kill any of them anywhere: an event may travel twice, its effect happens once.

mod broker;
mod connection;
mod consumer;
pub mod dead;
mod error;
mod headers;
mod inbox;
pub mod outbox;
mod properties;
mod relay;
mod topology;
mod trace;

pub use broker::Broker;
pub use consumer::{Consumer, Failure, Handler};
pub use error::Error;
pub use inbox::RETAIN_EVENTS;
pub use relay::Relay;

/// The migration that makes the outbox; a service includes it as it is.
pub const OUTBOX_SQL: &str = include_str!("../sql/outbox.sql");
/// The migration that makes the inbox; a service includes it as it is.
pub const INBOX_SQL: &str = include_str!("../sql/inbox.sql");
