//! Programs as they are shipped and measured: built in release.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::reaper::Reaper;
use crate::{SERVICES, process, root};

/// A text in every program with failpoints: the points where tests let it die.
const FAILPOINTS: &[u8] = b"FAILPOINTS";

/// Builds the services and the sandbox in release.
pub fn stack() -> Result<()> {
    let mut words = vec!["-p", "sandbox"];
    words.extend(SERVICES.iter().flat_map(|service| ["-p", service.name]));
    release(&words)?;
    without_failpoints(&folder())
}

/// Runs `cargo build --release` with these arguments, and shows cargo's progress.
pub fn release(words: &[&str]) -> Result<()> {
    let mut reaper = Reaper::start(&root().join("target/build.reaper"))?;
    let mut command = Command::new("cargo");
    command.args(["build", "--release"]).args(words).current_dir(root());
    if !process::run_watched(&mut command, &mut reaper)?.success() {
        bail!("the build failed");
    }
    Ok(())
}

/// The folder of the built programs.
pub fn folder() -> PathBuf {
    root().join("target/release")
}

/// Fails when a built service holds failpoints.
fn without_failpoints(folder: &Path) -> Result<()> {
    for service in SERVICES {
        let path = folder.join(service.binary);
        let program = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        if program.windows(FAILPOINTS.len()).any(|window| window == FAILPOINTS) {
            bail!("{} holds failpoints", path.display());
        }
    }
    Ok(())
}
