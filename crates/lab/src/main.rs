//! The programs of `cargo xtask demo`, `bench`, `chaos`, `contracts` and `nightly`, which builds and runs this crate.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line talks to its user")]

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

/// Tries, measures and breaks Zaplecze on one machine.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Play a shop's day on real servers and count that nothing is missing.
    Demo {
        /// Leave everything running afterwards and say how it is reached.
        #[arg(long)]
        keep: bool,
        /// Orders of the past year the shop begins with.
        #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        orders: u32,
        /// Build the services as they are shipped, which takes several times as long.
        #[arg(long)]
        release: bool,
    },
    /// Measure, in release, beside raw limits of the same run.
    Bench {
        /// What is measured.
        name: bench::Name,
        /// Fewer rounds, for a look.
        #[arg(long)]
        quick: bool,
        /// Backup: measure with a million orders stored, too (takes 6 GB of memory and some minutes).
        #[arg(long)]
        million: bool,
    },
    /// Kill processes while they work, and count that nothing is missing.
    Chaos {
        /// What is killed.
        name: chaos::Name,
        /// How often each service is killed.
        #[arg(long, default_value_t = 20)]
        kills: u32,
        /// Orders of the past year the shop begins with; stock: new orders that are sold meanwhile.
        #[arg(long, default_value_t = 10_000)]
        orders: u32,
        /// Seconds each dependency is away; stock: allegro-backup.
        #[arg(long, default_value_t = 60)]
        outage: u64,
        /// Backup: how long the faults go on; 0 to kill it while it reads a list instead.
        #[arg(long, default_value_t = 30)]
        minutes: u64,
    },
    /// Ask outside programs what they make of what ours send.
    Contracts {
        /// Who is asked.
        name: contracts::Name,
        /// For `api`: the number of generated requests for each operation.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
        examples: u32,
        /// For `api`: the time limit for each service, in seconds.
        #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u32).range(1..))]
        seconds: u32,
    },
    /// Demo, every chaos and every bench, and a service made of the template: takes an hour or more.
    Nightly {
        /// Only these, for example `new-service` or `'chaos outages'`.
        steps: Vec<String>,
    },
    /// End the process groups told on standard input once it closes.
    #[command(hide = true)]
    Reaper {
        /// The file whose lock is held until all have ended.
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
            chaos::run(name, &chaos::Wish { kills, orders, outage, minutes })
        }
        Command::Nightly { steps } => nightly::run(&steps),
        Command::Reaper { lock } => reaper::serve(&lock),
    })
}
