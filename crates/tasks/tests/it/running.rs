use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use diesel_async::SimpleAsyncConnection;
use domain::{Clock, SystemClock, TaskId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tasks::{
    Handlers, NewTask, Outcome, Progress, Run, Runner, Settings, Status, Task, TaskContext, TaskError,
};
use testkit::eventually;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::{Answer, Gated, LONG, database, ended, enqueue, find, new_task, quick, start};

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_runs_one_task_at_a_time_with_any_number_of_runners() {
    let database = database().await;
    let pool = database.pool();
    let handler = Gated::new(|_| Ok(Outcome::Success(json!({"done": true}))));
    let mut ids = Vec::new();
    for _ in 0..10 {
        ids.push(enqueue(&pool, &new_task("one")).await);
    }
    handler.gate.add_permits(10);
    let runners = [start(&pool, &handler, quick(LONG)), start(&pool, &handler, quick(LONG))];
    for id in ids {
        let task = ended(&pool, id).await;
        assert_eq!(
            (task.status, task.attempt, task.result),
            (Status::Succeeded, 1, Some(json!({"done": true})))
        );
    }
    assert_eq!(handler.tries.load(Ordering::SeqCst), 10);
    assert_eq!(handler.most_at_once.load(Ordering::SeqCst), 1);
    runners.iter().for_each(CancellationToken::cancel);
}

#[tokio::test(flavor = "multi_thread")]
async fn different_queues_run_side_by_side() {
    let database = database().await;
    let pool = database.pool();
    let handler = Gated::new(|_| Ok(Outcome::Success(Value::Null)));
    for queue in ["a", "b", "c"] {
        enqueue(&pool, &new_task(queue)).await;
    }
    let stop = start(&pool, &handler, quick(LONG));
    eventually("three tasks at once", async || (handler.at_once.load(Ordering::SeqCst) == 3).then_some(()))
        .await;
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_has_its_maximum_attempts_without_postponed_ones() {
    let database = database().await;
    let pool = database.pool();
    let handler = Gated::new(|number| match number {
        2 => Err(TaskError::Postpone { after: Duration::ZERO, reason: "Allegro is away".to_owned() }),
        _ => Err(TaskError::Retry { after: Duration::ZERO, reason: format!("try {number}") }),
    });
    handler.gate.add_permits(100);
    let id = enqueue(&pool, &new_task("q")).await;
    let stop = start(&pool, &handler, quick(LONG));
    let task = ended(&pool, id).await;
    assert_eq!((task.status, task.error.as_deref()), (Status::Failed, Some("try 4")));
    assert_eq!(handler.tries.load(Ordering::SeqCst), 4);
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_keeps_colliding_fails_after_its_attempts() {
    let database = database().await;
    let pool = database.pool();
    let handler = Gated::new(|_number| Err(pg::Error::contended().into()));
    handler.gate.add_permits(100);
    let id = enqueue(&pool, &NewTask { max_attempts: 2, ..new_task("q") }).await;
    let stop = start(&pool, &handler, quick(LONG));
    let task = ended(&pool, id).await;
    assert_eq!((task.status, task.attempt), (Status::Failed, 2));
    assert_eq!(task.error.as_deref(), Some("the transaction collided with another"));
    assert_eq!(handler.tries.load(Ordering::SeqCst), 10);
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collision_that_passes_uses_no_attempt() {
    let database = database().await;
    let pool = database.pool();
    let handler = Gated::new(|number| match number {
        1..=4 => Err(pg::Error::contended().into()),
        _ => Ok(Outcome::Success(Value::Null)),
    });
    handler.gate.add_permits(100);
    let id = enqueue(&pool, &NewTask { max_attempts: 1, ..new_task("q") }).await;
    let stop = start(&pool, &handler, quick(LONG));
    let task = ended(&pool, id).await;
    assert_eq!((task.status, task.attempt), (Status::Succeeded, 1));
    stop.cancel();
}

/// Panics inside a transaction when its queue is `fragile`.
#[derive(Serialize, Deserialize)]
struct Fragile {}

impl Task for Fragile {
    const KIND: &'static str = "gated";
    type State = pg::Pool;

    async fn run(self, TaskContext { state, run }: TaskContext<'_, pg::Pool>) -> Answer {
        let mut transaction = state.begin().await?;
        transaction.batch_execute("CREATE TABLE never (id int)").await.unwrap();
        assert!(run.task().queue != "fragile", "try {}", run.task().attempt);
        transaction.rollback().await;
        Ok(Outcome::Success(Value::Null))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_panics_fails_with_the_panics_message() {
    let database = database().await;
    let pool = database.pool();
    let id = enqueue(&pool, &new_task("fragile")).await;
    let other = enqueue(&pool, &new_task("sound")).await;
    let stop = CancellationToken::new();
    let handlers = Handlers::new().with::<Fragile>(Arc::new(pool.clone()));
    tokio::spawn(Runner::new(pool.clone(), handlers, quick(LONG)).run(stop.clone()));
    let task = ended(&pool, id).await;
    assert_eq!((task.status, task.attempt), (Status::Failed, 3));
    assert_eq!(task.error.as_deref(), Some("the task panicked: try 3"));
    assert_eq!(ended(&pool, other).await.status, Status::Succeeded);
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_worker_releases_its_task_at_once() {
    let database = database().await;
    let pool = database.pool();
    let handler = Gated::new(|_| Ok(Outcome::Success(Value::Null)));
    let id = enqueue(&pool, &new_task("q")).await;
    let first = start(&pool, &handler, quick(LONG));
    eventually("the first try", async || (handler.tries.load(Ordering::SeqCst) == 1).then_some(())).await;
    first.cancel();
    eventually("the task given back", async || {
        (find(&pool, id).await.status == Status::Retrying).then_some(())
    })
    .await;
    handler.gate.add_permits(1);
    let second = start(&pool, &handler, quick(LONG));
    assert_eq!(ended(&pool, id).await.status, Status::Succeeded);
    second.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_worker_may_end_its_step() {
    let database = database().await;
    let pool = database.pool();
    let handler = Gated::new(|_| Ok(Outcome::Success(Value::Null)));
    let id = enqueue(&pool, &new_task("q")).await;
    let stop = start(&pool, &handler, Settings { grace: LONG, ..quick(LONG) });
    eventually("the first try", async || (handler.tries.load(Ordering::SeqCst) == 1).then_some(())).await;
    stop.cancel();
    handler.gate.add_permits(1);
    assert_eq!(ended(&pool, id).await.status, Status::Succeeded);
}

/// Blocks a task, and its runner's only thread with it, until it is woken. Then it tries to write before any other work
/// on that thread runs.
struct Sleeper {
    awake: tokio::runtime::Handle,
    taken: Semaphore,
    wake: Semaphore,
    late_write_refused: Semaphore,
    pool: pg::Pool,
}

impl Sleeper {
    async fn hold(&self, run: &Run) {
        self.taken.add_permits(1);
        self.wake.acquire().await.unwrap().forget();
        let progress = Progress { current: 1, total: 2, stage: "late".to_owned() };
        let mut conn = self.pool.get().await.unwrap();
        if matches!(run.progress(&mut conn, &progress).await, Err(TaskError::Lost)) {
            self.late_write_refused.add_permits(1);
        }
    }
}

/// A task that the runner's [`Sleeper`] blocks.
#[derive(Serialize, Deserialize)]
struct Sleep {}

impl Task for Sleep {
    const KIND: &'static str = "gated";
    type State = Sleeper;

    async fn run(self, TaskContext { state, run }: TaskContext<'_, Sleeper>) -> Answer {
        std::thread::scope(|scope| scope.spawn(|| state.awake.block_on(state.hold(run))).join()).unwrap();
        Err(TaskError::Lost)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_workers_task_is_taken_over_and_fenced() {
    let database = database().await;
    let pool = database.pool();
    let id = enqueue(&pool, &new_task("q")).await;
    let sleeper = Arc::new(Sleeper {
        awake: tokio::runtime::Handle::current(),
        taken: Semaphore::new(0),
        wake: Semaphore::new(0),
        late_write_refused: Semaphore::new(0),
        pool: pool.clone(),
    });
    // A frozen process: its runner has one thread, so that the heartbeat is blocked too.
    let handlers = Handlers::new().with::<Sleep>(Arc::clone(&sleeper));
    let frozen = Runner::new(database.pool(), handlers, quick(LONG));
    let stop_frozen = CancellationToken::new();
    let stopped = stop_frozen.clone();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(frozen.run(stopped));
    });
    sleeper.taken.acquire().await.unwrap().forget();

    let two_silences_ago = "UPDATE task_history SET heartbeat_at = now() - interval '2 minutes'";
    pool.get().await.unwrap().batch_execute(two_silences_ago).await.unwrap();
    let handler = Gated::new(|_| Ok(Outcome::Success(json!("by the second"))));
    let stop = start(&pool, &handler, quick(LONG));
    eventually("the second try", async || (handler.tries.load(Ordering::SeqCst) == 1).then_some(())).await;
    sleeper.wake.add_permits(1);
    let refused = &sleeper.late_write_refused;
    eventually("the late write refused", async || (refused.available_permits() == 1).then_some(())).await;
    handler.gate.add_permits(1);
    let task = ended(&pool, id).await;
    assert_eq!((task.attempt, task.result, task.progress), (2, Some(json!("by the second")), None));
    stop.cancel();
    stop_frozen.cancel();
    tokio::task::spawn_blocking(|| thread.join().unwrap()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unique_key_has_one_unfinished_task() {
    let database = database().await;
    let pool = database.pool();
    let task = NewTask { unique_key: Some("events:1".to_owned()), ..new_task("q") };
    let asks = (0..20).map(|_| enqueue(&pool, &task));
    let ids = futures_util::future::join_all(asks).await;
    assert!(ids.windows(2).all(|pair| pair.first() == pair.last()), "{ids:?}");
    let handler = Gated::new(|_| Ok(Outcome::Success(Value::Null)));
    handler.gate.add_permits(10);
    let stop = start(&pool, &handler, quick(LONG));
    let first = *ids.first().unwrap();
    ended(&pool, first).await;
    assert_ne!(enqueue(&pool, &task).await, first, "the first has ended: a new one may live");
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_waits_for_its_time_and_needs_a_commit() {
    let database = database().await;
    let pool = database.pool();
    let later = NewTask { run_at: Some(SystemClock.now() + LONG), ..new_task("q") };
    let waiting = enqueue(&pool, &later).await;
    let rolled_back: Result<TaskId, pg::Error> = pool
        .transaction(async |conn| {
            tasks::enqueue(conn, Uuid::now_v7().into(), SystemClock.now(), &new_task("q")).await?;
            Err(pg::Error::from(diesel::result::Error::RollbackTransaction))
        })
        .await;
    assert!(rolled_back.is_err());
    let due = enqueue(&pool, &new_task("q")).await;
    let handler = Gated::new(|_| Ok(Outcome::Success(Value::Null)));
    handler.gate.add_permits(10);
    let stop = start(&pool, &handler, quick(LONG));
    ended(&pool, due).await;
    assert_eq!(find(&pool, waiting).await.status, Status::Queued);
    assert_eq!(handler.tries.load(Ordering::SeqCst), 1);
    stop.cancel();
}
