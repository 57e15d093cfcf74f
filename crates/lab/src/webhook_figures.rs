//! Runs the program that measures webhook-dispatcher: receivers, a publisher of events, and the release build of the
//! service.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use stack::build::{self, Profile};
use stack::servers::{self, Keeping, Servers};
use stack::{process, root};

/// The program, and its servers.
pub(crate) struct Figures {
    servers: Servers,
    file: PathBuf,
}

impl Figures {
    /// Builds both programs in release and starts durable servers.
    pub(crate) fn start() -> Result<Self> {
        build::stack(Profile::Release)?;
        // A separate build: the features of the tests must not be in the release build.
        build::programs(
            Profile::Release,
            // Cargo takes a feature of selected packages and of their direct dependencies only.
            &["-p", "chassis", "-p", "e2e", "--example", "webhook_figures", "--features", "chassis/jemalloc"],
        )?;
        let folder = root().join("target/stack-bench");
        Ok(Self { servers: servers::start(&folder, Keeping::Everything)?, file: folder.join("figures.json") })
    }

    /// Runs it to its end and returns its results.
    pub(crate) fn run(&mut self, words: &[&str]) -> Result<Value> {
        let built = Profile::Release.folder();
        let mut command = Command::new(built.join("examples/webhook_figures"));
        command.arg(built.join("zaplecze-webhook-dispatcher")).arg(&self.file).args(words);
        command.envs(self.servers.environment.iter().map(|(name, value)| (*name, value)));
        if !process::run_watched(&mut command, self.servers.reaper())?.success() {
            bail!("a guarantee is broken, or the measurement failed");
        }
        let text = std::fs::read_to_string(&self.file).context("there are no figures")?;
        Ok(serde_json::from_str(&text)?)
    }
}

/// A number in the results.
pub(crate) fn number(figures: &Value, place: &str) -> f64 {
    figures.pointer(place).and_then(Value::as_f64).unwrap_or(f64::NAN)
}
