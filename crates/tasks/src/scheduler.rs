//! Asks for the tasks of due schedules. Any number of processes may: a row is taken by one of them.

use std::sync::Arc;
use std::time::Duration;

use domain::{Chain, IdSource, backoff, panic_as_error};
use tokio_util::sync::CancellationToken;

use crate::schedules::{self, NewSchedule, Start};

/// How often due schedules are looked for.
const POLL: Duration = Duration::from_secs(1);
/// Schedules started in one transaction.
const BATCH: usize = 500;

/// Runs the schedules of a service.
pub struct Scheduler {
    pool: pg::Pool,
    ids: Arc<dyn IdSource>,
    standing: Vec<NewSchedule>,
    intervals: Vec<(&'static str, Duration)>,
}

impl Scheduler {
    /// A scheduler of the schema behind this pool; `standing` are the schedules the service has whatever its data.
    pub fn new(pool: pg::Pool, ids: Arc<dyn IdSource>, standing: Vec<NewSchedule>) -> Self {
        Self { pool, ids, standing, intervals: Vec::new() }
    }

    /// Lets all schedules of a kind run so often, for example as often as the configuration says: those that were made
    /// under another configuration are brought up to date at the start.
    #[must_use]
    pub fn every(mut self, kind: &'static str, interval: Duration) -> Self {
        self.intervals.push((kind, interval));
        self
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
            let pause = match panic_as_error(looked).await {
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
            let now = pg::now(&mut conn).await?;
            schedules::put(&mut conn, now, schedule).await?;
        }
        for (kind, interval) in &self.intervals {
            let changed = schedules::set_interval(&mut conn, kind, *interval).await?;
            if changed > 0 {
                tracing::info!(kind, schedules = changed, every = ?interval, "schedules run by the new interval");
            }
        }
        Ok(())
    }

    async fn start_due(&self) -> Result<usize, pg::Error> {
        // There before anything was started.
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
                    match schedules::next(&schedule, now) {
                        Ok(next_run_at) => {
                            let (name, task_id) = (schedule.name.clone(), self.ids.next_id().into());
                            starts.push(Start { name, task_id, next_run_at });
                            started.push(schedule);
                        }
                        Err(_reported) => unreadable.push(schedule.name),
                    }
                }
                let unreadable: Vec<&str> = unreadable.iter().map(String::as_str).collect();
                schedules::postpone(conn, &unreadable).await?;
                schedules::start(conn, &starts).await?;
                Ok((now, started))
            })
            .await?;
        for schedule in &due {
            late.record((now - schedule.next_run_at).as_seconds_f64());
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
