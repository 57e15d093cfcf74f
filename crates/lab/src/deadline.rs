//! Time limits of commands.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// Ends the process when the limit passes. Dropping it removes the limit.
pub(crate) struct Deadline(#[expect(dead_code, reason = "dropping it is what it is for")] Sender<()>);

impl Deadline {
    /// Limits the time of `what`. Afterwards the process ends with a failure, and every process that it started.
    pub(crate) fn start(what: &'static str, limit: Duration) -> Self {
        let (held, ends) = channel();
        std::thread::spawn(move || {
            if ends.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                eprintln!("error: {what} was not done within {} minutes", limit.as_secs() / 60);
                std::process::exit(1);
            }
        });
        Self(held)
    }
}
