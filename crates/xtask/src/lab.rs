//! Commands of the crate `lab`, which is built when one of them is run.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use stack::{process, root};

/// Arguments that `lab` parses, including `--help`.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Arguments {
    /// Shown by `--help`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// Builds `lab` and replaces this process with its command.
pub(crate) fn run(name: &str, arguments: &Arguments) -> Result<ExitCode> {
    let mut command = Command::new("cargo");
    command.args(["run", "--quiet", "--package", "lab", "--", name]).args(&arguments.arguments);
    process::without_own_package(&mut command);
    Err(command.current_dir(root()).exec()).context("cannot start cargo")
}
