//! Nothing goes on for ever.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// Ends the command when it goes on for longer than it may. Dropped in time, it does nothing.
pub(crate) struct Deadline(#[expect(dead_code, reason = "dropping it is what it is for")] Sender<()>);

impl Deadline {
    /// From now on `what` may take so long; then the process ends with a failure, and everything it started with it.
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
