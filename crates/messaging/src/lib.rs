//! Events between services over RabbitMQ: published at least once, applied exactly once.
//!
//! - An event is inserted into the [`outbox`] in the transaction of the change.
//! - The [`Relay`] publishes outbox rows, and deletes a row only when the broker has confirmed it.
//! - A [`Consumer`] applies events in batches: effects and inbox rows commit in one transaction, then it acknowledges.
//!
//! A crash at any point may publish an event twice. Its effect happens once.

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
mod schema;
mod topology;
mod trace;

pub use broker::Broker;
pub use consumer::{Consumer, Failure, Handler};
pub use error::Error;
pub use inbox::RETAIN_EVENTS;
pub use relay::Relay;

/// The migration that creates the outbox. Services include it unchanged.
pub const OUTBOX_SQL: &str = include_str!("../sql/outbox.sql");
/// The migration that creates the inbox. Services include it unchanged.
pub const INBOX_SQL: &str = include_str!("../sql/inbox.sql");
