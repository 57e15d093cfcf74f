//! `retry_failed_orders`

use tasks::{Outcome, Task, TaskContext, TaskError};

use crate::app::rereading;
use crate::app::task_definitions::RetryFailedOrders;
use crate::state::State;

impl Task for RetryFailedOrders {
    const KIND: &'static str = "retry_failed_orders";
    type State = State;

    async fn run(self, TaskContext { state, run }: TaskContext<'_, State>) -> Result<Outcome, TaskError> {
        rereading::retry_failed(state, run).await?;
        Ok(Outcome::Finished)
    }
}
