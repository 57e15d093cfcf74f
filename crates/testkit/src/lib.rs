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
pub mod conformance;
mod database;
mod name_server;
pub mod openapi;
mod program;
mod proxy;
mod side_by_side;
mod telegram;
pub mod token;
mod vhost;
mod wait;

pub use access::every_route_guards_itself;
pub use collector::{Collector, Span};
pub use database::Database;
pub use name_server::{NameReply, NameServer};
pub use program::{Answer, Program, Running};
pub use proxy::Proxy;
pub use side_by_side::{side_by_side, while_asking};
pub use telegram::{Post, Telegram};
pub use vhost::Vhost;
pub use wait::{eventually, eventually_within, wait_for};

/// The Redis of the test run.
///
/// # Panics
/// When there is none.
pub fn redis_url() -> String {
    given("REDIS_URL")
}

/// Tells what was counted; the runner shows it with `--success-output final`.
pub fn tell(text: &str) {
    eprintln!("{text}");
}

/// A variable that `cargo xtask test` sets.
fn given(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_unset| panic!("{name} is not set: run `cargo xtask test`"))
}
