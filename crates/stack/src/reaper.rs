//! Ends all processes that a command started, when the command ends.
//!
//! A killed process cannot clean up, so that another one does it: it holds the reading end of a pipe whose writing end
//! only the command holds. When the command ends for any reason, the pipe closes, and the reaper ends every process
//! group that was registered, the last one first.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// Time in which a group may end by itself. RabbitMQ takes a few seconds.
const GRACE: Duration = Duration::from_secs(15);

/// The process that ends the processes that this command leaves behind.
pub struct Reaper {
    process: Child,
    pipe: Option<ChildStdin>,
}

impl Reaper {
    /// Starts it in its own process group, so that Ctrl-C does not reach it. It holds the lock on this file until
    /// everything has ended.
    pub fn start(lock: &Path) -> Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg("reaper")
            .arg(lock)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .context("cannot start the process that cleans up")?;
        let pipe = process.stdin.take();
        // It prints a line when it holds the lock: the previous user of the folder has ended then.
        let ready = process.stdout.take().map(|output| BufReader::new(output).lines().next());
        ready.flatten().context("the process that cleans up did not start")??;
        Ok(Self { process, pipe })
    }

    /// Registers a process group.
    pub fn watch(&mut self, group: u32) -> Result<()> {
        let pipe = self.pipe.as_mut().context("the process that cleans up has ended")?;
        writeln!(pipe, "{group}").context("the process that cleans up has ended")
    }

    /// Lets it begin to end the groups.
    pub fn release(&mut self) {
        drop(self.pipe.take());
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        self.release();
        // A failure here has no effect: the groups are ended, or belong to nobody.
        let _status = self.process.wait();
    }
}

/// The main function of the reaper.
pub fn serve(lock: &Path) -> Result<ExitCode> {
    let file = File::create(lock)?;
    // Waits for the reaper of a previous run, which may still use the same folder.
    file.lock()?;
    println!("ready");
    let mut groups = Vec::new();
    for line in std::io::stdin().lock().lines() {
        groups.push(Pid::from_raw(line?.trim().parse().context("a process group is a number")?));
    }
    for group in groups.into_iter().rev() {
        end(group);
    }
    Ok(ExitCode::SUCCESS)
}

fn end(group: Pid) {
    let deadline = Instant::now() + GRACE;
    // An error means that no process of the group is left.
    let mut alive = killpg(group, Signal::SIGTERM).is_ok();
    while alive && Instant::now() < deadline {
        sleep(Duration::from_millis(50));
        alive = killpg(group, None).is_ok();
    }
    if alive {
        let _already_gone = killpg(group, Signal::SIGKILL);
    }
}
