//! An unreadable task or schedule blocks no other.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use diesel::sql_query;
use diesel_async::RunQueryDsl;
use domain::UuidV7Source;
use serde_json::json;
use tasks::{Filter, Outcome, Scheduler, schedules};
use testkit::eventually;
use tokio_util::sync::CancellationToken;

use crate::support::{Gated, database, ended, enqueue, new_task, quick, start};

async fn run(pool: &pg::Pool, sql: &str) {
    sql_query(sql).execute(&mut *pool.get().await.unwrap()).await.unwrap();
}

/// Makes a task unreadable in one column, and checks that it fails alone.
async fn assert_task_fails_alone(column: &str, change: &str) {
    let database = database().await;
    let pool = database.pool();
    let corrupt = enqueue(&pool, &new_task("q")).await;
    run(&pool, change).await;
    let other = enqueue(&pool, &new_task("q")).await;
    let handler = Gated::new(|_number| Ok(Outcome::Success(json!(null))));
    handler.gate.add_permits(1);
    let stop = start(&pool, &handler, quick(Duration::from_mins(1)));
    ended(&pool, other).await;
    stop.cancel();
    let failed = format!(
        "task_history WHERE id = '{corrupt}' AND status = 'failed' AND error LIKE '%column {column} cannot be read'"
    );
    assert_eq!((database.count(&failed).await, AtomicUsize::load(&handler.tries, Ordering::SeqCst)), (1, 1));
    let rows = pg::take_corrupt_rows();
    assert_eq!(rows.iter().map(|row| row.id.clone()).collect::<Vec<_>>(), [corrupt.to_string()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_cannot_be_read_fails_and_delays_no_other() {
    assert_task_fails_alone("progress", "UPDATE task_history SET progress = '{\"current\": \"far\"}'").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_of_an_unreadable_status_is_an_error_with_its_id() {
    let database = database().await;
    let pool = database.pool();
    let corrupt = enqueue(&pool, &new_task("q")).await;
    run(&pool, "ALTER TABLE task_history DROP CONSTRAINT task_history_status").await;
    run(&pool, "UPDATE task_history SET status = 'asleep'").await;
    let mut conn = pool.get().await.unwrap();
    let error = tasks::find(&mut conn, corrupt).await.unwrap_err();
    assert_eq!(error.to_string(), format!("task_history {corrupt}: column status cannot be read"));
    let listed = tasks::list(&mut conn, &Filter::default(), None, 10).await;
    assert!(matches!(listed, Err(pg::Error::Corrupt { column: "status", .. })), "{listed:?}");
}

/// Makes a schedule unreadable, and checks that it is delayed alone and stays enabled.
async fn assert_schedule_is_delayed_alone(column: &str, timing: &str) {
    let database = database().await;
    let pool = database.pool();
    // The constraints refuse some of these values; rows written without them may hold them.
    run(&pool, "ALTER TABLE schedules DROP CONSTRAINT schedules_timing, DROP CONSTRAINT schedules_every")
        .await;
    for (name, timing) in [("corrupt", timing), ("other", "'* * * * *', 'Europe/Warsaw', NULL")] {
        run(
            &pool,
            &format!(
                "INSERT INTO schedules (name, kind, queue, payload, max_attempts, cron, time_zone, every, next_run_at) \
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
    assert!(pg::take_corrupt_rows().iter().any(|row| (row.table, row.column) == ("schedules", column)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_schedule_stays_enabled_and_delays_no_other() {
    assert_schedule_is_delayed_alone("cron", "'at dawn', 'Europe/Warsaw', NULL").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_without_an_interval_is_delayed_alone() {
    assert_schedule_is_delayed_alone("every", "NULL, NULL, NULL").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_with_a_negative_interval_is_delayed_alone() {
    assert_schedule_is_delayed_alone("every", "NULL, NULL, '-5 seconds'").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_with_an_interval_of_months_is_delayed_alone() {
    assert_schedule_is_delayed_alone("every", "NULL, NULL, '1 month'").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_without_a_time_zone_is_delayed_alone() {
    assert_schedule_is_delayed_alone("time_zone", "'* * * * *', NULL, NULL").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interval_that_cannot_be_read_is_an_error_with_its_name() {
    let database = database().await;
    let pool = database.pool();
    run(
        &pool,
        "INSERT INTO schedules (name, kind, queue, payload, max_attempts, every, next_run_at) \
         VALUES ('monthly', 'gated', 'q', '{}', 1, '1 month', now()), ('daily', 'gated', 'q', '{}', 1, '1 day', now())",
    )
    .await;
    let mut conn = pool.get().await.unwrap();
    let error = schedules::find(&mut conn, "monthly").await.unwrap_err();
    assert_eq!(error.to_string(), "schedules monthly: column every cannot be read");
    let daily = schedules::find(&mut conn, "daily").await.unwrap().unwrap();
    assert_eq!(daily.every_seconds, Some(86_400.0));
}
