//! `cargo xtask chaos`: kills processes while they work. Counts come from outside the services: the sandbox's journal
//! and the subscriber's records. A kill counts only when work was in flight.

mod backup;
mod callers;
mod first_flow;
mod outages;
mod reading;
mod replicas;
mod stock;
mod stock_expected;
mod stock_submissions;
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
pub(crate) struct Options {
    pub(crate) kills: u32,
    pub(crate) orders: u32,
    pub(crate) outage: Duration,
    pub(crate) minutes: u64,
}

/// Time limit of every wait.
const TIMEOUT: Duration = Duration::from_mins(3);

/// Runs a case. Fails when a guarantee is broken.
pub(crate) fn run(name: Name, options: &Options) -> Result<ExitCode> {
    match name {
        Name::FirstFlow => first_flow::run(options.kills, options.orders),
        Name::Replicas => replicas::run(options.kills),
        Name::Webhooks => webhooks::run("chaos", options.kills),
        Name::RollingRestart => webhooks::run("rolling", options.kills),
        Name::Outages => outages::run(options.outage),
        Name::Stock => stock::run(options.kills, options.orders, options.outage),
        Name::Backup if options.minutes == 0 => backup::load(options.kills, options.orders),
        Name::Backup => backup::soak(Duration::from_secs(options.minutes * 60), options.orders),
        // The tables are the output of these tests. cargo-nextest shows the output of a passing test only on request.
        Name::Failpoints => tests::run(&["failpoints::", "--success-output", "final"], &[]),
    }
}

/// Counts kills, and those with work in flight.
#[derive(Default)]
struct Kills {
    total: u32,
    in_flight: u32,
}

impl Kills {
    fn note(&mut self, was_in_flight: bool) {
        self.total += 1;
        self.in_flight += u32::from(was_in_flight);
    }

    fn is_valid(&self) -> bool {
        self.in_flight * 10 >= self.total * 9
    }

    fn print(&self, name: &str) {
        println!("{name}: killed {} times, work in flight at {}", self.total, self.in_flight);
    }
}
