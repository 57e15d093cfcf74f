//! `cargo xtask test`.

use std::fs::File;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use stack::servers::{self, Keeping};
use stack::{process, root};

/// Runs the tests of the workspace against private servers and returns their exit status.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    let target = root().join("target");
    std::fs::create_dir_all(&target)?;
    let lock = File::create(target.join("test.lock"))?;
    lock.try_lock().context("another `cargo xtask test` runs in this checkout")?;

    println!("starting private Postgres, Redis and RabbitMQ");
    let mut servers = servers::start(&target.join("stack-test"), Keeping::Nothing)?;
    let mut command = Command::new("cargo");
    let has_nextest =
        Command::new("cargo-nextest").arg("--version").output().is_ok_and(|output| output.status.success());
    command.args(if has_nextest { ["nextest", "run"].as_slice() } else { &["test"] });
    // See .config/nextest.toml.
    if has_nextest && std::env::var("CI").is_ok_and(|value| value == "true") {
        command.args(["--profile", "ci"]);
    }
    if !is_given(arguments, &["-p", "--package"]) {
        command.arg("--workspace");
    }
    // Tests wait for each other's processes more than they compute.
    if has_nextest && !is_given(arguments, &["-j", "--jobs", "--test-threads"]) {
        let cores = std::thread::available_parallelism()?.get();
        command.args(["--test-threads", &(cores * 2).to_string()]);
    }
    command
        .args(arguments)
        .envs(servers.environment.iter().map(|(name, value)| (*name, value)))
        .current_dir(root());
    let status = process::run_watched(&mut command, servers.reaper())?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether one of these options is among the arguments, with or without its value (`-p`, `-pweb`, `--package=web`).
fn is_given(arguments: &[String], options: &[&str]) -> bool {
    arguments.iter().any(|argument| options.iter().any(|option| argument.starts_with(option)))
}
