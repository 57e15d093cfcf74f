//! Durable tasks on a real Postgres.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod cancelling;
mod corrupt_rows;
mod http;
mod kinds;
mod listing;
mod notifying;
mod running;
mod scheduling;
mod support;
