//! Tests across crates and services.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

mod allegro;
mod contract;
mod errors;
mod sandbox_rules;
