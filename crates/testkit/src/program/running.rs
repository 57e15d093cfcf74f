//! A running command that a test can interrupt.

use std::io::Read;
use std::process::{Child, Output};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::LIMIT;
use crate::wait::until;

/// A running command of a service. It is killed on drop.
#[derive(Debug)]
pub struct Running(Child);

impl Running {
    pub(super) fn new(child: Child) -> Self {
        Self(child)
    }

    /// Sends SIGINT, as Ctrl-C does, and returns how the command ended and what it printed.
    ///
    /// # Panics
    /// The command has already ended, or does not end within 30 s.
    pub fn interrupt(mut self) -> Output {
        assert!(self.0.try_wait().expect("a child of ours").is_none(), "it has ended before");
        let id = i32::try_from(self.0.id()).expect("a process id");
        kill(Pid::from_raw(id), Signal::SIGINT).expect("a running process");
        let status = until(LIMIT, || self.0.try_wait().expect("a child of ours"));
        let status = status.unwrap_or_else(|| panic!("it did not end within {LIMIT:?}"));
        Output { status, stdout: rest(self.0.stdout.take()), stderr: rest(self.0.stderr.take()) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ended_before = self.0.kill();
        let _status = self.0.wait();
    }
}

fn rest(pipe: Option<impl Read>) -> Vec<u8> {
    let mut text = Vec::new();
    pipe.expect("a pipe").read_to_end(&mut text).expect("a pipe");
    text
}
