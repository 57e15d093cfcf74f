//! One try of one task, as its handler sees it.

use std::time::Duration;

use domain::TaskId;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::model::{Progress, Status, TaskError, TaskRecord};
use crate::store::{self, Ending};

/// A handler's hold on its task. Every write through it is refused once the task is another attempt's.
#[derive(Debug)]
pub struct Run {
    task: TaskRecord,
    lost: CancellationToken,
    stop: CancellationToken,
}

impl Run {
    pub(crate) const fn new(task: TaskRecord, lost: CancellationToken, stop: CancellationToken) -> Self {
        Self { task, lost, stop }
    }

    /// The task.
    pub const fn task(&self) -> &TaskRecord {
        &self.task
    }

    /// The task's id.
    pub const fn id(&self) -> TaskId {
        self.task.id
    }

    /// Fails when the task is not this worker's any more, or the process stops; asked between steps.
    ///
    /// # Errors
    /// [`TaskError::Lost`], or [`TaskError::Postpone`] when the process stops.
    pub fn check(&self) -> Result<(), TaskError> {
        if self.lost.is_cancelled() {
            Err(TaskError::Lost)
        } else if self.stop.is_cancelled() {
            Err(TaskError::stopped())
        } else {
            Ok(())
        }
    }

    /// Waits between two steps, no longer than the process runs.
    ///
    /// # Errors
    /// As [`Run::check`].
    pub async fn pause(&self, wait: Duration) -> Result<(), TaskError> {
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = tokio::time::sleep(wait) => {}
        }
        self.check()
    }

    /// Says how far the task is, in the transaction that did the step: a worker that was taken over fails here,
    /// and its step is rolled back.
    ///
    /// # Errors
    /// [`TaskError::Lost`], or the database's.
    pub async fn progress(&self, conn: &mut pg::Connection, progress: &Progress) -> Result<(), TaskError> {
        self.check()?;
        if store::progress(conn, self.task.id, self.task.attempt, progress).await? {
            Ok(())
        } else {
            Err(TaskError::Lost)
        }
    }

    /// Writes the good end in the transaction of the last effects.
    ///
    /// # Errors
    /// [`TaskError::Lost`], or the database's.
    pub async fn finish(&self, conn: &mut pg::Connection, result: &Value) -> Result<(), TaskError> {
        let ending = Ending {
            status: Status::Succeeded,
            result: Some(result),
            error: None,
            again_after: None,
            uncounted: false,
        };
        if store::end(conn, self.task.id, self.task.attempt, &ending).await? {
            Ok(())
        } else {
            Err(TaskError::Lost)
        }
    }
}
