//! One attempt of one task, as passed to its handler.

use std::time::Duration;

use domain::TaskId;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::model::{Progress, TaskError, TaskRecord};
use crate::store::{self, Ending};

/// A handler's access to its task. Writes are rejected once the task belongs to another attempt.
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

    /// Fails if the task was taken over or cancelled, or if the process stops. Handlers call it between steps.
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

    /// Waits between two steps, until the process stops at the latest.
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

    /// Records the progress, in the transaction of the step. A worker that was taken over fails here, and its step is
    /// rolled back.
    ///
    /// # Errors
    /// [`TaskError::Lost`], or an error of the database.
    pub async fn progress(&self, conn: &mut pg::Connection, progress: &Progress) -> Result<(), TaskError> {
        self.check()?;
        if store::progress(conn, self.task.id, self.task.attempt, progress).await? {
            Ok(())
        } else {
            Err(TaskError::Lost)
        }
    }

    /// Records the success, in the transaction of the last effects.
    ///
    /// # Errors
    /// [`TaskError::Lost`], or an error of the database.
    pub async fn finish(&self, conn: &mut pg::Connection, result: &Value) -> Result<(), TaskError> {
        if store::end(conn, self.task.id, self.task.attempt, Ending::Succeeded(result)).await? {
            Ok(())
        } else {
            Err(TaskError::Lost)
        }
    }
}
