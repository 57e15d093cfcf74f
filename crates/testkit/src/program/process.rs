//! The process itself, and what it says.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

use super::{LIMIT, Running};

/// A service that serves, or did. Killed with the value.
pub(super) struct Process {
    child: Child,
    /// Empty when it ended before it listened.
    pub(super) url: String,
    log: Arc<Mutex<String>>,
    /// End when the process has closed stdout and stderr.
    readers: Vec<JoinHandle<()>>,
}

impl Process {
    /// Starts it, and returns when it says where it listens, or has ended before.
    pub(super) fn serve(binary: &str, environment: &[(String, String)], more: &[(&str, &str)]) -> Self {
        let log = Arc::default();
        Self::start(binary, environment, more, &[], log)
    }

    /// The same in the place of one that has ended; the log goes on.
    pub(super) fn serve_again(
        &mut self,
        binary: &str,
        environment: &[(String, String)],
        more: &[(&str, &str)],
        arguments: &[&str],
    ) {
        *self = Self::start(binary, environment, more, arguments, Arc::clone(&self.log));
    }

    fn start(
        binary: &str,
        environment: &[(String, String)],
        more: &[(&str, &str)],
        arguments: &[&str],
        log: Arc<Mutex<String>>,
    ) -> Self {
        let mut child = command(binary, environment, more)
            .arg("serve")
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the service's program");
        let (found, find) = std::sync::mpsc::channel();
        let output = child.stdout.take().expect("a pipe");
        let errors = child.stderr.take().expect("a pipe");
        let readers = vec![keep(output, Arc::clone(&log), Some(found)), keep(errors, Arc::clone(&log), None)];
        // The channel ends with the process.
        let url = find.recv_timeout(LIMIT).map(|address| format!("http://{address}")).unwrap_or_default();
        Self { child, url, log, readers }
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// From `/proc`, whose clock ticks a hundred times a second: fixed by Linux's interface.
    pub(super) fn cpu(&self) -> Duration {
        let stat = self.proc("stat");
        // The name in brackets may hold spaces; user and system time are the 12th and 13th fields after it.
        let (_, fields) = stat.rsplit_once(')').expect("a name in brackets");
        let times = fields.split_whitespace().skip(11).take(2).map(|it| it.parse::<u64>().expect("a number"));
        Duration::from_millis(times.sum::<u64>() * 10)
    }

    pub(super) fn peak_megabytes(&self) -> u64 {
        let status = self.proc("status");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next());
        peak.and_then(|kilobytes| kilobytes.parse::<u64>().ok()).expect("VmHWM") / 1024
    }

    fn proc(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.id())).expect("a running process")
    }

    pub(super) fn kill(&mut self) {
        assert!(
            self.child.try_wait().expect("a child of ours").is_none(),
            "it has ended before it was killed"
        );
        self.child.kill().expect("a running process");
        self.child.wait().expect("a child of ours");
    }

    /// How it ended, if it has. Its log is complete then.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait().expect("a child of ours")?;
        for reader in self.readers.drain(..) {
            reader.join().expect("a reader");
        }
        Some(status)
    }

    pub(super) fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ended_before = self.child.kill();
        let _status = self.child.wait();
        if std::thread::panicking() {
            // What went wrong in the service is told beside what went wrong in the test.
            let log = self.log();
            let troubles =
                log.lines().filter(|line| line.contains("\"WARNING\"") || line.contains("\"ERROR\""));
            for line in troubles.take(50) {
                eprintln!("{line}");
            }
        }
    }
}

/// Keeps what a process says, and tells where it serves when it says so.
fn keep(
    output: impl Read + Send + 'static,
    log: Arc<Mutex<String>>,
    found: Option<Sender<String>>,
) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if let Some(found) = &found
                && line.contains("\"listening\"")
            {
                let content: Value = serde_json::from_str(&line).unwrap_or_default();
                let address = content["extra"]["address"].as_str().unwrap_or_default();
                // Nobody listens any more to what comes after a start that failed.
                let _unheard = found.send(address.to_owned());
            }
            writeln!(log.lock().unwrap_or_else(PoisonError::into_inner), "{line}").expect("memory");
        }
    })
}

fn command(binary: &str, environment: &[(String, String)], more: &[(&str, &str)]) -> Command {
    let mut command = Command::new(binary);
    command.env_clear().envs(environment.iter().map(|(name, value)| (name, value)));
    command.envs(more.iter().copied());
    command
}

/// Runs it to its end.
pub(super) fn output(
    binary: &str,
    environment: &[(String, String)],
    more: &[(&str, &str)],
    arguments: &[&str],
) -> Output {
    command(binary, environment, more).args(arguments).output().expect("the service's program")
}

/// Starts it.
pub(super) fn begin(binary: &str, environment: &[(String, String)], arguments: &[&str]) -> Running {
    let mut command = command(binary, environment, &[]);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Running::new(command.spawn().expect("the service's program"))
}

/// Runs it to its good end, and returns what it printed.
pub(super) fn run(binary: &str, environment: &[(String, String)], arguments: &[&str]) -> String {
    let output = output(binary, environment, &[], arguments);
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?} failed:\n{out}{error}");
    out.trim().to_owned()
}
