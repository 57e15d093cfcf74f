//! The programs of `cargo xtask demo`, `bench`, `chaos`, `contracts` and `nightly`, which builds and runs this crate.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command prints to its user")]

mod bench;
mod chaos;
mod compare;
mod contracts;
mod deadline;
mod demo;
mod nightly;
mod tests;
mod webhook_figures;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use stack::build::Profile;
use stack::reaper;

/// Try, measure and disturb Zaplecze on one machine.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a shop's day on real servers and check that nothing is lost
    Demo {
        /// Leave everything running afterwards and print its addresses
        #[arg(long)]
        keep: bool,
        /// Number of past orders of the shop
        #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        orders: u32,
        /// Build the services with the release profile, which takes several times as long
        #[arg(long)]
        release: bool,
    },
    /// Measure release builds beside raw limits of the same run
    Bench {
        /// The benchmark
        name: bench::Name,
        /// Run fewer rounds
        #[arg(long)]
        quick: bool,
        /// Backup: also measure with a million stored orders (takes 6 GB of memory and some minutes)
        #[arg(long)]
        million: bool,
    },
    /// Kill processes while they work, and check that nothing is lost
    Chaos {
        /// The case
        name: chaos::Name,
        /// How often each service is killed
        #[arg(long, default_value_t = 20)]
        kills: u32,
        /// Number of past orders of the shop; stock: number of new orders
        #[arg(long, default_value_t = 10_000)]
        orders: u32,
        /// Seconds for which each dependency is unavailable; stock: allegro-backup
        #[arg(long, default_value_t = 60)]
        outage: u64,
        /// Backup: duration of the faults in minutes; 0 to kill it while it reads a list instead
        #[arg(long, default_value_t = 30)]
        minutes: u64,
    },
    /// Verify our output with programs of others
    Contracts {
        /// The verifier
        name: contracts::Name,
        /// For `api`: number of generated requests per operation
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
        examples: u32,
        /// For `api`: time limit per service, in seconds
        #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u32).range(1..))]
        seconds: u32,
    },
    /// Run demo, every chaos case, every benchmark and a service made from the template; takes an hour or more
    Nightly {
        /// Only these steps, for example `new-service` or `'chaos outages'`
        steps: Vec<String>,
    },
    /// End the process groups named on standard input once it closes
    #[command(hide = true)]
    Reaper {
        /// The file that is locked until all have ended
        lock: PathBuf,
    },
}

fn main() -> ExitCode {
    stack::exit_code(match Arguments::parse().command {
        Command::Contracts { name, examples, seconds } => {
            contracts::run(name, &contracts::Bounds { examples, seconds })
        }
        Command::Demo { keep, orders, release } => {
            let profile = if release { Profile::Release } else { Profile::Demo };
            demo::run(profile, keep, orders)
        }
        Command::Bench { name, quick, million } => bench::run(name, quick, million),
        Command::Chaos { name, kills, orders, outage, minutes } => {
            let outage = std::time::Duration::from_secs(outage);
            chaos::run(name, &chaos::Options { kills, orders, outage, minutes })
        }
        Command::Nightly { steps } => nightly::run(&steps),
        Command::Reaper { lock } => reaper::serve(&lock),
    })
}
