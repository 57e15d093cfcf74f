//! Outbox, relay, consumer and inbox on a real Postgres and a real RabbitMQ.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod consuming;
mod dead;
mod foreign;
mod panics;
mod relaying;
mod support;
mod tls;
mod unreadable;
