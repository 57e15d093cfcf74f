//! `cargo xtask bench`: measures release builds, each beside the raw limit of the same run.

mod backup;
mod backup_print;
mod first_flow;
mod first_sync;
mod page;
mod relay;
mod stock;
mod stock_print;
mod stock_sql;
mod table;
mod usage;
mod webhooks;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::ValueEnum;
use stack::Stack;

use crate::demo::wait_until;

/// Time limit of every wait.
const TIMEOUT: Duration = Duration::from_mins(10);

/// The benchmarks.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Name {
    /// First sync in orders/s, and deliveries/s to a local receiver.
    FirstFlow,
    /// Outbox of one service to the inbox of another: events/s, and delay.
    Relay,
    /// First sync of 100,000 orders, events at 50/s, 1,000 accounts, and growth.
    Backup,
    /// Deliveries/s to one endpoint and to twenty, delays, one endpoint that hangs, and memory.
    Webhooks,
    /// From the event that an order is ready to the deduction of its units and its flag at allegro-backup.
    Stock,
    /// Only the 1,000 accounts of `backup`, each journal polled once a minute.
    Accounts,
}

/// Runs a benchmark and prints its table.
pub(crate) fn run(name: Name, quick: bool, million: bool) -> Result<ExitCode> {
    match name {
        Name::Relay if quick => relay::run(20_000, 1),
        Name::Relay => relay::run(60_000, 3),
        Name::FirstFlow => first_flow::run(if quick { 10_000 } else { 50_000 }),
        Name::Webhooks => webhooks::run(quick),
        Name::Stock => stock::run(if quick { &stock::QUICK } else { &stock::FULL }),
        Name::Accounts => backup::accounts(if quick { &backup::QUICK } else { &backup::FULL }),
        Name::Backup => backup::run(if quick { &backup::QUICK } else { &backup::FULL }, million),
    }
}

/// Waits until the broker has every event of allegro-backup, so that no work is in progress; returns how long that
/// took.
fn all_published(stack: &Stack) -> Result<Duration> {
    let begun = Instant::now();
    wait_until("all events are published", TIMEOUT, || {
        Ok(stack.ask("allegro_backup", "SELECT count(*) FROM outbox")?.trim() == "0")
    })?;
    Ok(begun.elapsed())
}
