//! `process_order_events`

use tasks::{Outcome, Task, TaskContext, TaskError};

use super::account::{conclude, owner};
use crate::app::event_sync::{self, Begin};
use crate::app::history::Kind;
use crate::app::task_definitions::ProcessEvents;
use crate::state::State;

impl Task for ProcessEvents {
    const KIND: &'static str = "process_order_events";
    type State = State;

    async fn run(self, context: TaskContext<'_, State>) -> Result<Outcome, TaskError> {
        let TaskContext { state, run } = context;
        let owner = owner(state, self.token_id).await?;
        let Self { token_id: _, event_id, again } = self;
        let ended = event_sync::sync(state, run, &owner, Begin::After { event_id, again }).await;
        conclude::<Self>(&context, &owner, Some(Kind::Events), ended).await
    }
}
