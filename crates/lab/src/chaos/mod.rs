//! `cargo xtask chaos`: kills processes while they work. Counts come from outside the services: the sandbox's journal
//! and the subscriber's records. A kill counts only when work was in flight.

mod backup;
mod callers;
mod first_flow;
mod outages;
mod reading;
mod replicas;
mod stock;
mod stock_hands;
mod stock_truth;
mod webhooks;
mod windows;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum;

use crate::tests;

pub(crate) use windows::Windows;

/// The cases.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Name {
    /// An order's path from Allegro to a subscriber: kills both services, Postgres and RabbitMQ.
    FirstFlow,
    /// Two replicas of every role as separate processes, killed in turn.
    Replicas,
    /// Postgres, Redis and RabbitMQ unavailable for a minute each, under load.
    Outages,
    /// Every failpoint: runs the services' tests of them, and prints their table of point and outcome.
    Failpoints,
    /// allegro-backup for half an hour with all known faults of Allegro; tokens are revoked and replicas killed.
    Backup,
    /// Two replicas of webhook-dispatcher, killed in turn, with endpoints that hang and fail.
    Webhooks,
    /// The same two replicas replaced in turn (SIGTERM) under load: no webhook is repeated or late.
    RollingRestart,
    /// stock-sync: services and servers are killed in turn while orders arrive, and allegro-backup is unavailable for a
    /// time.
    Stock,
}

/// Options of a case.
pub(crate) struct Wish {
    pub(crate) kills: u32,
    pub(crate) orders: u32,
    pub(crate) outage: Duration,
    pub(crate) minutes: u64,
}

/// Time limit of every wait.
const PATIENCE: Duration = Duration::from_mins(3);

/// Runs a case. Fails when a guarantee is broken.
pub(crate) fn run(name: Name, wish: &Wish) -> Result<ExitCode> {
    match name {
        Name::FirstFlow => first_flow::run(wish.kills, wish.orders),
        Name::Replicas => replicas::run(wish.kills),
        Name::Webhooks => webhooks::run("chaos", wish.kills),
        Name::RollingRestart => webhooks::run("rolling", wish.kills),
        Name::Outages => outages::run(wish.outage),
        Name::Stock => stock::run(wish.kills, wish.orders, wish.outage),
        Name::Backup if wish.minutes == 0 => backup::load(wish.kills, wish.orders),
        Name::Backup => backup::soak(Duration::from_secs(wish.minutes * 60), wish.orders),
        // The tables are the output of these tests. cargo-nextest shows the output of a passing test only on request.
        Name::Failpoints => tests::run(&["failpoints::", "--success-output", "final"], &[]),
    }
}

/// Counts kills, and those with work in flight.
#[derive(Default)]
struct Kills {
    total: u32,
    fair: u32,
}

impl Kills {
    fn note(&mut self, is_fair: bool) {
        self.total += 1;
        self.fair += u32::from(is_fair);
    }

    fn is_valid(&self) -> bool {
        self.fair * 10 >= self.total * 9
    }

    fn print(&self, name: &str) {
        println!("{name}: killed {} times, work in flight at {}", self.total, self.fair);
    }
}
