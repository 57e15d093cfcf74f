//! `poll_authorization_status`

use tasks::{Outcome, Task, TaskContext, TaskError};

use crate::app::connect;
use crate::app::task_definitions::PollAuthorization;
use crate::state::State;

impl Task for PollAuthorization {
    const KIND: &'static str = "poll_authorization_status";
    type State = State;

    async fn run(self, TaskContext { state, run }: TaskContext<'_, State>) -> Result<Outcome, TaskError> {
        connect::poll(state, run, self.authorization_id).await?;
        Ok(Outcome::Finished)
    }
}
