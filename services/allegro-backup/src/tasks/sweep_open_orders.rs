//! `sweep_open_orders`

use tasks::{Outcome, Task, TaskContext, TaskError};

use super::account::{conclude, owner};
use crate::app::history::Kind;
use crate::app::rereading;
use crate::app::task_definitions::SweepOpenOrders;
use crate::state::State;

impl Task for SweepOpenOrders {
    const KIND: &'static str = "sweep_open_orders";
    type State = State;

    async fn run(self, context: TaskContext<'_, State>) -> Result<Outcome, TaskError> {
        let TaskContext { state, run } = context;
        let owner = owner(state, self.token_id).await?;
        let ended = rereading::sweep(state, run, &owner).await;
        conclude::<Self>(&context, &owner, Some(Kind::Sweep), ended).await
    }
}
