use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use domain::{Clock, SystemClock, TaskId};
use serde::{Deserialize, Serialize};
use tasks::{Handlers, NewTask, Outcome, Runner, Settings, Task, TaskContext, TaskError, TaskRecord};
use testkit::{Database, eventually};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) type Answer = Result<Outcome, TaskError>;

/// Waits at a gate, counts its attempts, and then returns the result that a test has set.
pub(crate) struct Gated {
    pub(crate) gate: Arc<Semaphore>,
    pub(crate) tries: Arc<AtomicUsize>,
    pub(crate) at_once: Arc<AtomicUsize>,
    pub(crate) most_at_once: Arc<AtomicUsize>,
    answer: fn(usize) -> Answer,
}

impl Gated {
    pub(crate) fn new(answer: fn(usize) -> Answer) -> Arc<Self> {
        Arc::new(Self {
            gate: Arc::new(Semaphore::new(0)),
            tries: Arc::default(),
            at_once: Arc::default(),
            most_at_once: Arc::default(),
            answer,
        })
    }
}

/// A task of the kind `gated`, which passes the gate of the runner's [`Gated`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct GatedTask {
    pub(crate) kolejka: String,
}

impl Task for GatedTask {
    const KIND: &'static str = "gated";
    type State = Gated;

    async fn run(self, context: TaskContext<'_, Gated>) -> Answer {
        let gated = context.state;
        // A counted attempt is also counted as running.
        let now = gated.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        let _ends = Ends(&gated.at_once);
        gated.most_at_once.fetch_max(now, Ordering::SeqCst);
        let number = gated.tries.fetch_add(1, Ordering::SeqCst) + 1;
        gated.gate.acquire().await.unwrap().forget();
        (gated.answer)(number)
    }
}

/// Counts an attempt as ended when it is dropped, finished or not.
struct Ends<'a>(&'a AtomicUsize);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

pub(crate) fn quick(silence: Duration) -> Settings {
    Settings {
        workers: 8,
        poll: Duration::from_millis(10),
        silence,
        grace: Duration::ZERO,
        ..Settings::default()
    }
}

pub(crate) const LONG: Duration = Duration::from_mins(1);

pub(crate) async fn database() -> Database {
    Database::create("stock_sync", &format!("{}{}", tasks::SCHEMA_SQL, alerts::ALERTS_SQL)).await
}

pub(crate) fn start(pool: &pg::Pool, handler: &Arc<Gated>, settings: Settings) -> CancellationToken {
    let stop = CancellationToken::new();
    let handlers = Handlers::new().with::<GatedTask>(Arc::clone(handler));
    let runner = Runner::new(pool.clone(), handlers, settings);
    tokio::spawn(runner.run(stop.clone()));
    stop
}

pub(crate) fn gated_task() -> GatedTask {
    GatedTask { kolejka: "zażółć".to_owned() }
}

pub(crate) fn new_task(queue: &str) -> NewTask {
    NewTask { max_attempts: 3, ..NewTask::new(&gated_task(), queue) }
}

pub(crate) async fn enqueue(pool: &pg::Pool, task: &NewTask) -> TaskId {
    let mut conn = pool.get().await.unwrap();
    tasks::enqueue(&mut conn, Uuid::now_v7().into(), SystemClock.now(), task).await.unwrap()
}

pub(crate) async fn find(pool: &pg::Pool, id: TaskId) -> TaskRecord {
    tasks::find(&mut pool.get().await.unwrap(), id).await.unwrap().unwrap()
}

pub(crate) async fn ended(pool: &pg::Pool, id: TaskId) -> TaskRecord {
    eventually("the task's end", async || Some(find(pool, id).await).filter(|task| task.status.is_final()))
        .await
}
