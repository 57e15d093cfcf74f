//! Private Postgres, Redis and RabbitMQ.

mod memory;
mod postgres;
mod rabbitmq;
mod redis;

use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use url::Url;

use crate::process::{Server, free_ports, wait_for_all};
use crate::programs::{self, Programs};
use crate::reaper::Reaper;

/// Durability of the servers' data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeping {
    /// Not durable, in memory where there is room, and fast: for tests.
    Nothing,
    /// As in production: a power failure loses nothing.
    Everything,
}

/// The addresses of the servers of a run, as environment variables.
pub struct Servers {
    /// `DATABASE_URL` (superuser), `REDIS_URL`, `AMQP_URL`, `AMQP_MANAGEMENT_URL`.
    pub environment: Vec<(&'static str, String)>,
    servers: Vec<Server>,
    reaper: Reaper,
    ready: Option<(Programs, u16, u16)>,
    // Dropped last, when the servers have ended.
    _memory: Option<memory::Folder>,
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.reaper.release();
        wait_for_all(&mut self.servers);
    }
}

const GIVEN: [&str; 4] = ["DATABASE_URL", "REDIS_URL", "AMQP_URL", "AMQP_MANAGEMENT_URL"];

/// Whether the environment names the servers to use.
pub fn are_given() -> bool {
    GIVEN.iter().all(|name| std::env::var_os(name).is_some())
}

/// Uses the servers that the environment names, or starts private ones with their data under `folder`, which is emptied
/// first.
pub fn start(folder: &Path, keeping: Keeping) -> Result<Servers> {
    let given: Option<Vec<(&str, String)>> =
        GIVEN.into_iter().map(|name| Some((name, std::env::var(name).ok()?))).collect();
    if let Some(environment) = given {
        println!("using the servers given by {}", GIVEN.join(", "));
        let reaper = Reaper::start(&reaper_lock(folder))?;
        return Ok(Servers { environment, servers: Vec::new(), reaper, ready: None, _memory: None });
    }
    let programs = programs::find()?;
    let mut reaper = Reaper::start(&reaper_lock(folder))?;
    let folder = empty(folder)?;
    let logs = folder.join("logs");
    std::fs::create_dir_all(&logs)?;
    let memory = match keeping {
        Keeping::Nothing => memory::Folder::instead_of(&folder)?,
        Keeping::Everything => None,
    };
    let data = memory.as_ref().map_or(folder.as_path(), memory::Folder::path);
    let [database, cache, amqp, management, distribution, epmd] = free_ports()?;

    // RabbitMQ takes longest: it starts in parallel with the others.
    let ports = rabbitmq::Ports { amqp, management, distribution, epmd };
    let [mut broker, mapper] =
        rabbitmq::start(&programs, &data.join("rabbitmq"), &logs, &ports, &mut reaper)?;
    let postgres = postgres::start(&programs, &data.join("postgres"), &logs, database, keeping, &mut reaper)?;
    let redis = redis::start(&programs, &data.join("redis"), &logs, cache, &mut reaper)?;
    broker.wait_until_ready(Duration::from_mins(2), || rabbitmq::is_ready(management))?;
    Ok(Servers {
        environment: vec![
            ("DATABASE_URL", postgres::address(database)),
            ("REDIS_URL", format!("redis://127.0.0.1:{cache}/0")),
            ("AMQP_URL", format!("amqp://guest:guest@127.0.0.1:{amqp}/%2f")),
            ("AMQP_MANAGEMENT_URL", format!("http://guest:guest@127.0.0.1:{management}")),
        ],
        servers: vec![postgres, redis, mapper, broker],
        reaper,
        ready: Some((programs, database, management)),
        _memory: memory,
    })
}

/// As [`start`], with nothing but `DATABASE_URL` and what it keeps lost with the machine.
pub fn start_postgres(folder: &Path) -> Result<Servers> {
    if are_given() {
        return start(folder, Keeping::Nothing);
    }
    let programs = programs::find()?;
    let mut reaper = Reaper::start(&reaper_lock(folder))?;
    let folder = empty(folder)?;
    let [port] = free_ports()?;
    let postgres =
        postgres::start(&programs, &folder.join("postgres"), &folder, port, Keeping::Nothing, &mut reaper)?;
    Ok(Servers {
        environment: vec![("DATABASE_URL", postgres::address(port))],
        servers: vec![postgres],
        reaper,
        ready: None,
        _memory: None,
    })
}

/// Held until everything that uses the folder has ended.
pub fn reaper_lock(folder: &Path) -> PathBuf {
    folder.with_extension("reaper")
}

impl Servers {
    /// The value of one of the variables.
    pub fn address(&self, name: &str) -> &str {
        let found = self.environment.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value.as_str()).unwrap_or_default()
    }

    /// All servers, to be waited for.
    pub fn all(&mut self) -> &mut [Server] {
        &mut self.servers
    }

    /// Registers another process to end with the servers.
    pub fn reaper(&mut self) -> &mut Reaper {
        &mut self.reaper
    }

    /// Kills a server with SIGKILL.
    pub fn kill(&mut self, name: &str) -> Result<()> {
        let server = self.servers.iter_mut().find(|server| server.name == name);
        server.with_context(|| format!("there is no server {name}"))?.kill()
    }

    /// Restarts a killed server and waits until it answers.
    pub fn start_again(&mut self, name: &str) -> Result<()> {
        let (programs, database, management) = self.ready.as_ref().context("the servers are not ours")?;
        let cache: Url = self
            .environment
            .iter()
            .find(|(known, _)| *known == "REDIS_URL")
            .context("no Redis")?
            .1
            .parse()?;
        let server = self.servers.iter_mut().find(|server| server.name == name);
        let server = server.with_context(|| format!("there is no server {name}"))?;
        // Postgres refuses to start while a process of the killed one still runs.
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            server.start_again(&mut self.reaper)?;
            let started = server.wait_until_ready(Duration::from_mins(2), || match name {
                "postgres" => postgres::is_ready(programs, *database),
                "redis" => redis::is_ready(cache.port().unwrap_or_default()),
                _ => rabbitmq::is_ready(*management),
            });
            if started.is_ok() || Instant::now() > deadline {
                return started;
            }
            sleep(Duration::from_millis(200));
        }
    }
}

/// Creates the folder, without the content of an earlier run.
fn empty(folder: &Path) -> Result<PathBuf> {
    if folder.exists() {
        std::fs::remove_dir_all(folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder.canonicalize()?)
}
