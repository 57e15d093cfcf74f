//! `cargo xtask …`: the commands of a developer and of a new user.
//!
//! Few dependencies and little code, so that it builds in seconds. The crate `lab`, which demonstrates, measures and
//! disturbs the services, is built when one of its commands is run.

#![expect(clippy::print_stdout, reason = "a command prints to its user")]

mod check;
mod commands;
mod docs;
mod features;
mod lab;
mod new_service;
mod schema;
mod test;
mod tidy;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use stack::{reaper, root};

/// Build, try and check Zaplecze on one machine.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run all tests against private servers; further arguments are passed to the test runner
    Test {
        /// For example `-p messaging` or a test's name
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Run a shop's day on real servers and check that nothing is lost
    Demo(lab::Arguments),
    /// Start everything on private servers and wait; its data is deleted when it ends
    Up {
        /// Return when everything is ready; `down` ends it
        #[arg(long)]
        detach: bool,
        /// Only these services, separated by commas
        #[arg(long, value_delimiter = ',')]
        services: Option<Vec<String>>,
    },
    /// End what `up` started, and delete its data
    Down,
    /// Print which services run and whether they are ready
    Status,
    /// Show a program's log
    Logs {
        /// For example allegro-backup, sandbox, postgres
        name: String,
        /// Follow the log
        #[arg(short, long)]
        follow: bool,
    },
    /// Open a service's schema in psql, as its role
    Psql {
        /// For example allegro-backup
        name: String,
        /// Passed to psql, for example `-c 'SELECT 1'`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Measure release builds beside raw limits of the same run
    Bench(lab::Arguments),
    /// Kill processes while they work, and check that nothing is lost
    Chaos(lab::Arguments),
    /// Verify our output with programs of others
    Contracts(lab::Arguments),
    /// Write the documents that are generated from the code
    Docs {
        /// Write nothing, and fail when a document is out of date
        #[arg(long)]
        check: bool,
    },
    /// Write `schema.rs` of each crate and service from the migrations
    Schema {
        /// Write nothing, and fail if a file is out of date
        #[arg(long)]
        check: bool,
    },
    /// Check formatting, lints, architecture rules, dependencies and documentation
    Check,
    /// Run demo, every chaos case, every benchmark and a service made from the template; takes an hour or more
    Nightly(lab::Arguments),
    /// Create a service from the template, with an example of each part
    NewService {
        /// Two or more words, for example price-watch
        name: String,
        /// Default port of the service [default: the next free one]
        #[arg(long, value_parser = clap::value_parser!(u16).range(1024..))]
        port: Option<u16>,
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
        Command::Test { arguments } => test::run(&arguments),
        Command::Check => check::run(),
        Command::Demo(arguments) => lab::run("demo", &arguments),
        Command::Bench(arguments) => lab::run("bench", &arguments),
        Command::Chaos(arguments) => lab::run("chaos", &arguments),
        Command::Contracts(arguments) => lab::run("contracts", &arguments),
        Command::Nightly(arguments) => lab::run("nightly", &arguments),
        Command::Docs { check } => docs::run(check).map(|()| ExitCode::SUCCESS),
        Command::Schema { check } => schema::run(check).map(|()| ExitCode::SUCCESS),
        Command::Up { detach, services } => commands::up(detach, services),
        Command::Down => commands::down(),
        Command::Status => commands::status(),
        Command::Logs { name, follow } => commands::logs(&name, follow),
        Command::Psql { name, arguments } => commands::sql(&name, &arguments),
        Command::NewService { name, port } => new_service::run(&root(), &name, port),
        Command::Reaper { lock } => reaper::serve(&lock),
    })
}
