//! Builds programs: quickly to try them, or as they are shipped to measure them.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::reaper::Reaper;
use crate::{SERVICES, process, root};

/// A text in every program with failpoints: the points where tests let it die.
const FAILPOINTS: &[u8] = b"FAILPOINTS";

/// A profile of cargo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Built in minutes, without optimization: demo, up, chaos.
    Demo,
    /// As shipped: bench, images.
    Release,
}

impl Profile {
    /// The folder of its programs.
    pub fn folder(self) -> PathBuf {
        root().join("target").join(self.name())
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Demo => "demo",
            Self::Release => "release",
        }
    }
}

/// Builds the services and the sandbox.
pub fn stack(profile: Profile) -> Result<()> {
    let mut words = vec!["-p", "sandbox"];
    words.extend(SERVICES.iter().flat_map(|service| ["-p", service.name]));
    if profile == Profile::Release {
        words.extend(["--features", "chassis/jemalloc"]);
    }
    programs(profile, &words)?;
    without_failpoints(profile)
}

/// Runs `cargo build` with these arguments, and shows cargo's progress.
pub fn programs(profile: Profile, words: &[&str]) -> Result<()> {
    let mut reaper = Reaper::start(&root().join("target/build.reaper"))?;
    let mut command = Command::new("cargo");
    command.args(["build", "--profile", profile.name()]).args(words).current_dir(root());
    if !process::run_watched(&mut command, &mut reaper)?.success() {
        bail!("the build failed");
    }
    Ok(())
}

/// Fails when a built service holds failpoints.
fn without_failpoints(profile: Profile) -> Result<()> {
    for service in SERVICES {
        let path = profile.folder().join(service.binary);
        let program = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        if program.windows(FAILPOINTS.len()).any(|window| window == FAILPOINTS) {
            bail!("{} holds failpoints", path.display());
        }
    }
    Ok(())
}
