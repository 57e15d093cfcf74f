//! Tasks, their status, and the results of attempts.

use std::fmt;
use std::time::Duration;

use domain::{Chain, Panic, TaskId};
use pg::sealed::SealError;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;

use crate::task::{Payload, Task};

/// The delay before a retry when the worker lacks a key.
const KEY_WAIT: Duration = Duration::from_secs(10);

/// A task to enqueue.
#[derive(Debug, Clone)]
pub struct NewTask {
    /// The [`crate::Task`] to run.
    pub payload: Payload,
    /// Tasks of one queue run one at a time.
    pub queue: String,
    /// Earliest start. `None` is now.
    pub run_at: Option<OffsetDateTime>,
    /// At most one unfinished task has this key.
    pub unique_key: Option<String>,
    /// Maximum number of attempts before the task fails.
    pub max_attempts: i32,
    /// The requester.
    pub requested_by: Option<String>,
    /// The user whose data it works on. A user-scoped credential sees and cancels only that user's tasks.
    pub user_id: Option<String>,
    /// Correlation id of the request that enqueued it.
    pub correlation_id: Option<String>,
}

impl NewTask {
    /// A task that is due now, runs at most five times and has no requester.
    pub fn new<T: Task>(task: &T, queue: impl Into<String>) -> Self {
        Self {
            payload: Payload::of(task),
            queue: queue.into(),
            run_at: None,
            unique_key: None,
            max_attempts: 5,
            requested_by: None,
            user_id: None,
            correlation_id: None,
        }
    }
}

/// Status of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Waits for its time and a worker.
    Queued,
    /// A worker runs it.
    Running,
    /// Failed or was interrupted, and waits for its next attempt.
    Retrying,
    /// Finished successfully.
    Succeeded,
    /// Failed permanently.
    Failed,
    /// Cancelled.
    Cancelled,
}

impl Status {
    /// All statuses.
    pub const ALL: [Self; 6] =
        [Self::Queued, Self::Running, Self::Retrying, Self::Succeeded, Self::Failed, Self::Cancelled];

    /// The value in the table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Retrying => "retrying",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Parses the value in the table.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// Whether the task has ended.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Progress of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Items that are finished.
    pub current: i64,
    /// Total items, if known.
    pub total: i64,
    /// The current stage, in one word.
    pub stage: String,
}

/// A row of `task_history`.
#[derive(Debug, Clone)]
pub struct TaskRecord {
    /// The task's id.
    pub id: TaskId,
    /// Kind of the work.
    pub kind: String,
    /// The queue of the task.
    pub queue: String,
    /// The [`crate::Task`] as JSON.
    pub payload: Value,
    /// The current status.
    pub status: Status,
    /// The current progress.
    pub progress: Option<Progress>,
    /// Number of attempts so far, and the fence that rejects writes of an earlier attempt.
    pub attempt: i32,
    /// Maximum number of attempts before the task fails.
    pub max_attempts: i32,
    /// Earliest start.
    pub run_at: OffsetDateTime,
    /// Result of the last attempt.
    pub result: Option<Value>,
    /// Error of the last attempt.
    pub error: Option<String>,
    /// The requester.
    pub requested_by: Option<String>,
    /// The user whose data it works on.
    pub user_id: Option<String>,
    /// Correlation id of the request that enqueued it.
    pub correlation_id: Option<String>,
    /// When it was enqueued.
    pub created_at: OffsetDateTime,
    /// When the last attempt began.
    pub started_at: Option<OffsetDateTime>,
    /// When it ended.
    pub finished_at: Option<OffsetDateTime>,
    /// When the row was last changed.
    pub updated_at: OffsetDateTime,
}

/// The outcome of a successful attempt.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The handler wrote the end itself, in the transaction of its last effects ([`crate::Run::finish`]).
    Finished,
    /// The runner writes this result.
    Success(Value),
}

/// The error of an attempt.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// A failure that may pass. It uses an attempt.
    #[error("{reason}")]
    Retry {
        /// Delay before the next attempt.
        after: Duration,
        /// The cause.
        reason: String,
    },
    /// A dependency is unavailable, or the process stops. It is retried and uses no attempt.
    #[error("{reason}")]
    Postpone {
        /// Delay before the next attempt.
        after: Duration,
        /// The cause.
        reason: String,
    },
    /// A collision with other transactions. The attempt is repeated at once, a few times; then it is a [`TaskError::Retry`].
    #[error("{reason}")]
    Collision {
        /// Delay before the next attempt.
        after: Duration,
        /// The cause.
        reason: String,
    },
    /// A permanent error. The task fails.
    #[error("{0}")]
    Fail(String),
    /// The task was taken over or cancelled. Nothing is written.
    #[error("the task was taken over or cancelled")]
    Lost,
}

impl TaskError {
    /// The process stops. Another worker continues the task, and this attempt does not count.
    pub(crate) fn stopped() -> Self {
        Self::Postpone { after: Duration::ZERO, reason: "the process stopped".to_owned() }
    }
}

impl From<Panic> for TaskError {
    fn from(panic: Panic) -> Self {
        Self::Retry { after: Duration::from_secs(1), reason: format!("the task {panic}") }
    }
}

impl From<SealError> for TaskError {
    /// A missing key postpones the task, because another process may have the key. Any other unreadable value fails the
    /// task.
    fn from(error: SealError) -> Self {
        let reason = error.to_string();
        match error {
            SealError::UnknownKey(_) => Self::Postpone { after: KEY_WAIT, reason },
            SealError::NoKey
            | SealError::KeyId(_)
            | SealError::Damaged
            | SealError::DoesNotOpen { .. }
            | SealError::CannotSeal => Self::Fail(reason),
        }
    }
}

impl From<pg::Error> for TaskError {
    /// An unavailable database postpones the task. A value that can never be stored fails it. Other errors use an attempt.
    fn from(error: pg::Error) -> Self {
        let reason = error.to_string();
        let after = Duration::from_secs(1);
        if error.is_unavailable() {
            tracing::warn!(error = %Chain(&error), "database unavailable; task will be postponed");
            Self::Postpone { after, reason }
        } else if matches!(error, pg::Error::Collision(_)) {
            tracing::warn!(error = %Chain(&error), "task collided with other transactions");
            Self::Collision { after, reason }
        } else {
            tracing::error!(error = %Chain(&error), "query of a task failed");
            if error.is_permanent() { Self::Fail(reason) } else { Self::Retry { after, reason } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::TaskError;

    #[test]
    fn a_task_whose_value_can_never_be_stored_fails_at_once() {
        let error = TaskError::from(pg::Error::unwritable("no JSON"));
        assert!(matches!(error, TaskError::Fail(_)), "{error:?}");
    }
}
