//! `cargo xtask chaos`: kills processes while they work. Counts come from outside the services: the sandbox's journal
//! and the subscriber's own notes. A kill counts as fair only when work was in flight.

mod callers;
mod first_flow;
mod outages;
mod replicas;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum;

use crate::test;

/// What can be killed.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Name {
    /// An order's way from Allegro to a subscriber: both services, Postgres and RabbitMQ.
    FirstFlow,
    /// Two replicas of every role as processes of their own, killed in turn.
    Replicas,
    /// Postgres, Redis and RabbitMQ away for a minute each, under load.
    Outages,
    /// Every failpoint: the services' own tests of them, with their table of point and outcome.
    Failpoints,
}

/// How long anything may take to come about.
const PATIENCE: Duration = Duration::from_mins(3);

/// Runs a case; fails when a promise is not kept.
pub(crate) fn run(name: Name, kills: u32, orders: u32, outage: Duration) -> Result<ExitCode> {
    match name {
        Name::FirstFlow => first_flow::run(kills, orders),
        Name::Replicas => replicas::run(kills),
        Name::Outages => outages::run(outage),
        // The tables are what these tests tell; cargo-nextest shows that of a good test only when it is asked to.
        Name::Failpoints => {
            let asked = ["failpoints::", "--success-output", "final"];
            test::run(&asked.map(str::to_owned))
        }
    }
}

/// How many kills met work in flight.
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
