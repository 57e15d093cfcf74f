//! `full_sync_all_orders`

use tasks::{Outcome, Task, TaskContext, TaskError};

use super::account::{conclude, owner};
use crate::app::history::Kind;
use crate::app::list_sync::{self, Wish};
use crate::app::task_definitions::FullSync;
use crate::state::State;

impl Task for FullSync {
    const KIND: &'static str = "full_sync_all_orders";
    type State = State;

    async fn run(self, context: TaskContext<'_, State>) -> Result<Outcome, TaskError> {
        let TaskContext { state, run } = context;
        let owner = owner(state, self.token_id).await?;
        let wish = if self.whole { Wish::Connected } else { Wish::Scheduled };
        let ended = list_sync::sync(state, run, &owner, wish).await;
        conclude::<Self>(&context, &owner, Some(Kind::List), ended).await
    }
}
