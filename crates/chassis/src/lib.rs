//! The frame of a binary: configuration, log and traces, lifecycle, command line.
//!
//! A service's `main` is one line, [`run`]. Its [`Service`] implementation holds everything that differs between
//! services.

mod cli;
mod commands;
pub mod config;
pub mod jwt;
mod lifecycle;
mod observe;
mod probe;
mod service;
mod token;
mod waiting;

#[cfg(all(not(feature = "jemalloc"), not(debug_assertions)))]
compile_error!(
    "an optimized service allocates with jemalloc: add `--features chassis/jemalloc` (docs/adr/0095)"
);

/// Memory is often allocated on one thread and freed on another. With the system's allocator these threads wait for
/// each other, and each retains the memory that it once used (ADR 0095).
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

pub use commands::Commands;
pub use lifecycle::{Lifecycle, Outcome, Signals};
pub use service::{Roles, ServeContext, Service, run};
