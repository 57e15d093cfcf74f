//! What is kept no longer goes, in small steps.

use std::time::Duration;

use ::tasks::schedules::NewSchedule;
use ::tasks::{Outcome, Run, TaskError, TaskHandler, Timing};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::json;
use uuid::Uuid;

use super::STEP;
use crate::state::State;
use crate::store::again::FIRST;
use crate::store::retention;

const KIND: &str = "apply_retention";

/// How long things are kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keep {
    pub(crate) payloads: Duration,
    pub(crate) attempts: Duration,
    pub(crate) deliveries: Duration,
}

/// Deletes what is older.
#[derive(Debug)]
pub(crate) struct Retention {
    pub(crate) state: State,
    pub(crate) keep: Keep,
}

impl Retention {
    /// Every hour.
    pub(crate) fn schedule() -> NewSchedule {
        NewSchedule {
            name: KIND.to_owned(),
            kind: KIND,
            queue: KIND.to_owned(),
            payload: json!({}),
            max_attempts: 5,
            user_id: None,
            timing: Timing::every(Duration::from_hours(1)),
            first_run_at: None,
        }
    }

    async fn apply(&self, run: &Run) -> Result<Outcome, TaskError> {
        let (pool, now) = (&self.state.pool, self.state.now());
        let cutoff = now - self.keep.payloads;
        let mut after = FIRST;
        loop {
            run.check()?;
            let step =
                pool.transaction(async |conn| retention::expunge(conn, cutoff, after, STEP).await).await?;
            let Some(last) = step else { break };
            after = last;
        }
        let cutoff = now - self.keep.attempts;
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
        let cutoff = now - self.keep.deliveries;
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

impl TaskHandler for Retention {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn run<'a>(&'a self, run: &'a Run) -> BoxFuture<'a, Result<Outcome, TaskError>> {
        self.apply(run).boxed()
    }
}
