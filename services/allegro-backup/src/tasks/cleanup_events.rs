//! `cleanup_old_order_events`

use serde::{Deserialize, Serialize};
use tasks::{Outcome, Task, TaskContext, TaskError};

use crate::app::cleanup::{self, Old};
use crate::state::State;

/// Deletes old events of the journal.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct CleanupEvents {}

impl Task for CleanupEvents {
    const KIND: &'static str = "cleanup_old_order_events";
    type State = State;

    async fn run(self, TaskContext { state, run }: TaskContext<'_, State>) -> Result<Outcome, TaskError> {
        cleanup::forget(state, run, Old::Events).await?;
        Ok(Outcome::Finished)
    }
}
