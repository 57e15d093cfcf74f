//! `cargo xtask …`: the commands of a developer and of a newcomer.
//!
//! Blocking code with few dependencies, so that it builds in seconds. Servers it starts are private: own data
//! folder, free ports, loopback only, ended with the command whatever ends it (see [`reaper`]).

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line talks to its user")]

mod bench;
mod chaos;
mod check;
mod compare;
mod contracts;
mod deadline;
mod demo;
mod docs;
mod new_service;
mod nightly;
mod process;
mod programs;
mod reaper;
mod release;
mod servers;
mod stack;
mod test;
mod tidy;
mod webhook_figures;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Everything needed to build, try and check Zaplecze on one machine.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run every test against private servers; further arguments go to the test runner.
    Test {
        /// For example `-p messaging` or a test's name.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Play a shop's day on real servers and count that nothing is missing.
    Demo {
        /// Leave everything running afterwards and say how it is reached.
        #[arg(long)]
        keep: bool,
        /// Orders of the past year the shop begins with.
        #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        orders: u32,
    },
    /// Start everything on private servers and stay; what it keeps is gone when it ends.
    Up {
        /// Return when everything is ready; `down` ends it.
        #[arg(long)]
        detach: bool,
        /// Only these services, separated by commas.
        #[arg(long, value_delimiter = ',')]
        services: Option<Vec<String>>,
    },
    /// End what `up` started.
    Down,
    /// Say which services run and whether they are ready.
    Status,
    /// Show a program's log.
    Logs {
        /// For example allegro-backup, sandbox, postgres.
        name: String,
        /// Go on showing what is added.
        #[arg(short, long)]
        follow: bool,
    },
    /// Open a service's schema in psql, as its role.
    Psql {
        /// For example allegro-backup.
        name: String,
        /// Passed on to psql, for example `-c 'SELECT 1'`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
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
    /// Write the documents that are made of the code.
    Docs {
        /// Write nothing, and fail when one differs.
        #[arg(long)]
        check: bool,
    },
    /// Check formatting, lints, architecture rules, dependencies and documentation.
    Check,
    /// Demo, every chaos and every bench, and a service made of the template: takes an hour or more.
    Nightly {
        /// Only these, for example `new-service` or `'chaos outages'`.
        steps: Vec<String>,
    },
    /// Make a service: a whole one, with an example of each part, to be changed into what it shall be.
    NewService {
        /// Two or more words, for example price-watch.
        name: String,
        /// Where it listens unless told; the next free one where it is not given.
        #[arg(long, value_parser = clap::value_parser!(u16).range(1024..))]
        port: Option<u16>,
    },
    /// End the process groups told on standard input once it closes.
    #[command(hide = true)]
    Reaper {
        /// The file whose lock is held until all have ended.
        lock: PathBuf,
    },
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Test { arguments } => test::run(&arguments),
        Command::Check => check::run(),
        Command::Contracts { name, examples, seconds } => {
            contracts::run(name, &contracts::Bounds { examples, seconds })
        }
        Command::Docs { check } => docs::run(check).map(|()| ExitCode::SUCCESS),
        Command::Demo { keep, orders } => demo::run(keep, orders),
        Command::Up { detach, services } => stack::commands::up(detach, services),
        Command::Down => stack::commands::down(),
        Command::Status => stack::commands::status(),
        Command::Logs { name, follow } => stack::commands::logs(&name, follow),
        Command::Psql { name, arguments } => stack::commands::sql(&name, &arguments),
        Command::Bench { name, quick, million } => bench::run(name, quick, million),
        Command::Chaos { name, kills, orders, outage, minutes } => {
            let outage = std::time::Duration::from_secs(outage);
            chaos::run(name, &chaos::Wish { kills, orders, outage, minutes })
        }
        Command::NewService { name, port } => new_service::run(&root(), &name, port),
        Command::Nightly { steps } => nightly::run(&steps),
        Command::Reaper { lock } => reaper::serve(&lock),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The root of the checkout.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}
