//! From start to stop.
//!
//! Invariants: a background task never dies silently — when one ends before a stop was asked for, the
//! process ends with a failure, so that the orchestrator starts it anew; and a stop asked for once lets
//! work in flight finish, 25 s at most. A panic in one unit of a task's work is caught by the task itself
//! ([`domain::catch_panic`]) and does not end it.

use std::future::Future;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use domain::catch_panic;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long work in flight may take to end. Kubernetes kills after 30 s unless told otherwise.
const DRAIN: Duration = Duration::from_secs(25);

/// The life of the process, shared by all who work in it.
#[derive(Debug, Clone, Default)]
pub struct Lifecycle(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    stopping: CancellationToken,
    tasks: TaskTracker,
    failed: AtomicBool,
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
        let life = self.clone();
        self.0.tasks.spawn(async move {
            let trouble = match catch_panic(task).await.map(Outcome::error) {
                Ok(None) if life.is_stopping() => return,
                Ok(None) => "ended by itself".to_owned(),
                Ok(Some(error)) => format!("{error:#}"),
                Err(panic) => panic.to_string(),
            };
            tracing::error!(critical = true, task = name, trouble, "a background task is lost, stopping");
            life.fail();
        });
    }

    /// Stops the process with a failure.
    pub(crate) fn fail(&self) {
        self.0.failed.store(true, Ordering::Relaxed);
        self.0.stopping.cancel();
    }

    /// Waits for the stop and then for the work in flight.
    pub(crate) async fn wait(&self, signals: &mut Signals) -> ExitCode {
        tokio::select! {
            () = self.0.stopping.cancelled() => {}
            name = signals.next() => {
                tracing::info!(signal = name, "stopping");
                self.0.stopping.cancel();
            }
        }
        self.0.tasks.close();
        tokio::select! {
            () = self.0.tasks.wait() => {}
            () = tokio::time::sleep(DRAIN) => {
                tracing::warn!(tasks = self.0.tasks.len(), "work in flight is given back: it took too long");
            }
            name = signals.next() => {
                tracing::warn!(signal = name, "asked twice: stopping at once");
                self.0.failed.store(true, Ordering::Relaxed);
            }
        }
        if self.0.failed.load(Ordering::Relaxed) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}

/// The signals that ask for a stop: SIGTERM of orchestrators, SIGINT of a person at a terminal.
#[derive(Debug)]
pub struct Signals {
    term: Signal,
    int: Signal,
}

impl Signals {
    /// From now on the signals are received here, and no longer end the process by themselves.
    ///
    /// # Errors
    /// The operating system's.
    pub fn install() -> io::Result<Self> {
        Ok(Self { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next one and returns its name; may be dropped while it waits.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.term.recv() => "SIGTERM",
            _ = self.int.recv() => "SIGINT",
        }
    }
}
