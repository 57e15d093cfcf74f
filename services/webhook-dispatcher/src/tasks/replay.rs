//! `replay_deliveries`

use ::tasks::{Outcome, Progress, Task, TaskContext, TaskError};
use serde_json::json;

use super::STEP;
use crate::app::replays::ReplayDeliveries;
use crate::state::State;
use crate::store::redelivery::{self, FIRST};
use crate::store::subscriptions;

impl Task for ReplayDeliveries {
    const KIND: &'static str = "replay_deliveries";
    type State = State;

    async fn run(self, TaskContext { state, run }: TaskContext<'_, State>) -> Result<Outcome, TaskError> {
        let (id, asked_at) = (self.webhook_id, run.task().created_at);
        // An earlier run of this task has changed what it counted: the count continues from its progress.
        let mut done = run.task().progress.as_ref().map_or(0, |progress| progress.current);
        let mut total = done;
        let mut conn = state.pool.get().await?;
        for filter in &self.filters {
            total += redelivery::count(&mut conn, id, filter, asked_at).await?;
        }
        drop(conn);
        let mut expired = 0;
        for filter in &self.filters {
            let mut after = FIRST;
            loop {
                run.check()?;
                let step = state
                    .pool
                    .transaction(async |conn| {
                        let found = subscriptions::ownership(conn, id).await?;
                        if !found.is_some_and(|it| it.is_active) {
                            let reason = "the subscription was removed or is not active";
                            return Err(TaskError::Fail(reason.to_owned()));
                        }
                        let now = state.now();
                        let step = redelivery::replay(conn, id, filter, asked_at, after, STEP, now).await?;
                        let current = done + step.changed + step.expired;
                        let progress =
                            Progress { current, total: total.max(current), stage: "deliveries".to_owned() };
                        run.progress(conn, &progress).await?;
                        Ok(step)
                    })
                    .await?;
                failpoint::hit("webhook.after_replay_step");
                done += step.changed + step.expired;
                expired += step.expired;
                let Some(last) = step.last() else { break };
                after = last;
            }
        }
        Ok(Outcome::Success(json!({ "replayed": done - expired, "expired": expired })))
    }
}
