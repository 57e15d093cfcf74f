//! Enqueues the tasks of due schedules. Any number of processes may run one: a due row is claimed by one of them.

use std::sync::Arc;
use std::time::Duration;

use domain::{Chain, IdSource, backoff, panic_as_error};
use tokio_util::sync::CancellationToken;

use crate::schedules::{self, NewSchedule, Start};

/// Poll interval of due schedules.
const POLL: Duration = Duration::from_secs(1);
/// Delay of a due schedule that cannot be read.
const UNREADABLE_DELAY: Duration = Duration::from_mins(1);
/// Maximum number of schedules started in one transaction.
const BATCH: usize = 500;

/// Runs the schedules of a service.
pub struct Scheduler {
    pool: pg::Pool,
    ids: Arc<dyn IdSource>,
    fixed: Vec<NewSchedule>,
    intervals: Vec<(&'static str, Duration)>,
}

impl Scheduler {
    /// A scheduler of this schema. `fixed` are the service's own schedules, which do not depend on its data.
    pub fn new(pool: pg::Pool, ids: Arc<dyn IdSource>, fixed: Vec<NewSchedule>) -> Self {
        Self { pool, ids, fixed, intervals: Vec::new() }
    }

    /// Sets the interval of all schedules of a kind, for example to a configured value. Existing schedules are updated
    /// at the start.
    #[must_use]
    pub fn every(mut self, kind: &'static str, interval: Duration) -> Self {
        self.intervals.push((kind, interval));
        self
    }

    /// Starts due schedules until `stop`.
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
            let pause = match panic_as_error(looked).await {
                Ok(started) if started == BATCH => continue,
                Ok(_) => {
                    failures = 0;
                    POLL
                }
                Err(error) => {
                    failures += 1;
                    tracing::warn!(error = %Chain(&error), "claiming due schedules failed; will retry");
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
        for schedule in &self.fixed {
            let now = pg::now(&mut conn).await?;
            schedules::put(&mut conn, now, schedule).await?;
        }
        for (kind, interval) in &self.intervals {
            let changed = schedules::set_interval(&mut conn, kind, *interval).await?;
            if changed > 0 {
                tracing::info!(kind, schedules = changed, every = ?interval, "interval of schedules changed");
            }
        }
        Ok(())
    }

    async fn start_due(&self) -> Result<usize, pg::Error> {
        // The metric exists before the first schedule is started.
        let late = metrics::histogram!("schedules_late_seconds");
        let (now, due) = self
            .pool
            .transaction(async |conn| {
                let now = pg::now(conn).await?;
                let limit = i64::try_from(BATCH).unwrap_or(i64::MAX);
                let due = schedules::due(conn, limit).await?;
                if due.is_empty() {
                    return Ok::<_, pg::Error>((now, due));
                }
                let (mut starts, mut started, mut unreadable) = (Vec::new(), Vec::new(), Vec::new());
                for schedule in due {
                    match schedule.next(now) {
                        Ok(next_run_at) => {
                            let (name, task_id) = (schedule.name.clone(), self.ids.next_id().into());
                            starts.push(Start { name, task_id, next_run_at });
                            started.push(schedule);
                        }
                        Err(_reported) => unreadable.push(schedule.name),
                    }
                }
                let unreadable: Vec<&str> = unreadable.iter().map(String::as_str).collect();
                schedules::postpone(conn, &unreadable, now + UNREADABLE_DELAY).await?;
                schedules::start(conn, &starts).await?;
                Ok((now, started))
            })
            .await?;
        for schedule in &due {
            late.record((now - schedule.next_run_at).as_seconds_f64());
            tracing::debug!(name = schedule.name, kind = schedule.kind, "schedule started");
        }
        Ok(due.len())
    }
}

impl std::fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scheduler").finish_non_exhaustive()
    }
}
