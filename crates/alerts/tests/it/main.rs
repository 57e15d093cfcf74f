//! Alerts on a real Postgres, sent to the test's own Telegram.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod corrupt_rows;
mod delivering;
mod sending;
mod support;
