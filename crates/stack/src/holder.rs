//! The process that holds this checkout's stack, and the addresses of that stack.

use std::fs::File;
use std::path::PathBuf;

use anyhow::{Context, Result};
use nix::unistd::Pid;

use crate::{folder, root};

/// Locks the checkout's stack. The file contains the id of the process.
pub fn lock() -> Result<File> {
    std::fs::create_dir_all(root().join("target"))?;
    let file = File::options().create(true).truncate(false).write(true).open(lock_file())?;
    file.try_lock().context("a stack of this checkout runs already; `cargo xtask down` ends it")?;
    std::fs::write(lock_file(), std::process::id().to_string())?;
    Ok(file)
}

fn lock_file() -> PathBuf {
    root().join("target").join("stack.lock")
}

/// The process that holds the stack, if there is one.
pub fn process() -> Result<Option<Pid>> {
    let Ok(file) = File::options().write(true).open(lock_file()) else { return Ok(None) };
    if file.try_lock().is_ok() {
        return Ok(None);
    }
    let id = std::fs::read_to_string(lock_file())?;
    Ok(Some(Pid::from_raw(id.trim().parse().context("target/stack.lock names no process")?)))
}

/// Prints all addresses.
pub fn show() -> Result<()> {
    println!();
    for (name, value) in environment()? {
        println!("  {name:<24}{value}");
    }
    println!(
        "\n  also in target/stack/env; every service has Swagger UI at /docs, its document at /openapi.json, and /metrics"
    );
    Ok(())
}

/// The variables of `target/stack/env`.
pub fn environment() -> Result<Vec<(String, String)>> {
    process()?.context("no stack runs in this checkout; `cargo xtask up` starts one")?;
    let text = std::fs::read_to_string(folder().join("env")).context("the stack is still starting")?;
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    Ok(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}
