//! Programs as they are shipped and measured: built in release.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use crate::reaper::Reaper;
use crate::{process, root};

/// Builds what cargo is told to by these words, with its own progress.
///
/// # Errors
/// When it cannot be built.
pub(crate) fn build(words: &[&str]) -> Result<()> {
    let mut reaper = Reaper::start(&root().join("target/build.reaper"))?;
    let mut command = Command::new("cargo");
    command.args(["build", "--release"]).args(words).current_dir(root());
    if !process::run_watched(&mut command, &mut reaper)?.success() {
        bail!("the build failed");
    }
    Ok(())
}

/// Where they are.
pub(crate) fn folder() -> PathBuf {
    root().join("target/release")
}
