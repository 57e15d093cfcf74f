//! Private Postgres, Redis and RabbitMQ.

mod postgres;
mod rabbitmq;
mod redis;

use std::path::{Path, PathBuf};
use std::process::Child;

use anyhow::{Context, Result};

use crate::process::free_ports;
use crate::programs;
use crate::reaper::Reaper;

/// Where servers of a run are to be reached, as environment variables.
pub(crate) struct Servers {
    /// `DATABASE_URL` (superuser), `REDIS_URL`, `AMQP_URL`, `AMQP_MANAGEMENT_URL`.
    pub(crate) environment: Vec<(&'static str, String)>,
    children: Vec<Child>,
    reaper: Option<Reaper>,
}

impl Drop for Servers {
    fn drop(&mut self) {
        if let Some(reaper) = &mut self.reaper {
            reaper.release();
        }
        for child in &mut self.children {
            // A process that has ended is still there for the reaper until its parent has waited for it.
            let _status = child.wait();
        }
    }
}

const GIVEN: [&str; 4] = ["DATABASE_URL", "REDIS_URL", "AMQP_URL", "AMQP_MANAGEMENT_URL"];

/// Uses the servers named in the environment, or starts private ones with their data under `folder`. What they
/// keep is lost with the machine: they are for tests.
pub(crate) fn start(folder: &Path) -> Result<Servers> {
    let given: Option<Vec<(&str, String)>> =
        GIVEN.into_iter().map(|name| Some((name, std::env::var(name).ok()?))).collect();
    if let Some(environment) = given {
        println!("using the servers given by {}", GIVEN.join(", "));
        return Ok(Servers { environment, children: Vec::new(), reaper: None });
    }
    let programs = programs::find()?;
    let folder = empty(folder)?;
    let logs = folder.join("logs");
    std::fs::create_dir_all(&logs)?;
    let mut reaper = Reaper::start()?;
    let [database, cache, amqp, management, distribution, epmd] = free_ports()?;

    // RabbitMQ takes longest: it starts while the others do.
    let mut broker = rabbitmq::start(
        &programs,
        &folder.join("rabbitmq"),
        &logs,
        &rabbitmq::Ports { amqp, management, distribution, epmd },
        &mut reaper,
    )?;
    let postgres = postgres::start(&programs, &folder.join("postgres"), &logs, database, &mut reaper)?;
    let redis = redis::start(&programs, &folder.join("redis"), &logs, cache, &mut reaper)?;
    broker.wait_until_ready()?;
    Ok(Servers {
        environment: vec![
            ("DATABASE_URL", format!("postgres://{}@127.0.0.1:{database}/postgres", postgres::SUPERUSER)),
            ("REDIS_URL", format!("redis://127.0.0.1:{cache}/0")),
            ("AMQP_URL", format!("amqp://guest:guest@127.0.0.1:{amqp}/%2f")),
            ("AMQP_MANAGEMENT_URL", format!("http://guest:guest@127.0.0.1:{management}")),
        ],
        children: [postgres, redis].into_iter().chain(broker.into_children()).collect(),
        reaper: Some(reaper),
    })
}

/// Makes the folder, without what an earlier run left in it.
fn empty(folder: &Path) -> Result<PathBuf> {
    if folder.exists() {
        std::fs::remove_dir_all(folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder.canonicalize()?)
}
