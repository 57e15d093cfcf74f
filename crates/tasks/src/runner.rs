//! Runs due tasks: claims them, renews their heartbeats, and writes the end of each attempt.

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::{Chain, backoff, panic_as_error};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use crate::heartbeats::Heartbeats;
use crate::model::{Outcome, TaskError, TaskRecord};
use crate::run::Run;
use crate::store::{self, Ending};
use crate::task::{Handler, Handlers};
use crate::unknown::Watch;

/// Maximum interval of heartbeats, so that a cancelled task stops soon.
const BEAT: Duration = Duration::from_secs(2);
/// Maximum number of runs of one attempt that collides with other transactions.
const COLLISION_RUNS: u32 = 5;
/// Pause before the second run. It doubles with each run, up to the maximum.
const COLLISION_PAUSE: Duration = Duration::from_millis(50);
const MAX_COLLISION_PAUSE: Duration = Duration::from_secs(1);
/// Interval between measurements of the due tasks.
const GAUGE: Duration = Duration::from_secs(5);

/// Settings of a runner.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Maximum number of concurrent tasks in this process.
    pub workers: usize,
    /// Poll interval of a free worker, for tasks that become due and for lost notifications.
    pub poll: Duration,
    /// Only tasks of queues that match one of these patterns. `*` matches any characters.
    pub queues: Vec<String>,
    /// A task whose worker is silent for this time is taken over. Heartbeats are at least six times as frequent.
    pub silence: Duration,
    /// Time until a running attempt must reach its next step when the process stops.
    pub grace: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            workers: 16,
            poll: Duration::from_millis(250),
            queues: vec!["*".to_owned()],
            silence: Duration::from_mins(1),
            grace: Duration::from_secs(10),
        }
    }
}

/// Runs the tasks of a service in this process. Any number of processes may run one.
pub struct Runner {
    pool: pg::Pool,
    handlers: Handlers,
    settings: Settings,
    /// `settings.queues` as LIKE patterns.
    queues: Vec<String>,
    heartbeats: Heartbeats,
}

impl Runner {
    /// A runner that claims only tasks of these kinds.
    pub fn new(pool: pg::Pool, handlers: Handlers, settings: Settings) -> Self {
        let queues = settings.queues.iter().map(|pattern| like(pattern)).collect();
        Self { pool, handlers, settings, queues, heartbeats: Heartbeats::default() }
    }

    /// Runs until `stop`, then lets running attempts reach their next step and releases them.
    pub async fn run(self, stop: CancellationToken) {
        let runner = Arc::new(self);
        let beating = AbortOnDropHandle::new(tokio::spawn(Arc::clone(&runner).beat()));
        let woken = Arc::new(Notify::new());
        let listening = {
            let (pool, woken) = (runner.pool.clone(), Arc::clone(&woken));
            tokio::spawn(async move { pool.wake_on("tasks", woken).await })
        };
        let listening = AbortOnDropHandle::new(listening);
        let kinds = runner.handlers.kinds();
        let mut tries = JoinSet::new();
        let mut next_takeover = Instant::now();
        let mut failures = 0_u32;
        while !stop.is_cancelled() {
            while tries.try_join_next().is_some() {}
            let claimed = if tries.len() < runner.settings.workers {
                panic_as_error(runner.look(&kinds, &mut next_takeover)).await
            } else {
                Ok(None)
            };
            let pause = match claimed {
                Ok(Some(task)) => {
                    failpoint::hit("tasks.after_claim");
                    failures = 0;
                    tries.spawn(Arc::clone(&runner).attempt(task, stop.clone()));
                    continue;
                }
                Ok(None) => {
                    failures = 0;
                    runner.settings.poll
                }
                Err(error) => {
                    failures += 1;
                    tracing::warn!(error = %Chain(&error), "claiming due tasks failed; will retry");
                    backoff::exponential(runner.settings.poll, failures, Duration::from_secs(15))
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
                () = woken.notified() => {}
                // A queue is free as soon as its task ends: claim again at once.
                Some(_) = tries.join_next(), if !tries.is_empty() => {}
            }
        }
        drop(listening);
        while tries.join_next().await.is_some() {}
        drop(beating);
    }

    /// Sends the heartbeats of all running attempts while it is polled.
    async fn beat(self: Arc<Self>) {
        let kinds = self.handlers.kinds();
        let mut unknown = Watch::default();
        let mut gauged = None::<Instant>;
        loop {
            tokio::time::sleep(BEAT.min(self.settings.silence / 6)).await;
            if let Err(error) = panic_as_error(self.heartbeats.beat(&self.pool)).await {
                tracing::warn!(error = %Chain(&error), "heartbeat failed; will retry");
            }
            unknown.check(&self.pool, &kinds).await;
            if gauged.is_none_or(|at| at.elapsed() >= GAUGE) {
                gauged = Some(Instant::now());
                let waiting = async { store::waiting(&mut *self.pool.get().await?).await };
                if let Ok((count, age)) = panic_as_error(waiting).await {
                    for kind in kinds.iter().copied() {
                        // The metric exists before the first task has ended.
                        let _known = metrics::histogram!("tasks_duration_seconds", "kind" => kind, "outcome" => "success");
                    }
                    metrics::gauge!("tasks_due").set(count);
                    metrics::gauge!("tasks_oldest_due_age_seconds").set(age);
                }
            }
        }
    }

    async fn look(
        &self,
        kinds: &[&'static str],
        next_takeover: &mut Instant,
    ) -> Result<Option<TaskRecord>, pg::Error> {
        let mut conn = self.pool.get_to_claim().await?;
        if Instant::now() >= *next_takeover {
            *next_takeover = Instant::now() + self.settings.silence / 6;
            let taken = store::give_back_silent(&mut conn, self.settings.silence).await?;
            if taken > 0 {
                tracing::warn!(tasks = taken, "took over tasks of silent workers");
            }
        }
        match store::claim(&mut conn, kinds, &self.queues).await {
            Err(pg::Error::UniqueViolation { .. }) => Ok(None),
            claimed => claimed,
        }
    }

    async fn attempt(self: Arc<Self>, task: TaskRecord, stop: CancellationToken) {
        let correlation = task.correlation_id.clone().unwrap_or_else(|| task.id.to_string());
        let span =
            tracing::error_span!("task", correlation_id = %correlation, task = %task.id, kind = %task.kind);
        self.attempt_in_span(task, stop).instrument(span).await;
    }

    async fn attempt_in_span(&self, task: TaskRecord, stop: CancellationToken) {
        // Only these kinds are claimed.
        let Some((kind, handler)) = self.handlers.get(&task.kind) else { return };
        let (id, attempt, max_attempts) = (task.id, task.attempt, task.max_attempts);
        let started = Instant::now();
        if attempt > max_attempts {
            // Taken over more often than attempts are allowed: the task probably kills its workers.
            let error = TaskError::Fail("every attempt ended without a result of its worker".to_owned());
            self.write_end(id, attempt, max_attempts, Err(error)).await;
            return;
        }
        let heart = self.heartbeats.begin(id, attempt);
        let run = Run::new(task, heart.lost.clone(), stop.clone());
        let work = panic_as_error(async {
            failpoint::hit("tasks.run");
            run_through_collisions(handler, &run).await
        });
        let outcome = tokio::select! {
            ended = work => ended,
            () = heart.lost.cancelled() => {
                tracing::warn!("task was taken over or cancelled");
                Err(TaskError::Lost)
            }
            // The future is dropped at an await point. Committed work remains, the rest is rolled back.
            () = self.out_of_grace(&stop) => Err(TaskError::stopped()),
        };
        let label = match &outcome {
            Ok(_) => "success",
            Err(TaskError::Retry { .. } | TaskError::Collision { .. }) => "retry",
            Err(TaskError::Postpone { .. }) => "postponed",
            Err(TaskError::Fail(_)) => "failure",
            Err(TaskError::Lost) => "lost",
        };
        metrics::histogram!("tasks_duration_seconds", "kind" => kind, "outcome" => label)
            .record(started.elapsed().as_secs_f64());
        self.write_end(id, attempt, max_attempts, outcome).await;
    }

    /// Returns when the grace period of a stop is over.
    async fn out_of_grace(&self, stop: &CancellationToken) {
        stop.cancelled().await;
        tokio::time::sleep(self.settings.grace).await;
    }

    async fn write_end(
        &self,
        id: domain::TaskId,
        attempt: i32,
        max_attempts: i32,
        outcome: Result<Outcome, TaskError>,
    ) {
        let fail = |reason| {
            tracing::error!(reason, attempt, "task failed");
            Ending::Failed(reason)
        };
        let retry = |after, reason| {
            if attempt >= max_attempts {
                return fail(reason);
            }
            tracing::warn!(reason, attempt, "task failed; will retry");
            let after = backoff::jitter(after, 0.2, rand::random());
            Ending::Retrying { after, error: reason, is_counted: true }
        };
        let ending = match &outcome {
            Ok(Outcome::Finished) | Err(TaskError::Lost) => return,
            Ok(Outcome::Success(result)) => Ending::Succeeded(result),
            Err(TaskError::Postpone { after, reason }) => {
                tracing::debug!(reason, "task is postponed");
                Ending::Retrying { after: *after, error: reason, is_counted: false }
            }
            Err(TaskError::Retry { after, reason } | TaskError::Collision { after, reason }) => {
                retry(*after, reason.as_str())
            }
            Err(TaskError::Fail(reason)) => fail(reason.as_str()),
        };
        failpoint::hit("tasks.before_end");
        let written = async { store::end(&mut *self.pool.get().await?, id, attempt, ending).await };
        match written.await {
            Ok(true) => failpoint::hit("tasks.after_end"),
            Ok(false) => tracing::warn!("task was taken over before its end was written"),
            // The heartbeat has stopped: the task is taken over and run again.
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "end of a task could not be written");
            }
        }
    }
}

/// Runs one attempt, and repeats it when it collided with other transactions.
async fn run_through_collisions(handler: &dyn Handler, run: &Run) -> Result<Outcome, TaskError> {
    let mut runs = 1;
    loop {
        match handler.run(run).await {
            Err(TaskError::Collision { .. }) if runs < COLLISION_RUNS => {
                let pause = backoff::exponential(COLLISION_PAUSE, runs, MAX_COLLISION_PAUSE);
                run.pause(backoff::jitter(pause, 0.5, rand::random())).await?;
                runs += 1;
            }
            ended => return ended,
        }
    }
}

/// Converts a pattern with `*` to a LIKE pattern.
fn like(pattern: &str) -> String {
    let escaped = pattern.replace('\\', r"\\").replace('%', r"\%").replace('_', r"\_");
    escaped.replace('*', "%")
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_asterisks_are_wildcards() {
        assert_eq!(super::like(r"sync_*"), r"sync\_%");
        assert_eq!(super::like(r"50%\a"), r"50\%\\a");
    }
}
