//! Starting processes and waiting for them to be ready.

use std::fs::File;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::reaper::Reaper;

/// Starts a long-running process in a group of its own, with its output in a file.
pub(crate) fn start(command: &mut Command, log: &Path, reaper: &mut Reaper) -> Result<Child> {
    let output = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
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

/// Runs a command to its end; an error holds what it printed.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let name = command.get_program().display().to_string();
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {name}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!("{name} failed ({}):\n{text}{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(text)
}

/// Waits until `ready` says so. Fails when the process ends before, or takes longer than `limit`.
pub(crate) fn wait_until_ready(
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
pub(crate) fn free_ports<const N: usize>() -> Result<[u16; N]> {
    // All are held until all are chosen.
    let listeners = (0..N).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<Vec<_>, _>>()?;
    let ports =
        listeners.iter().map(|listener| Ok(listener.local_addr()?.port())).collect::<Result<Vec<_>>>()?;
    ports.try_into().map_err(|_wrong_count| anyhow::anyhow!("no free ports"))
}
