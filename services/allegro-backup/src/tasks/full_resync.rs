//! `full_resync_user_orders`

use tasks::{Outcome, Task, TaskContext, TaskError};

use super::account::{conclude, owner};
use crate::app::history::Kind;
use crate::app::list_sync::{self, Wish};
use crate::app::task_definitions::FullResync;
use crate::state::State;

impl Task for FullResync {
    const KIND: &'static str = "full_resync_user_orders";
    type State = State;

    async fn run(self, context: TaskContext<'_, State>) -> Result<Outcome, TaskError> {
        let TaskContext { state, run } = context;
        let owner = owner(state, self.token_id).await?;
        let ended = list_sync::sync(state, run, &owner, Wish::Whole).await;
        conclude::<Self>(&context, &owner, Some(Kind::Manual), ended).await
    }
}
