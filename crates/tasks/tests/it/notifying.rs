use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use domain::{Clock, SystemClock, UuidV7Source};
use serde_json::Value;
use tasks::schedules::{self, NewSchedule};
use tasks::{Outcome, Scheduler, Settings, Status, Timing};
use testkit::Database;
use tokio::time::timeout;
use tokio_postgres::AsyncMessage;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::{Gated, LONG, database, ended, enqueue, gated_task, new_task, quick, start};

/// A worker that does not find tasks by polling within the test.
fn unpolled() -> Settings {
    Settings { poll: Duration::from_hours(1), ..quick(LONG) }
}

/// The first task shows that the worker listens. The others are enqueued while it waits.
#[tokio::test(flavor = "multi_thread")]
async fn an_enqueued_task_wakes_a_worker() {
    let database = database().await;
    let pool = database.pool();
    let handler = Gated::new(|_| Ok(Outcome::Success(Value::Null)));
    handler.gate.add_permits(10);
    let stop = start(&pool, &handler, unpolled());
    for _ in 0..3 {
        let id = enqueue(&pool, &new_task("q")).await;
        assert_eq!(ended(&pool, id).await.status, Status::Succeeded);
    }
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduled_task_and_a_retried_one_wake_a_worker() {
    let database = database().await;
    let pool = database.pool();
    let mut conn = pool.get().await.unwrap();
    let handler = Gated::new(|number| match number {
        1 => Err(tasks::TaskError::Fail("disk full".to_owned())),
        _ => Ok(Outcome::Success(Value::Null)),
    });
    handler.gate.add_permits(10);
    let stop = start(&pool, &handler, unpolled());
    let first = enqueue(&pool, &new_task("q")).await;
    assert_eq!(ended(&pool, first).await.status, Status::Failed);
    tasks::retry(&mut conn, first).await.unwrap().unwrap();
    testkit::eventually("the retried task", async || {
        let task = tasks::find(&mut pool.get().await.unwrap(), first).await.unwrap().unwrap();
        (task.status == Status::Succeeded).then_some(())
    })
    .await;

    let now = SystemClock.now();
    let schedule = NewSchedule {
        first_run_at: Some(now),
        ..NewSchedule::of_service(&gated_task(), Timing::every(Duration::from_hours(1)))
    };
    schedules::put(&mut conn, now, &schedule).await.unwrap();
    let scheduler = Scheduler::new(pool.clone(), Arc::new(UuidV7Source), Vec::new());
    let end = CancellationToken::new();
    tokio::spawn(scheduler.run(end.clone()));
    testkit::eventually("the scheduled task", async || {
        let found = schedules::find(&mut pool.get().await.unwrap(), "gated").await.unwrap().unwrap();
        found.last_success_at.map(drop)
    })
    .await;
    end.cancel();
    stop.cancel();
}

/// Notifications of the tasks' topic until the one with the payload `end`.
async fn notifications(database: &Database) -> impl Future<Output = Vec<String>> {
    let (client, mut connection) = pg::connect(database.url(), "listener").await.unwrap();
    let (sender, mut received) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
            if let AsyncMessage::Notification(notification) = message {
                sender.send(notification.payload().to_owned()).unwrap();
            }
        }
    });
    client.batch_execute("LISTEN tasks_stock_sync").await.unwrap();
    async move {
        client.batch_execute("NOTIFY tasks_stock_sync, 'end'").await.unwrap();
        let mut all = Vec::new();
        loop {
            let next = timeout(LONG, received.recv()).await.unwrap().unwrap();
            if next == "end" {
                return all;
            }
            all.push(next);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_transaction_notifies_once() {
    let database = database().await;
    let pool = database.pool();
    let received = notifications(&database).await;
    let enqueued: Result<(), pg::Error> = pool
        .transaction(async |conn| {
            for queue in ["a", "b", "c"] {
                tasks::enqueue(conn, Uuid::now_v7().into(), SystemClock.now(), &new_task(queue)).await?;
            }
            Ok(())
        })
        .await;
    enqueued.unwrap();
    assert_eq!(received.await, [""]);
}
