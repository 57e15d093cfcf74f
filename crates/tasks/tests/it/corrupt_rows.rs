//! An unreadable task or schedule blocks no other.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use diesel::sql_query;
use diesel_async::RunQueryDsl;
use domain::UuidV7Source;
use serde_json::json;
use tasks::{Outcome, Scheduler};
use testkit::eventually;
use tokio_util::sync::CancellationToken;

use crate::support::{Gated, database, ended, enqueue, new_task, quick, start};

async fn run(pool: &pg::Pool, sql: &str) {
    sql_query(sql).execute(&mut *pool.get().await.unwrap()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_cannot_be_read_fails_and_delays_no_other() {
    let database = database().await;
    let pool = database.pool();
    let corrupt = enqueue(&pool, &new_task("q")).await;
    run(&pool, "UPDATE task_history SET progress = '{\"current\": \"far\"}'").await;
    let other = enqueue(&pool, &new_task("q")).await;
    let handler = Gated::new(|_number| Ok(Outcome::Success(json!(null))));
    handler.gate.add_permits(1);
    let stop = start(&pool, &handler, quick(Duration::from_mins(1)));
    ended(&pool, other).await;
    stop.cancel();
    let failed = format!(
        "task_history WHERE id = '{corrupt}' AND status = 'failed' AND error LIKE '%column progress cannot be read'"
    );
    assert_eq!((database.count(&failed).await, AtomicUsize::load(&handler.tries, Ordering::SeqCst)), (1, 1));
    let rows = pg::take_corrupt_rows();
    assert_eq!(rows.iter().map(|row| row.id.clone()).collect::<Vec<_>>(), [corrupt.to_string()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_schedule_stays_enabled_and_delays_no_other() {
    let database = database().await;
    let pool = database.pool();
    for (name, timing) in
        [("corrupt", "'at dawn', 'Europe/Warsaw'"), ("other", "'* * * * *', 'Europe/Warsaw'")]
    {
        run(
            &pool,
            &format!(
                "INSERT INTO schedules (name, kind, queue, payload, max_attempts, cron, time_zone, next_run_at) \
                 VALUES ('{name}', 'gated', '{name}', '{{}}', 1, {timing}, now() - interval '1 minute')"
            ),
        )
        .await;
    }
    let stop = CancellationToken::new();
    let scheduler = Scheduler::new(pool.clone(), Arc::new(UuidV7Source), Vec::new());
    tokio::spawn(scheduler.run(stop.clone()));
    let started = "task_history WHERE unique_key = 'schedule:other'";
    eventually("the other to start", async || (database.count(started).await == 1).then_some(())).await;
    stop.cancel();
    let waiting = "schedules WHERE name = 'corrupt' AND is_enabled AND next_run_at > now() \
                   AND last_error = 'the stored timing cannot be read'";
    eventually("the corrupt one to wait", async || (database.count(waiting).await == 1).then_some(())).await;
    assert!(pg::take_corrupt_rows().iter().any(|row| (row.table, row.column) == ("schedules", "cron")));
}
