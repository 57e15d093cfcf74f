//! `cleanup_old_sync_history`

use serde::{Deserialize, Serialize};
use tasks::{Outcome, Task, TaskContext, TaskError};

use crate::app::cleanup::{self, Old};
use crate::state::State;

/// Deletes old entries of the sync history.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct CleanupHistory {}

impl Task for CleanupHistory {
    const KIND: &'static str = "cleanup_old_sync_history";
    type State = State;

    async fn run(self, TaskContext { state, run }: TaskContext<'_, State>) -> Result<Outcome, TaskError> {
        cleanup::forget(state, run, Old::Readings).await?;
        Ok(Outcome::Finished)
    }
}
