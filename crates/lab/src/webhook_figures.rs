//! The program that measures webhook-dispatcher: receivers, somebody who tells facts, and the released service between them.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use stack::build::{self, Profile};
use stack::servers::{self, Keeping, Servers};
use stack::{process, root};

/// The program, and the servers it is given.
pub(crate) struct Figures {
    servers: Servers,
    file: PathBuf,
}

impl Figures {
    /// Builds both programs in release and starts durable servers.
    pub(crate) fn start() -> Result<Self> {
        build::stack(Profile::Release)?;
        // By itself: what the tests need must not come into what is shipped.
        build::programs(
            Profile::Release,
            &["-p", "e2e", "--example", "webhook_figures", "--features", "chassis/jemalloc"],
        )?;
        let folder = root().join("target/stack-bench");
        Ok(Self { servers: servers::start(&folder, Keeping::Everything)?, file: folder.join("figures.json") })
    }

    /// Runs it to its end and returns what it counted.
    pub(crate) fn run(&mut self, words: &[&str]) -> Result<Value> {
        let built = Profile::Release.folder();
        let mut command = Command::new(built.join("examples/webhook_figures"));
        command.arg(built.join("zaplecze-webhook-dispatcher")).arg(&self.file).args(words);
        command.envs(self.servers.environment.iter().map(|(name, value)| (*name, value)));
        if !process::run_watched(&mut command, self.servers.reaper())?.success() {
            bail!("a promise was not kept, or the measurement went wrong");
        }
        let text = std::fs::read_to_string(&self.file).context("there are no figures")?;
        Ok(serde_json::from_str(&text)?)
    }
}

/// A number in them.
pub(crate) fn number(figures: &Value, place: &str) -> f64 {
    figures.pointer(place).and_then(Value::as_f64).unwrap_or(f64::NAN)
}
