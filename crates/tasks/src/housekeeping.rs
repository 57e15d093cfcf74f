//! Old tasks are forgotten, in small steps.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::json;

use crate::schedules::NewSchedule;
use crate::timing::Timing;
use crate::{Outcome, Progress, Run, TaskError, TaskHandler, history};

const KIND: &str = "delete_old_tasks";
/// Rows deleted in one transaction.
const STEP: i64 = 5_000;

/// The task that deletes tasks that ended long ago.
#[derive(Debug)]
pub struct Housekeeping {
    /// The schema.
    pub pool: pg::Pool,
    /// How long ended tasks are kept.
    pub keep: Duration,
}

impl Housekeeping {
    /// Once a day.
    pub fn schedule() -> NewSchedule {
        NewSchedule {
            name: KIND.to_owned(),
            kind: KIND,
            queue: KIND.to_owned(),
            payload: json!({}),
            max_attempts: 5,
            user_id: None,
            timing: Timing::every(Duration::from_hours(24)),
            first_run_at: None,
        }
    }
}

impl TaskHandler for Housekeeping {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn run<'a>(&'a self, run: &'a Run) -> BoxFuture<'a, Result<Outcome, TaskError>> {
        async move {
            let mut total = 0_i64;
            loop {
                let deleted = self
                    .pool
                    .transaction(async |conn| {
                        let deleted = history::delete_old(conn, self.keep, STEP).await?;
                        let deleted = i64::try_from(deleted).unwrap_or(i64::MAX);
                        let current = total + deleted;
                        let progress = Progress { current, total: current, stage: "tasks".to_owned() };
                        run.progress(conn, &progress).await?;
                        Ok::<_, TaskError>(deleted)
                    })
                    .await?;
                total += deleted;
                if deleted < STEP {
                    return Ok(Outcome::Success(json!({ "deleted": total })));
                }
            }
        }
        .boxed()
    }
}
