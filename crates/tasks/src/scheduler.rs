//! Asks for the tasks of due schedules. Any number of processes may: a row is taken by one of them.

use std::sync::Arc;
use std::time::Duration;

use domain::{Chain, Clock, IdSource, backoff};
use tokio_util::sync::CancellationToken;

use crate::schedules::{self, NewSchedule, Start};

/// How often due schedules are looked for.
const POLL: Duration = Duration::from_secs(1);
/// Schedules started in one transaction.
const BATCH: usize = 500;

/// Runs the schedules of a service.
pub struct Scheduler {
    pool: pg::Pool,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
    standing: Vec<NewSchedule>,
}

impl Scheduler {
    /// A scheduler of the schema behind this pool; `standing` are the schedules the service has whatever its data.
    pub fn new(
        pool: pg::Pool,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
        standing: Vec<NewSchedule>,
    ) -> Self {
        Self { pool, clock, ids, standing }
    }

    /// Starts what is due until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut failures = 0_u32;
        let mut is_prepared = false;
        while !stop.is_cancelled() {
            let looked = async {
                if !is_prepared {
                    self.prepare().await?;
                    is_prepared = true;
                }
                self.start_due().await
            };
            let pause = match looked.await {
                Ok(started) if started == BATCH => continue,
                Ok(_) => {
                    failures = 0;
                    POLL
                }
                Err(error) => {
                    failures += 1;
                    tracing::warn!(error = %Chain(&error), "looking for due schedules failed");
                    backoff::exponential(POLL, failures, Duration::from_secs(15))
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn prepare(&self) -> Result<(), pg::Error> {
        let mut conn = self.pool.get().await?;
        for schedule in &self.standing {
            schedules::put(&mut conn, self.clock.now(), schedule).await?;
        }
        Ok(())
    }

    async fn start_due(&self) -> Result<usize, pg::Error> {
        let now = self.clock.now();
        let due = self
            .pool
            .transaction(async |conn| {
                let limit = i64::try_from(BATCH).unwrap_or(i64::MAX);
                let due = schedules::due(conn, now, limit).await?;
                if due.is_empty() {
                    return Ok::<_, pg::Error>(due);
                }
                let starts: Vec<Start> = due
                    .iter()
                    .map(|schedule| Start {
                        name: schedule.name.clone(),
                        task_id: self.ids.next_id().into(),
                        next_run_at: schedules::next(schedule, now),
                    })
                    .collect();
                schedules::start(conn, now, &starts).await?;
                Ok(due)
            })
            .await?;
        for schedule in &due {
            metrics::histogram!("schedules_late_seconds")
                .record((now - schedule.next_run_at).as_seconds_f64());
            tracing::debug!(name = schedule.name, kind = schedule.kind, "a schedule was started");
        }
        Ok(due.len())
    }
}

impl std::fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scheduler").finish_non_exhaustive()
    }
}
