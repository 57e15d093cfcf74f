//! `cargo xtask bench`: figures in release, each beside the raw limit met in the same run.

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

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_mins(10);

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
    /// From the fact that an order is ready to its units' leaving and its mark at allegro-backup.
    Stock,
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
        Name::Stock => stock::run(if quick { &stock::QUICK } else { &stock::FULL }),
        Name::Accounts => backup::accounts(if quick { &backup::QUICK } else { &backup::FULL }),
        Name::Backup => backup::run(if quick { &backup::QUICK } else { &backup::FULL }, million),
    }
}

/// Waits until the broker has every fact of allegro-backup, so that nothing else is under way; returns how long that took.
fn all_told(stack: &Stack) -> Result<Duration> {
    let begun = Instant::now();
    wait_until("all facts are told", PATIENCE, || {
        Ok(stack.ask("allegro_backup", "SELECT count(*) FROM outbox")?.trim() == "0")
    })?;
    Ok(begun.elapsed())
}
