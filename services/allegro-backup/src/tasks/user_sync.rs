//! `sync_user_orders`

use tasks::{Outcome, Task, TaskContext, TaskError};

use super::account::{conclude, owner};
use crate::app::history::Kind;
use crate::app::list_sync::{self, Wish};
use crate::app::task_definitions::UserSync;
use crate::state::State;

impl Task for UserSync {
    const KIND: &'static str = "sync_user_orders";
    type State = State;

    async fn run(self, context: TaskContext<'_, State>) -> Result<Outcome, TaskError> {
        let TaskContext { state, run } = context;
        let owner = owner(state, self.token_id).await?;
        let Self { token_id: _, from, to, on_duplicate } = self;
        let ended = list_sync::sync(state, run, &owner, Wish::Manual { from, to, on_duplicate }).await;
        conclude::<Self>(&context, &owner, Some(Kind::Manual), ended).await
    }
}
