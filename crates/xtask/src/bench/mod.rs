//! `cargo xtask bench`: figures in release, each beside the raw limit met in the same run.

mod backup;
mod backup_print;
mod first_flow;
mod first_sync;
mod page;
mod relay;
mod usage;
mod webhooks;

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
    /// First sync of 100,000 orders, events at 50 a second, 1,000 accounts, and growth.
    Backup,
    /// Deliveries a second to one endpoint and to twenty, delays, one endpoint that hangs, and memory.
    Webhooks,
    /// Only the 1,000 accounts of `backup`, each journal looked at once a minute.
    Accounts,
}

/// Measures and prints a table.
pub(crate) fn run(name: Name, quick: bool, million: bool) -> Result<ExitCode> {
    match name {
        Name::Relay if quick => relay::run(20_000, 1),
        Name::Relay => relay::run(60_000, 3),
        Name::FirstFlow => first_flow::run(if quick { 10_000 } else { 50_000 }),
        Name::Webhooks => webhooks::run(quick),
        Name::Accounts => backup::accounts(if quick { &backup::QUICK } else { &backup::FULL }),
        Name::Backup => backup::run(if quick { &backup::QUICK } else { &backup::FULL }, million),
    }
}

/// Smallest, median and largest.
fn spread<T>(rounds: &[T], figure: impl Fn(&T) -> f64) -> (f64, f64, f64) {
    let mut values: Vec<f64> = rounds.iter().map(figure).collect();
    values.sort_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    (at(0), at(values.len() / 2), at(values.len().saturating_sub(1)))
}
