//! From start to stop.
//!
//! Invariants: a background task never dies silently — when one ends before a stop was asked for, the
//! process ends with a failure, so that the orchestrator starts it anew; and a stop asked for once lets
//! work in flight finish, within a limit. A panic in one unit of a task's work is caught by the task itself
//! ([`domain::catch_panic`]) and does not end it.
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

/// How long the tasks of [`Lifecycle::spawn_beside`] may take to finish.
const LAST: Duration = Duration::from_secs(2);

/// Exit codes of a process that failed.
const FAILED: u8 = 1;
const MISCONFIGURED: u8 = 2;

/// The life of the process, shared by all who work in it.
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

/// What a background task may end with.
pub trait Outcome {
    /// The error, if it ended with one.
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
    /// Cancelled when a stop is requested: the process is not ready any more, and continues until [`Lifecycle::stopping`].
    pub fn stop_announced(&self) -> CancellationToken {
        self.0.announced.clone()
    }

    /// Cancelled when no new work is to be taken.
    pub fn stopping(&self) -> CancellationToken {
        self.0.stopping.clone()
    }

    /// Whether a stop was asked for.
    pub fn is_stopping(&self) -> bool {
        self.0.stopping.is_cancelled()
    }

    /// Runs a task for as long as the process lives. It ends by itself after [`Lifecycle::stopping`]; when it
    /// ends earlier, fails or panics, the process stops and exits with a failure.
    pub fn spawn<F>(&self, name: &'static str, task: F)
    where
        F: Future + Send + 'static,
        F::Output: Outcome,
    {
        self.0.tasks.spawn(self.clone().watch(name, task));
    }

    /// Runs a task as [`Lifecycle::spawn`] does, but until all other tasks have ended. `task` gets a token that is cancelled
    /// then, and has two seconds to end.
    pub fn spawn_beside<F>(&self, name: &'static str, task: impl FnOnce(CancellationToken) -> F)
    where
        F: Future + Send + 'static,
        F::Output: Outcome,
    {
        self.0.beside.spawn(self.clone().watch(name, task(self.0.ended.clone())));
    }

    /// Stops the process when the task ends before a stop.
    async fn watch<F>(self, name: &'static str, task: F)
    where
        F: Future + Send,
        F::Output: Outcome,
    {
        let (trouble, exit_code) = match catch_panic(task).await.map(Outcome::error) {
            Ok(None) if self.is_stopping() => return,
            Ok(None) => ("ended by itself".to_owned(), FAILED),
            Ok(Some(error)) => {
                let is_misconfigured = error.chain().any(<dyn Error>::is::<Misconfigured>);
                (format!("{error:#}"), if is_misconfigured { MISCONFIGURED } else { FAILED })
            }
            Err(panic) => (panic.to_string(), FAILED),
        };
        tracing::error!(critical = true, task = name, trouble, "a background task is lost, stopping");
        self.0.exit_code.fetch_max(exit_code, Ordering::Relaxed);
        self.stop();
    }

    /// Stops without an announcement.
    pub(crate) fn stop(&self) {
        self.0.announced.cancel();
        self.0.stopping.cancel();
    }

    /// Waits for the stop, then for the work in flight, and then for the tasks of [`Lifecycle::spawn_beside`].
    pub(crate) async fn wait(&self, signals: &mut Signals, limits: Limits) -> ExitCode {
        if let Some(signal) = self.end_work(signals, limits).await {
            tracing::warn!(signal, "asked twice: stopping at once");
            self.0.exit_code.fetch_max(FAILED, Ordering::Relaxed);
        } else {
            self.0.ended.cancel();
            self.0.beside.close();
            // Tasks that take longer are abandoned.
            let _late = tokio::time::timeout(LAST, self.0.beside.wait()).await;
        }
        ExitCode::from(self.0.exit_code.load(Ordering::Relaxed))
    }

    /// Returns the second signal if one came.
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
                tracing::warn!(tasks = self.0.tasks.len(), "work in flight is given back: it took too long");
                None
            }
            second = signals.next() => Some(second),
        }
    }
}

/// How long a stop may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// How long the process continues after the stop was announced.
    pub(crate) delay: Duration,
    /// How long work in flight may take to end.
    pub(crate) drain: Duration,
}

const SIGTERM: &str = "SIGTERM";

/// The signals that ask for a stop: SIGTERM of orchestrators, SIGINT of a person at a terminal.
#[derive(Debug)]
pub struct Signals {
    term: Signal,
    int: Signal,
}

impl Signals {
    /// Receives the signals from now on, so that they no longer end the process by default.
    ///
    /// # Errors
    /// The signal handlers cannot be installed.
    pub fn install() -> io::Result<Self> {
        Ok(Self { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next signal and returns its name; cancel-safe.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.term.recv() => SIGTERM,
            _ = self.int.recv() => "SIGINT",
        }
    }
}
