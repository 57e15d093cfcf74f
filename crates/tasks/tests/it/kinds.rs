use std::sync::Arc;

use diesel::sql_types::BigInt;
use diesel::{QueryableByName, sql_query};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tasks::{Handlers, NewTask, Outcome, Runner, Status, Task, TaskContext};
use testkit::eventually;
use tokio_util::sync::CancellationToken;

use crate::support::{Answer, Gated, LONG, database, ended, enqueue, find, new_task, quick, start};

/// A task of a newer version.
#[derive(Serialize, Deserialize)]
struct Newer {
    account: u32,
    pages: Vec<u32>,
}

impl Task for Newer {
    const KIND: &'static str = "newer";
    type State = ();

    async fn run(self, _context: TaskContext<'_, ()>) -> Answer {
        Ok(Outcome::Success(Value::Null))
    }
}

fn newer() -> NewTask {
    NewTask::new(&Newer { account: 1, pages: vec![2] }, "newer")
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

/// Open alerts of an unknown kind that name `newer`.
async fn open_alerts(pool: &pg::Pool) -> i64 {
    let query = sql_query(
        "SELECT count(*) AS number FROM alerts WHERE kind = 'task_kind_unknown' AND cleared_at IS NULL \
         AND texts::text LIKE '% newer (1)%'",
    );
    query.get_result::<Number>(&mut *pool.get().await.unwrap()).await.unwrap().number
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_of_an_unknown_kind_is_not_claimed() {
    let database = database().await;
    let pool = database.pool();
    let unknown = enqueue(&pool, &newer()).await;
    let known = enqueue(&pool, &new_task("q")).await;
    let handler = Gated::new(|_| Ok(Outcome::Success(Value::Null)));
    handler.gate.add_permits(1);
    let old = start(&pool, &handler, quick(LONG));
    ended(&pool, known).await;
    assert_eq!((find(&pool, unknown).await.status, find(&pool, unknown).await.attempt), (Status::Queued, 0));
    let handlers = Handlers::new().with::<Newer>(Arc::new(()));
    let new = CancellationToken::new();
    tokio::spawn(Runner::new(pool.clone(), handlers, quick(LONG)).run(new.clone()));
    assert_eq!(ended(&pool, unknown).await.status, Status::Succeeded);
    old.cancel();
    new.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_of_an_unknown_kind_that_waits_raises_an_alert() {
    let database = database().await;
    let pool = database.pool();
    let id = enqueue(&pool, &newer()).await;
    let long_ago = "UPDATE task_history SET run_at = now() - interval '11 minutes'";
    pool.get().await.unwrap().batch_execute(long_ago).await.unwrap();
    let handler = Gated::new(|_| Ok(Outcome::Success(Value::Null)));
    let old = start(&pool, &handler, quick(LONG));
    eventually("the alert", async || (open_alerts(&pool).await == 1).then_some(())).await;
    old.cancel();
    assert_eq!(find(&pool, id).await.status, Status::Queued);

    let handlers = Handlers::new().with::<Newer>(Arc::new(()));
    let new = CancellationToken::new();
    tokio::spawn(Runner::new(pool.clone(), handlers, quick(LONG)).run(new.clone()));
    ended(&pool, id).await;
    eventually("the alert cleared", async || (open_alerts(&pool).await == 0).then_some(())).await;
    new.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_payload_fails_at_once_and_names_the_field() {
    let database = database().await;
    let pool = database.pool();
    let stop = CancellationToken::new();
    let handlers = Handlers::new().with::<Newer>(Arc::new(()));
    tokio::spawn(Runner::new(pool.clone(), handlers, quick(LONG)).run(stop.clone()));
    for (payload, named) in [
        (r#"{"account": "one", "pages": []}"#, "the field `account`"),
        (r#"{"account": 1, "pages": [1, null]}"#, "the field `pages[1]`"),
        (r#"{"account": 1}"#, "missing field `pages`"),
        ("[]", "invalid length 0"),
    ] {
        let mut conn = pool.get().await.unwrap();
        let later = NewTask { run_at: Some(time::OffsetDateTime::now_utc() + LONG), ..newer() };
        let id = enqueue(&pool, &later).await;
        let broken =
            format!("UPDATE task_history SET payload = '{payload}', run_at = now() WHERE id = '{id}'");
        conn.batch_execute(&broken).await.unwrap();
        let task = ended(&pool, id).await;
        assert_eq!((task.status, task.attempt), (Status::Failed, 1), "{payload}");
        let error = task.error.unwrap();
        assert!(error.contains("`newer`") && error.contains(named), "{error}");
    }
    // A field that only a later version knows is ignored.
    let later = NewTask { run_at: Some(time::OffsetDateTime::now_utc() + LONG), ..newer() };
    let id = enqueue(&pool, &later).await;
    let wider = format!(
        "UPDATE task_history SET payload = payload || '{{\"more\": true}}', run_at = now() WHERE id = '{id}'"
    );
    pool.get().await.unwrap().batch_execute(&wider).await.unwrap();
    assert_eq!(ended(&pool, id).await.status, Status::Succeeded);
    stop.cancel();
}
