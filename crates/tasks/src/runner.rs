//! Runs due tasks: claims, beats, and writes how each try ended.

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::{Chain, backoff, panic_as_error};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use crate::heartbeats::Heartbeats;
use crate::model::{Outcome, Status, TaskError, TaskRecord};
use crate::run::Run;
use crate::store::{self, Ending};
use crate::task::Handlers;
use crate::unknown::Watch;

/// Heartbeats beat at least this often, so that a task that was called off stops soon.
const BEAT: Duration = Duration::from_secs(2);
/// How often it is measured how long due tasks wait.
const GAUGE: Duration = Duration::from_secs(5);

/// How a runner works.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Tasks at once in this process.
    pub workers: usize,
    /// How often a free worker looks for due tasks without being notified: of tasks that become due, and of notifications
    /// that were lost.
    pub poll: Duration,
    /// Only tasks of queues that match one of these patterns, in which `*` stands for anything.
    pub queues: Vec<String>,
    /// A task whose worker was silent for so long is taken over. The heart beats six times as often, or more.
    pub silence: Duration,
    /// How long a try may take to come to its next step when the process stops.
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

/// Runs the tasks of a service in this process; any number of processes may do so at once.
pub struct Runner {
    pool: pg::Pool,
    handlers: Handlers,
    settings: Settings,
    /// `settings.queues` as SQL's LIKE takes them.
    queues: Vec<String>,
    heartbeats: Heartbeats,
}

impl Runner {
    /// A runner that claims tasks of these kinds only.
    pub fn new(pool: pg::Pool, handlers: Handlers, settings: Settings) -> Self {
        let queues = settings.queues.iter().map(|pattern| like(pattern)).collect();
        Self { pool, handlers, settings, queues, heartbeats: Heartbeats::default() }
    }

    /// Works until `stop`, then lets the tries under way come to their next step and gives them back.
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
                    tracing::warn!(error = %Chain(&error), "looking for due tasks failed");
                    backoff::exponential(runner.settings.poll, failures, Duration::from_secs(15))
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
                () = woken.notified() => {}
                // A queue is free again as soon as its task ends: look at once.
                Some(_) = tries.join_next(), if !tries.is_empty() => {}
            }
        }
        drop(listening);
        while tries.join_next().await.is_some() {}
        drop(beating);
    }

    /// Beats for all tries under way, as long as it is polled.
    async fn beat(self: Arc<Self>) {
        let kinds = self.handlers.kinds();
        let mut unknown = Watch::default();
        let mut gauged = None::<Instant>;
        loop {
            tokio::time::sleep(BEAT.min(self.settings.silence / 6)).await;
            if let Err(error) = panic_as_error(self.heartbeats.beat(&self.pool)).await {
                tracing::warn!(error = %Chain(&error), "a heartbeat failed");
            }
            unknown.check(&self.pool, &kinds).await;
            if gauged.is_none_or(|at| at.elapsed() >= GAUGE) {
                gauged = Some(Instant::now());
                let waiting = async { store::waiting(&mut *self.pool.get().await?).await };
                if let Ok((count, age)) = panic_as_error(waiting).await {
                    for kind in kinds.iter().copied() {
                        // There before the first one has ended.
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
                tracing::warn!(tasks = taken, "took over tasks whose worker was not heard of any more");
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
            // Taken over once too often: the work itself seems to kill its workers.
            let error = TaskError::Fail("every try ended without a word from its worker".to_owned());
            self.write_end(id, attempt, max_attempts, Err(error)).await;
            return;
        }
        let heart = self.heartbeats.begin(id, attempt);
        let run = Run::new(task, heart.lost.clone(), stop.clone());
        let work = panic_as_error(async {
            failpoint::hit("tasks.run");
            handler.run(&run).await
        });
        let outcome = tokio::select! {
            ended = work => ended,
            () = heart.lost.cancelled() => {
                tracing::warn!("the task is another worker's now, or was called off");
                Err(TaskError::Lost)
            }
            // Dropped at an await point: what was committed stands, what was not is rolled back.
            () = self.out_of_grace(&stop) => Err(TaskError::stopped()),
        };
        let label = match &outcome {
            Ok(_) => "success",
            Err(TaskError::Retry { .. }) => "retry",
            Err(TaskError::Postpone { .. }) => "postponed",
            Err(TaskError::Fail(_)) => "failure",
            Err(TaskError::Lost) => "lost",
        };
        metrics::histogram!("tasks_duration_seconds", "kind" => kind, "outcome" => label)
            .record(started.elapsed().as_secs_f64());
        self.write_end(id, attempt, max_attempts, outcome).await;
    }

    /// Returns when the process has been stopping for longer than a try may take to its next step.
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
        let (result, error);
        let ending = match outcome {
            Ok(Outcome::Finished) | Err(TaskError::Lost) => return,
            Ok(Outcome::Success(value)) => {
                result = value;
                Ending {
                    status: Status::Succeeded,
                    result: Some(&result),
                    error: None,
                    again_after: None,
                    uncounted: false,
                }
            }
            Err(TaskError::Postpone { after, reason }) => {
                tracing::debug!(%reason, "the task is postponed");
                error = reason;
                Ending {
                    status: Status::Retrying,
                    result: None,
                    error: Some(&error),
                    again_after: Some(after),
                    uncounted: true,
                }
            }
            Err(TaskError::Retry { after, reason }) if attempt < max_attempts => {
                tracing::warn!(%reason, attempt, "the task will be tried again");
                error = reason;
                let after = backoff::jitter(after, 0.2, rand::random());
                Ending {
                    status: Status::Retrying,
                    result: None,
                    error: Some(&error),
                    again_after: Some(after),
                    uncounted: false,
                }
            }
            Err(TaskError::Retry { reason, .. } | TaskError::Fail(reason)) => {
                tracing::error!(%reason, attempt, "the task failed");
                error = reason;
                Ending {
                    status: Status::Failed,
                    result: None,
                    error: Some(&error),
                    again_after: None,
                    uncounted: false,
                }
            }
        };
        failpoint::hit("tasks.before_end");
        let written = async { store::end(&mut *self.pool.get().await?, id, attempt, &ending).await };
        match written.await {
            Ok(true) => failpoint::hit("tasks.after_end"),
            Ok(false) => tracing::warn!("the task was taken over before its end was written"),
            // The heart is silent now: the task is taken over and run again.
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "the end could not be written");
            }
        }
    }
}

/// A pattern with `*` as one for SQL's LIKE.
fn like(pattern: &str) -> String {
    let escaped = pattern.replace('\\', r"\\").replace('%', r"\%").replace('_', r"\_");
    escaped.replace('*', "%")
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_stars_are_wild() {
        assert_eq!(super::like(r"sync_*"), r"sync\_%");
        assert_eq!(super::like(r"50%\a"), r"50\%\\a");
    }
}
