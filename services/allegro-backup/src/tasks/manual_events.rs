//! `manual_process_events`

use tasks::{Outcome, Task, TaskContext, TaskError};

use crate::app::syncs;
use crate::app::task_definitions::ManualEvents;
use crate::state::State;

impl Task for ManualEvents {
    const KIND: &'static str = "manual_process_events";
    type State = State;

    async fn run(self, TaskContext { state, run }: TaskContext<'_, State>) -> Result<Outcome, TaskError> {
        syncs::process_journals(state, run, &self.token_ids, self.from_date).await?;
        Ok(Outcome::Finished)
    }
}
