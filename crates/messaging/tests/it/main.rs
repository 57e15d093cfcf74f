//! Outbox, relay, consumer and inbox on a real Postgres and a real RabbitMQ.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod consuming;
mod relaying;
mod support;
