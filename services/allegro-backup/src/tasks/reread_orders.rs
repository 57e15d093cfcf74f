//! `reread_orders`

use tasks::{Outcome, Task, TaskContext, TaskError};

use super::account::{conclude, owner};
use crate::app::rereading;
use crate::app::task_definitions::RereadOrders;
use crate::state::State;

impl Task for RereadOrders {
    const KIND: &'static str = "reread_orders";
    type State = State;

    async fn run(self, context: TaskContext<'_, State>) -> Result<Outcome, TaskError> {
        let TaskContext { state, run } = context;
        let owner = owner(state, self.token_id).await?;
        let ended = rereading::after_events(state, run, &owner).await;
        conclude::<Self>(&context, &owner, None, ended).await
    }
}
