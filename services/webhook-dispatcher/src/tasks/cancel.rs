//! What is on its way to a removed subscription is called off.

use ::tasks::{Outcome, Progress, Run, TaskError, TaskHandler};
use domain::SubscriptionId;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::json;

use super::STEP;
use crate::app::replays::CANCEL;
use crate::state::State;
use crate::store::again::{self, FIRST};

/// Calls deliveries off.
#[derive(Debug)]
pub(crate) struct CancelDeliveries(pub(crate) State);

impl TaskHandler for CancelDeliveries {
    fn kind(&self) -> &'static str {
        CANCEL
    }

    fn run<'a>(&'a self, run: &'a Run) -> BoxFuture<'a, Result<Outcome, TaskError>> {
        self.cancel(run).boxed()
    }
}

impl CancelDeliveries {
    async fn cancel(&self, run: &Run) -> Result<Outcome, TaskError> {
        let named = run.task().payload.get("webhook_id").and_then(|id| id.as_str()?.parse().ok());
        let id: SubscriptionId =
            named.ok_or_else(|| TaskError::Fail("the task names no subscription".to_owned()))?;
        let state = &self.0;
        let (mut after, mut done) = (FIRST, 0);
        loop {
            run.check()?;
            let step = state
                .pool
                .transaction(async |conn| {
                    let step = again::cancel_all(conn, id, after, STEP, state.now()).await?;
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
