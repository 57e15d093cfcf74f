//! What tests against real servers need. A dev-dependency only.
//!
//! The servers are named by the environment that `cargo xtask test` sets.

#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot be set up fails by panicking")]

mod database;
mod vhost;
mod wait;

pub use database::Database;
pub use vhost::Vhost;
pub use wait::eventually;

/// A variable that `cargo xtask test` sets.
fn given(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_unset| panic!("{name} is not set: run `cargo xtask test`"))
}
