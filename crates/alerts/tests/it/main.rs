//! Alerts on a real Postgres, sent to a Telegram of the test's own.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod corrupt_rows;
mod delivering;
mod sending;
mod support;
