//! What a task is, and how it may end.

use std::fmt;
use std::time::Duration;

use domain::{Chain, Panic, TaskId};
use pg::sealed::SealError;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;

use crate::task::{Payload, Task};

/// The wait before a retry when the worker lacks a key.
const KEY_WAIT: Duration = Duration::from_secs(10);

/// A task to enqueue.
#[derive(Debug, Clone)]
pub struct NewTask {
    /// The [`crate::Task`] to run.
    pub payload: Payload,
    /// Tasks of one queue run one at a time.
    pub queue: String,
    /// Not before this moment; at once when absent.
    pub run_at: Option<OffsetDateTime>,
    /// At most one live task has this key.
    pub unique_key: Option<String>,
    /// Tries before the task counts as failed.
    pub max_attempts: i32,
    /// Who asked for it.
    pub requested_by: Option<String>,
    /// Whose data it works on: a caller bound to a user sees and cancels only that user's tasks.
    pub user_id: Option<String>,
    /// Ties it to the request that asked for it.
    pub correlation_id: Option<String>,
}

impl NewTask {
    /// A task that is due now and runs at most five times, with no requester.
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

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Waits for its time and a worker.
    Queued,
    /// A worker is at it.
    Running,
    /// Failed or was interrupted, and waits for its next try.
    Retrying,
    /// Done.
    Succeeded,
    /// Given up.
    Failed,
    /// Called off.
    Cancelled,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Queued, Self::Running, Self::Retrying, Self::Succeeded, Self::Failed, Self::Cancelled];

    /// The word in the table.
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

    /// Reads the word in the table.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// True when nothing more will happen.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How far a task has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Items done.
    pub current: i64,
    /// Items in all, as far as is known now.
    pub total: i64,
    /// What is being done, in a word.
    pub stage: String,
}

/// A row of `task_history`.
#[derive(Debug, Clone)]
pub struct TaskRecord {
    /// Its id.
    pub id: TaskId,
    /// What kind of work.
    pub kind: String,
    /// The queue it waits in.
    pub queue: String,
    /// The [`crate::Task`] as JSON.
    pub payload: Value,
    /// Where it stands.
    pub status: Status,
    /// How far it has come.
    pub progress: Option<Progress>,
    /// Tries so far; also the guard that keeps an old worker from writing.
    pub attempt: i32,
    /// Tries before it counts as failed.
    pub max_attempts: i32,
    /// Not before this moment.
    pub run_at: OffsetDateTime,
    /// What came of it.
    pub result: Option<Value>,
    /// What went wrong at the last try.
    pub error: Option<String>,
    /// Who asked for it.
    pub requested_by: Option<String>,
    /// Whose data it works on.
    pub user_id: Option<String>,
    /// Ties it to the request that asked for it.
    pub correlation_id: Option<String>,
    /// When it was asked for.
    pub created_at: OffsetDateTime,
    /// When the last try began.
    pub started_at: Option<OffsetDateTime>,
    /// When it ended.
    pub finished_at: Option<OffsetDateTime>,
    /// When its row changed last.
    pub updated_at: OffsetDateTime,
}

/// How a try ended well.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The handler wrote the end itself, in the transaction of its last effects ([`crate::Run::finish`]).
    Finished,
    /// Done; the runner writes the result.
    Success(Value),
}

/// How a try did not end well.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// Worth another try.
    #[error("{reason}")]
    Retry {
        /// How long to wait.
        after: Duration,
        /// What stood in the way.
        reason: String,
    },
    /// A dependency is away or the process stops: try again, and do not count this one.
    #[error("{reason}")]
    Postpone {
        /// How long to wait.
        after: Duration,
        /// What stood in the way.
        reason: String,
    },
    /// No try will help.
    #[error("{0}")]
    Fail(String),
    /// The task is another worker's now, or was cancelled: leave without a trace.
    #[error("the task is no longer this worker's")]
    Lost,
}

impl TaskError {
    /// The process stops: another takes the task up, and this try does not count.
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
        if error.is_unavailable() || matches!(error, pg::Error::Collision(_)) {
            tracing::warn!(error = %Chain(&error), "the database stood in a task's way");
            Self::Postpone { after, reason }
        } else {
            tracing::error!(error = %Chain(&error), "a query of a task failed");
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
