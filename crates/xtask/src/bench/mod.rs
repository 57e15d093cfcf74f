//! `cargo xtask bench`: figures in release, each beside the raw limit met in the same run.

mod first_flow;
mod relay;
mod usage;

use std::process::ExitCode;

use anyhow::Result;
use clap::ValueEnum;

/// What is measured.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Name {
    /// Orders a second of a first sync, and deliveries a second to a receiver on this machine.
    FirstFlow,
    /// Facts a second from the outbox of one service to the inbox of another, and how late they come.
    Relay,
}

/// Measures and prints a table.
pub(crate) fn run(name: Name, quick: bool) -> Result<ExitCode> {
    match name {
        Name::Relay if quick => relay::run(20_000, 1),
        Name::Relay => relay::run(60_000, 3),
        Name::FirstFlow => first_flow::run(if quick { 10_000 } else { 50_000 }),
    }
}
