use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};
use tasks::{Filter, NewTask, Outcome, Settings, Status, TaskError};
use testkit::eventually;
use tokio_util::sync::CancellationToken;

use crate::support::{Gated, LONG, database, ended, enqueue, find, new_task, quick, start};

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_task_never_starts_or_stops_at_its_next_step() {
    let database = database().await;
    let pool = database.pool();
    let mut conn = pool.get().await.unwrap();
    let handler = Gated::new(|_| Ok(Outcome::Success(json!("late"))));
    let (running, waiting) = (enqueue(&pool, &new_task("a")).await, enqueue(&pool, &new_task("a")).await);
    let stop = start(&pool, &handler, quick(LONG));
    eventually("the first try", async || (handler.tries.load(Ordering::SeqCst) == 1).then_some(())).await;

    for id in [waiting, running] {
        let cancelled = tasks::cancel(&mut conn, id, "Łucja").await.unwrap().unwrap();
        assert_eq!(
            (cancelled.status, cancelled.error.as_deref()),
            (Status::Cancelled, Some("cancelled by Łucja"))
        );
        assert!(tasks::cancel(&mut conn, id, "Łucja").await.unwrap().is_none(), "it has ended");
    }
    // The queue is free at once, and the first attempt ends with the next heartbeat.
    let next = enqueue(&pool, &new_task("a")).await;
    eventually("the next try", async || (handler.tries.load(Ordering::SeqCst) == 2).then_some(())).await;
    eventually("the end of the first", async || (handler.at_once.load(Ordering::SeqCst) == 1).then_some(()))
        .await;
    handler.gate.add_permits(1);
    assert_eq!(ended(&pool, next).await.result, Some(json!("late")));
    assert_eq!(find(&pool, running).await.result, None);
    assert_eq!(handler.tries.load(Ordering::SeqCst), 2);
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_task_can_be_retried_unless_its_key_is_in_use() {
    let database = database().await;
    let pool = database.pool();
    let mut conn = pool.get().await.unwrap();
    let handler = Gated::new(|number| match number {
        1 => Err(TaskError::Fail("no".to_owned())),
        _ => Ok(Outcome::Success(Value::Null)),
    });
    let task = NewTask { max_attempts: 1, unique_key: Some("one".to_owned()), ..new_task("q") };
    let failed = enqueue(&pool, &task).await;
    assert!(tasks::retry(&mut conn, failed).await.unwrap().is_none(), "it is alive");
    handler.gate.add_permits(1);
    let stop = start(&pool, &handler, quick(LONG));
    assert_eq!(ended(&pool, failed).await.status, Status::Failed);

    let other = enqueue(&pool, &task).await;
    assert!(matches!(tasks::retry(&mut conn, failed).await, Err(pg::Error::UniqueViolation { .. })));
    handler.gate.add_permits(2);
    assert_eq!(ended(&pool, other).await.status, Status::Succeeded);
    assert_eq!(tasks::retry(&mut conn, failed).await.unwrap().unwrap().status, Status::Queued);
    assert_eq!(ended(&pool, failed).await.status, Status::Succeeded);
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_runs_only_its_queues() {
    let database = database().await;
    let pool = database.pool();
    let handler = Gated::new(|_| Ok(Outcome::Success(Value::Null)));
    handler.gate.add_permits(10);
    let (others, mine) =
        (enqueue(&pool, &new_task("syncXa")).await, enqueue(&pool, &new_task("sync_a")).await);
    let bound = Settings { queues: vec!["sync_*".to_owned()], ..quick(LONG) };
    let stop = start(&pool, &handler, bound);
    assert_eq!(ended(&pool, mine).await.status, Status::Succeeded);
    assert_eq!(find(&pool, others).await.status, Status::Queued);
    let rest = start(&pool, &handler, quick(LONG));
    assert_eq!(ended(&pool, others).await.status, Status::Succeeded);
    stop.cancel();
    rest.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_are_listed_newest_first_and_deleted_when_old() {
    let database = database().await;
    let pool = database.pool();
    let mut conn = pool.get().await.unwrap();
    let mut ids = Vec::new();
    for number in 0..5 {
        let task = NewTask { user_id: Some(format!("user-{}", number % 2)), ..new_task("q") };
        ids.push(enqueue(&pool, &task).await);
    }
    ids.reverse();
    let mine = Filter { user_id: Some("user-0".to_owned()), ..Filter::default() };
    let listed = tasks::list(&mut conn, &mine, None, 2).await.unwrap();
    assert_eq!(listed.iter().map(|it| it.id).collect::<Vec<_>>(), [ids[0], ids[2]]);
    let last = listed.last().map(|it| (it.created_at, it.id.as_uuid()));
    let listed = tasks::list(&mut conn, &mine, last, 2).await.unwrap();
    assert_eq!(listed.iter().map(|it| it.id).collect::<Vec<_>>(), [ids[4]]);

    tasks::cancel(&mut conn, ids[0], "x").await.unwrap();
    let ended = Filter { statuses: Some(vec![Status::Cancelled, Status::Failed]), ..Filter::default() };
    assert_eq!(tasks::list(&mut conn, &ended, None, 9).await.unwrap().len(), 1);
    let stop = CancellationToken::new();
    assert_eq!(tasks::RETENTION.once(&pool, &stop).await.unwrap(), 0);
    let at_once = pg::RetentionPolicy { keep: Duration::ZERO, ..tasks::RETENTION };
    assert_eq!(at_once.once(&pool, &stop).await.unwrap(), 1);
    assert_eq!(tasks::list(&mut conn, &Filter::default(), None, 9).await.unwrap().len(), 4);
}
