//! `cargo xtask …`: the commands of a developer and of a newcomer.
//!
//! Blocking code with few dependencies, so that it builds in seconds. Servers it starts are private: own data
//! folder, free ports, loopback only, ended with the command whatever ends it (see [`reaper`]).

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line talks to its user")]

mod check;
mod process;
mod programs;
mod reaper;
mod servers;
mod test;
mod tidy;

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
    /// Check formatting, lints, architecture rules and documentation.
    Check,
    /// End the process groups told on standard input once it closes.
    #[command(hide = true)]
    Reaper,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Test { arguments } => test::run(&arguments),
        Command::Check => Ok(check::run()),
        Command::Reaper => reaper::serve(),
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
