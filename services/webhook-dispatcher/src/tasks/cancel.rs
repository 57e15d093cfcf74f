//! `cancel_deliveries`

use ::tasks::{Outcome, Progress, Task, TaskContext, TaskError};
use serde_json::json;

use super::STEP;
use crate::app::replays::CancelDeliveries;
use crate::state::State;
use crate::store::redelivery::{self, FIRST};

impl Task for CancelDeliveries {
    const KIND: &'static str = "cancel_deliveries";
    type State = State;

    async fn run(self, TaskContext { state, run }: TaskContext<'_, State>) -> Result<Outcome, TaskError> {
        let (mut after, mut done) = (FIRST, 0);
        loop {
            run.check()?;
            let step = state
                .pool
                .transaction(async |conn| {
                    let step =
                        redelivery::cancel_all(conn, self.webhook_id, after, STEP, state.now()).await?;
                    let current = done + step.changed;
                    let progress = Progress { current, total: current, stage: "deliveries".to_owned() };
                    run.progress(conn, &progress).await?;
                    Ok::<_, TaskError>(step)
                })
                .await?;
            done += step.changed;
            let Some(last) = step.last() else { break };
            after = last;
        }
        Ok(Outcome::Success(json!({ "cancelled": done })))
    }
}
