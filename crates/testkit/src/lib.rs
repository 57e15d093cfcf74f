//! What tests against real servers need. A dev-dependency only.
//!
//! The servers are named by the environment that `cargo xtask test` sets.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that cannot be set up fails by panicking"
)]

mod access;
mod collector;
mod database;
pub mod openapi;
mod program;
mod telegram;
mod vhost;
mod wait;

pub use access::every_route_guards_itself;
pub use collector::{Collector, Span};
pub use database::Database;
pub use program::Program;
pub use telegram::{Post, Telegram};
pub use vhost::Vhost;
pub use wait::eventually;

/// The Redis of the test run.
///
/// # Panics
/// When there is none.
pub fn redis_url() -> String {
    given("REDIS_URL")
}

/// A variable that `cargo xtask test` sets.
fn given(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_unset| panic!("{name} is not set: run `cargo xtask test`"))
}
