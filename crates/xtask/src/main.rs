//! `cargo xtask …`: the commands of a developer and of a newcomer.
//!
//! Few dependencies and little code, so that it builds in seconds. What tries, measures and breaks the services is the
//! crate `lab`, which is built when it is asked for.

#![expect(clippy::print_stdout, reason = "a command line talks to its user")]

mod check;
mod commands;
mod docs;
mod features;
mod lab;
mod new_service;
mod test;
mod tidy;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use stack::{reaper, root};

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
    Demo(lab::Arguments),
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
    Bench(lab::Arguments),
    /// Kill processes while they work, and count that nothing is missing.
    Chaos(lab::Arguments),
    /// Ask outside programs what they make of what ours send.
    Contracts(lab::Arguments),
    /// Write the documents that are made of the code.
    Docs {
        /// Write nothing, and fail when one differs.
        #[arg(long)]
        check: bool,
    },
    /// Check formatting, lints, architecture rules, dependencies and documentation.
    Check,
    /// Demo, every chaos and every bench, and a service made of the template: takes an hour or more.
    Nightly(lab::Arguments),
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
    stack::exit_code(match Arguments::parse().command {
        Command::Test { arguments } => test::run(&arguments),
        Command::Check => check::run(),
        Command::Demo(arguments) => lab::run("demo", &arguments),
        Command::Bench(arguments) => lab::run("bench", &arguments),
        Command::Chaos(arguments) => lab::run("chaos", &arguments),
        Command::Contracts(arguments) => lab::run("contracts", &arguments),
        Command::Nightly(arguments) => lab::run("nightly", &arguments),
        Command::Docs { check } => docs::run(check).map(|()| ExitCode::SUCCESS),
        Command::Up { detach, services } => commands::up(detach, services),
        Command::Down => commands::down(),
        Command::Status => commands::status(),
        Command::Logs { name, follow } => commands::logs(&name, follow),
        Command::Psql { name, arguments } => commands::sql(&name, &arguments),
        Command::NewService { name, port } => new_service::run(&root(), &name, port),
        Command::Reaper { lock } => reaper::serve(&lock),
    })
}
