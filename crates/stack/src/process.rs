//! Starting processes and waiting for them to be ready.

use std::fs::File;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::reaper::Reaper;

/// Longer than the reaper takes to end everything.
const LAST_WAIT: Duration = Duration::from_mins(2);

/// Starts a long-running process in its own group, with its output in a file.
fn start(command: &mut Command, log: &Path, reaper: &mut Reaper) -> Result<Child> {
    let output = File::options()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| format!("cannot write {}", log.display()))?;
    let child = command
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    reaper.watch(child.id())?;
    Ok(child)
}

/// A long-running process that can be killed and restarted with the same command.
pub struct Server {
    /// Its name, which is also the name of its log.
    pub name: &'static str,
    command: Command,
    log: PathBuf,
    child: Child,
}

impl Server {
    /// Starts it. Its output is appended to `log`.
    pub fn start(
        name: &'static str,
        mut command: Command,
        log: PathBuf,
        reaper: &mut Reaper,
    ) -> Result<Self> {
        let child = start(&mut command, &log, reaper)?;
        Ok(Self { name, command, log, child })
    }

    /// Kills the whole group (SIGKILL), and returns when it has ended.
    pub fn kill(&mut self) -> Result<()> {
        killpg(group(&self.child)?, Signal::SIGKILL).with_context(|| format!("cannot kill {}", self.name))?;
        self.child.wait()?;
        Ok(())
    }

    /// Restarts it after it ended.
    pub fn start_again(&mut self, reaper: &mut Reaper) -> Result<()> {
        self.child = start(&mut self.command, &self.log, reaper)?;
        Ok(())
    }

    fn has_ended(&mut self) -> bool {
        // An error means that its status was read already.
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `ready` returns true. Fails when the process ends before, or when `limit` passes.
    pub fn wait_until_ready(&mut self, limit: Duration, ready: impl FnMut() -> bool) -> Result<()> {
        wait_until_ready(self.name, &mut self.child, &self.log, limit, ready)
    }
}

/// Waits for the end of all, in any order: an ended process remains visible to the reaper until its parent reads its
/// status. After a time it kills the remaining ones, because the reaper may have been killed itself.
pub fn wait_for_all<'a>(servers: impl IntoIterator<Item = &'a mut Server>) {
    let mut left: Vec<&mut Server> = servers.into_iter().collect();
    let deadline = Instant::now() + LAST_WAIT;
    while !left.is_empty() {
        if Instant::now() > deadline {
            for server in &mut left {
                let _already_gone = server.kill();
            }
        }
        left.retain_mut(|server| !server.has_ended());
        sleep(Duration::from_millis(20));
    }
}

fn group(child: &Child) -> Result<Pid> {
    Ok(Pid::from_raw(i32::try_from(child.id())?))
}

/// Removes the variables by which `cargo run` describes our own package from a command's environment. A shell does not
/// set them. Build scripts, and everything that depends on them, would run again each time they change.
pub fn without_own_package(command: &mut Command) {
    let ours = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for name in ours.filter(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
        command.env_remove(name);
    }
}

/// Runs an interactive command to its end, in its own group, which ends with us in any case.
pub fn run_watched(command: &mut Command, reaper: &mut Reaper) -> Result<ExitStatus> {
    Ok(start_watched(command, reaper)?.wait()?)
}

/// Starts a command in its own group, which ends with us in any case.
pub(crate) fn start_watched(command: &mut Command, reaper: &mut Reaper) -> Result<Child> {
    without_own_package(command);
    let name = command.get_program().display().to_string();
    let child = command
        .stdin(Stdio::null())
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start {name}"))?;
    reaper.watch(child.id())?;
    Ok(child)
}

/// Runs a command to its end. An error contains its output.
pub fn run(command: &mut Command) -> Result<String> {
    without_own_package(command);
    let name = command.get_program().display().to_string();
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {name}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!("{name} failed ({}):\n{text}{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(text)
}

/// Waits until `ready` returns true. Fails when the process ends before, or when `limit` passes.
fn wait_until_ready(
    name: &str,
    child: &mut Child,
    log: &Path,
    limit: Duration,
    mut ready: impl FnMut() -> bool,
) -> Result<()> {
    let deadline = Instant::now() + limit;
    loop {
        if ready() {
            return Ok(());
        }
        if let Some(status) = child.try_wait()? {
            bail!("{name} ended while starting ({status}); see {}", log.display());
        }
        if Instant::now() > deadline {
            bail!("{name} was not ready within {limit:?}; see {}", log.display());
        }
        sleep(Duration::from_millis(50));
    }
}

/// Ports that are free now, all different.
pub fn free_ports<const N: usize>() -> Result<[u16; N]> {
    // All are held until all are chosen.
    let listeners = (0..N).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<Vec<_>, _>>()?;
    let ports =
        listeners.iter().map(|listener| Ok(listener.local_addr()?.port())).collect::<Result<Vec<_>>>()?;
    ports.try_into().map_err(|_wrong_count| anyhow::anyhow!("no free ports"))
}
