//! Tests across crates and services.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod allegro;
mod contract;
mod errors;
mod sandbox_answers;
mod sandbox_journal;
mod sandbox_limits;
mod sandbox_rules;
mod sandbox_tokens;
mod stock;
mod stock_shop;
