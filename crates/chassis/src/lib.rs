//! What a binary needs to exist: configuration, logs, a life from start to stop, a command line.
//!
//! A service's `main` is one line, [`run`]; what makes it itself is its [`Service`] implementation.

mod cli;
mod commands;
pub mod config;
mod lifecycle;
mod observe;
mod probe;
mod service;
mod token;
mod waiting;

/// What is made on one thread ends on another: in the system's allocator threads wait for each other, and each keeps
/// what it once had (adr 0095).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

pub use commands::Commands;
pub use lifecycle::{Lifecycle, Outcome, Signals};
pub use service::{Roles, ServeContext, Service, run};
