//! The tests of the workspace, run by `cargo xtask test`.

use std::process::{Command, ExitCode};

use anyhow::Result;
use stack::reaper::Reaper;
use stack::{process, root};

/// Runs tests with these arguments and environment variables, and returns their exit status.
pub(crate) fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Result<ExitCode> {
    let mut reaper = Reaper::start(&root().join("target/lab-tests.reaper"))?;
    let mut command = Command::new("cargo");
    command.args(["xtask", "test"]).args(arguments).envs(environment.iter().copied()).current_dir(root());
    let status = process::run_watched(&mut command, &mut reaper)?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
