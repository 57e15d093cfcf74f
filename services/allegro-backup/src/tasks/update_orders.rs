//! `update_order_from_event`

use tasks::{Outcome, Task, TaskContext, TaskError};

use super::account::{conclude, owner};
use crate::app::rereading;
use crate::app::task_definitions::UpdateOrders;
use crate::app::upsert::Source;
use crate::state::State;

impl Task for UpdateOrders {
    const KIND: &'static str = "update_order_from_event";
    type State = State;

    async fn run(self, context: TaskContext<'_, State>) -> Result<Outcome, TaskError> {
        let TaskContext { state, run } = context;
        let owner = owner(state, self.token_id).await?;
        let ended = rereading::orders(state, run, &owner, (&self.order_ids, Source::Detail)).await;
        conclude::<Self>(&context, &owner, None, ended).await
    }
}
