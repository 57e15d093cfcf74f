//! `apply_retention`

use ::tasks::{Outcome, Task, TaskContext, TaskError};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::STEP;
use crate::state::State;
use crate::store::redelivery::FIRST;
use crate::store::retention;

/// Deletes what is older than the configured periods, in small steps.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ApplyRetention {}

impl Task for ApplyRetention {
    const KIND: &'static str = "apply_retention";
    type State = State;

    async fn run(self, TaskContext { state, run }: TaskContext<'_, State>) -> Result<Outcome, TaskError> {
        let (pool, keep, now) = (&state.pool, &state.keep, state.now());
        let cutoff = now - keep.payloads;
        let mut after = FIRST;
        loop {
            run.check()?;
            let step =
                pool.transaction(async |conn| retention::expunge(conn, cutoff, after, STEP).await).await?;
            let Some(last) = step else { break };
            after = last;
        }
        let cutoff = now - keep.attempts;
        let (mut after, mut attempts) = ((Uuid::nil(), 0), 0);
        loop {
            run.check()?;
            let step = pool
                .transaction(async |conn| retention::delete_attempts(conn, cutoff, after, STEP).await)
                .await?;
            attempts += step.deleted;
            let Some(last) = step.last() else { break };
            after = last;
        }
        let cutoff = now - keep.deliveries;
        let (mut after, mut deliveries) = (Uuid::nil(), 0);
        loop {
            run.check()?;
            let step = pool
                .transaction(async |conn| retention::delete_deliveries(conn, cutoff, after, STEP).await)
                .await?;
            deliveries += step.deleted;
            let Some(last) = step.last else { break };
            after = last;
        }
        Ok(Outcome::Success(json!({ "attempts": attempts, "deliveries": deliveries })))
    }
}
