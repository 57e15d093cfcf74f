//! The lifecycle of a process: start, background tasks, stop.
//!
//! Invariants:
//!
//! - When a background task ends before a stop is requested, the process ends with a failure, so that the orchestrator
//!   restarts it.
//! - After a stop is requested once, work in flight finishes, within a limit.
//! - A task catches panics in its units of work ([`domain::catch_panic`]). They do not end the task.
//!
//! A stop has three phases:
//!
//! 1. Announced: `/readyz` answers 503 and all work continues, so that load balancers notice before the port is closed
//!    (`SHUTDOWN_DELAY_SECONDS`).
//! 2. Stopping: no new work begins, and work in flight finishes (`SHUTDOWN_DRAIN_SECONDS`).
//! 3. Ended: the tasks of [`Lifecycle::spawn_beside`] finish.

use std::error::Error;
use std::future::Future;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use domain::{Misconfigured, catch_panic};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Time limit of the tasks of [`Lifecycle::spawn_beside`] to finish.
const LAST: Duration = Duration::from_secs(2);

/// Exit code of a process that failed.
const FAILED: u8 = 1;
const MISCONFIGURED: u8 = 2;

/// The lifecycle of the process, shared by all its parts.
#[derive(Debug, Clone, Default)]
pub struct Lifecycle(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    announced: CancellationToken,
    stopping: CancellationToken,
    ended: CancellationToken,
    tasks: TaskTracker,
    beside: TaskTracker,
    exit_code: AtomicU8,
}

/// Result of a background task.
pub trait Outcome {
    /// The error, if the task failed.
    fn error(self) -> Option<anyhow::Error>;
}

impl Outcome for () {
    fn error(self) -> Option<anyhow::Error> {
        None
    }
}

impl<E: Into<anyhow::Error>> Outcome for Result<(), E> {
    fn error(self) -> Option<anyhow::Error> {
        self.err().map(Into::into)
    }
}

impl Lifecycle {
    /// Cancelled when a stop is requested. From then on the process is not ready. It continues to work until
    /// [`Lifecycle::stopping`].
    pub fn stop_announced(&self) -> CancellationToken {
        self.0.announced.clone()
    }

    /// Cancelled when no new work may begin.
    pub fn stopping(&self) -> CancellationToken {
        self.0.stopping.clone()
    }

    /// Whether a stop is requested.
    pub fn is_stopping(&self) -> bool {
        self.0.stopping.is_cancelled()
    }

    /// Runs a task for the life of the process. It must end after [`Lifecycle::stopping`]. If it ends earlier, fails or
    /// panics, the process stops and exits with a failure.
    pub fn spawn<F>(&self, name: &'static str, task: F)
    where
        F: Future + Send + 'static,
        F::Output: Outcome,
    {
        self.0.tasks.spawn(self.clone().watch(name, task));
    }

    /// Runs a task as [`Lifecycle::spawn`] does, until all other tasks have ended. Then the token of `task` is
    /// cancelled, and it has two seconds to end.
    pub fn spawn_beside<F>(&self, name: &'static str, task: impl FnOnce(CancellationToken) -> F)
    where
        F: Future + Send + 'static,
        F::Output: Outcome,
    {
        self.0.beside.spawn(self.clone().watch(name, task(self.0.ended.clone())));
    }

    /// Stops the process if the task ends before a stop.
    async fn watch<F>(self, name: &'static str, task: F)
    where
        F: Future + Send,
        F::Output: Outcome,
    {
        let (reason, exit_code) = match catch_panic(task).await.map(Outcome::error) {
            Ok(None) if self.is_stopping() => return,
            Ok(None) => ("ended by itself".to_owned(), FAILED),
            Ok(Some(error)) => {
                let is_misconfigured = error.chain().any(<dyn Error>::is::<Misconfigured>);
                (format!("{error:#}"), if is_misconfigured { MISCONFIGURED } else { FAILED })
            }
            Err(panic) => (panic.to_string(), FAILED),
        };
        tracing::error!(critical = true, task = name, reason, "background task ended; stopping");
        self.0.exit_code.fetch_max(exit_code, Ordering::Relaxed);
        self.stop();
    }

    /// Stops without the announcement.
    pub(crate) fn stop(&self) {
        self.0.announced.cancel();
        self.0.stopping.cancel();
    }

    /// Waits for the stop, then for work in flight, and then for the tasks of [`Lifecycle::spawn_beside`].
    pub(crate) async fn wait(&self, signals: &mut Signals, limits: Limits) -> ExitCode {
        if let Some(signal) = self.end_work(signals, limits).await {
            tracing::warn!(signal, "second signal; stopping at once");
            self.0.exit_code.fetch_max(FAILED, Ordering::Relaxed);
        } else {
            self.0.ended.cancel();
            self.0.beside.close();
            // Tasks that take longer are abandoned.
            let _late = tokio::time::timeout(LAST, self.0.beside.wait()).await;
        }
        ExitCode::from(self.0.exit_code.load(Ordering::Relaxed))
    }

    /// Returns the second signal if one arrived.
    async fn end_work(&self, signals: &mut Signals, limits: Limits) -> Option<&'static str> {
        tokio::select! {
            () = self.0.stopping.cancelled() => {}
            signal = signals.next() => {
                tracing::info!(signal, "stopping");
                self.0.announced.cancel();
                // A process at a terminal (SIGINT) has no load balancer.
                let delay = if signal == SIGTERM { limits.delay } else { Duration::ZERO };
                tokio::select! {
                    () = self.0.stopping.cancelled() => {}
                    () = tokio::time::sleep(delay) => {}
                    second = signals.next() => return Some(second),
                }
            }
        }
        self.stop();
        self.0.tasks.close();
        tokio::select! {
            () = self.0.tasks.wait() => None,
            () = tokio::time::sleep(limits.drain) => {
                tracing::warn!(tasks = self.0.tasks.len(), "work in flight exceeded the drain period; it is released");
                None
            }
            second = signals.next() => Some(second),
        }
    }
}

/// Time limits of a stop.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// How long the process continues after the stop is announced.
    pub(crate) delay: Duration,
    /// How long work in flight may take to finish.
    pub(crate) drain: Duration,
}

const SIGTERM: &str = "SIGTERM";

/// The signals that request a stop: SIGTERM of orchestrators, SIGINT of a person at a terminal.
#[derive(Debug)]
pub struct Signals {
    term: Signal,
    int: Signal,
}

impl Signals {
    /// Receives the signals from now on, so that they do not end the process by default.
    ///
    /// # Errors
    /// The signal handlers cannot be installed.
    pub fn install() -> io::Result<Self> {
        Ok(Self { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next signal and returns its name. It is cancel-safe.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.term.recv() => SIGTERM,
            _ = self.int.recv() => "SIGINT",
        }
    }
}
