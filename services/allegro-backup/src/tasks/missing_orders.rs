//! `sync_missing_orders`

use tasks::{Outcome, Task, TaskContext, TaskError};

use super::account::{conclude, owner};
use crate::app::rereading;
use crate::app::task_definitions::MissingOrders;
use crate::app::upsert::Source;
use crate::state::State;

impl Task for MissingOrders {
    const KIND: &'static str = "sync_missing_orders";
    type State = State;

    async fn run(self, context: TaskContext<'_, State>) -> Result<Outcome, TaskError> {
        let TaskContext { state, run } = context;
        let owner = owner(state, self.token_id).await?;
        let ended = if self.are_due {
            rereading::due(state, run, &owner).await
        } else {
            let source = if self.by_hand { Source::Asked } else { Source::Detail };
            rereading::orders(state, run, &owner, (&self.order_ids, source)).await
        };
        conclude::<Self>(&context, &owner, None, ended).await
    }
}
