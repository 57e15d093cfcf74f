//! Clients that send requests to one replica without a pause, so that requests are in flight when it dies.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

use anyhow::Result;
use stack::Stack;

/// Number of concurrent clients.
const CALLERS: usize = 4;
/// Pause after a failed request: the replica is dead.
const PAUSE: Duration = Duration::from_millis(20);

/// The clients. They stop when the value is dropped.
pub(super) struct Callers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    in_flight: AtomicUsize,
    answered: AtomicUsize,
    wrong: AtomicUsize,
}

impl Callers {
    /// Begins to request this path of a replica.
    pub(super) fn start(stack: &Stack, replica: &str, path: &str) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let (url, token) = (format!("{}{path}", stack.address_of(replica)?), stack.token()?);
        let threads = (0..CALLERS).map(|_| {
            let (shared, url, token) = (Arc::clone(&shared), url.clone(), token.clone());
            spawn(move || shared.ask(&url, &token))
        });
        Ok(Self { threads: threads.collect(), shared })
    }

    /// Requests without an answer so far.
    pub(super) fn in_flight(&self) -> usize {
        self.shared.in_flight.load(Ordering::Acquire)
    }

    /// Number of answers, and number of those that were neither 200 nor 503.
    pub(super) fn end(self) -> (usize, usize) {
        let shared = Arc::clone(&self.shared);
        drop(self);
        (shared.answered.load(Ordering::Acquire), shared.wrong.load(Ordering::Acquire))
    }
}

impl Drop for Callers {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        for thread in self.threads.drain(..) {
            // The thread does not panic.
            let _ended = thread.join();
        }
    }
}

impl Shared {
    fn ask(&self, url: &str, token: &str) {
        let limit = Some(Duration::from_secs(20));
        let config = ureq::Agent::config_builder().timeout_global(limit).http_status_as_error(false);
        let agent: ureq::Agent = config.build().into();
        while !self.stop.load(Ordering::Acquire) {
            self.in_flight.fetch_add(1, Ordering::AcqRel);
            let asked = agent.get(url).header("Authorization", format!("Bearer {token}")).call();
            self.in_flight.fetch_sub(1, Ordering::AcqRel);
            // A refused or broken connection shows that the replica died.
            let Ok(answer) = asked else {
                sleep(PAUSE);
                continue;
            };
            self.answered.fetch_add(1, Ordering::AcqRel);
            let is_wrong = !matches!(answer.status().as_u16(), 200 | 503);
            self.wrong.fetch_add(usize::from(is_wrong), Ordering::AcqRel);
        }
    }
}
