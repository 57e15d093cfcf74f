//! Builds the programs: quickly for trials, or with the release profile for measurements.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::reaper::Reaper;
use crate::{SERVICES, process, progress, root};

/// A text in every program with failpoints.
const FAILPOINTS: &[u8] = b"FAILPOINTS";

/// A cargo profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Builds in minutes, without optimization: demo, up, chaos.
    Demo,
    /// The release profile: bench, images.
    Release,
}

impl Profile {
    /// The folder of the built programs.
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

/// Runs `cargo build` with these arguments, and shows its progress.
pub fn programs(profile: Profile, words: &[&str]) -> Result<()> {
    let mut reaper = Reaper::start(&root().join("target/build.reaper"))?;
    let mut command = Command::new("cargo");
    command.args(["build", "--quiet", "--message-format", "json-render-diagnostics"]);
    command.args(["--profile", profile.name()]).args(words).current_dir(root()).stdout(Stdio::piped());
    let mut build = process::start_watched(&mut command, &mut reaper)?;
    progress::show(&mut build, &packages(words))?;
    if !build.wait()?.success() {
        bail!("the build failed");
    }
    Ok(())
}

/// The arguments that select packages.
fn packages<'a>(words: &[&'a str]) -> Vec<&'a str> {
    let pairs = words.windows(2).filter(|pair| pair.first() == Some(&"-p"));
    pairs.flatten().copied().collect()
}

/// Fails when a built service contains failpoints.
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
