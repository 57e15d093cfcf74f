//! Statements of the runners. Every fence is one statement. All time is the database's, so that no worker's clock
//! matters.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, Double, Int4, Interval, Jsonb, Nullable, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use domain::TaskId;
use pg::{Columns, dsl};
use serde_json::Value;

use crate::interval;
use crate::model::{Progress, Status, TaskRecord};
use crate::row::{IdRow, TaskRow};
use crate::schema::task_history;

/// Claims the most overdue task of one of `kinds`, in a free queue that matches one of `queues` (LIKE patterns).
pub(crate) async fn claim(
    conn: &mut pg::Connection,
    kinds: &[&'static str],
    queues: &[String],
) -> Result<Option<TaskRecord>, pg::Error> {
    // Two workers may choose two tasks of one queue at once. The unique index admits one of them. The other gets a
    // violation, which the runner treats as "no task".
    let row = sql_query(
        "UPDATE task_history SET status = 'running', attempt = attempt + 1, started_at = now(), heartbeat_at = now(), \
             updated_at = now(), error = NULL \
         WHERE id = (SELECT t.id FROM task_history t \
                     WHERE t.status IN ('queued', 'retrying') AND t.run_at <= now() AND t.kind = ANY($1) AND t.queue LIKE ANY($2) \
                       AND NOT EXISTS (SELECT 1 FROM task_history r WHERE r.queue = t.queue AND r.status = 'running') \
                     ORDER BY t.run_at, t.id LIMIT 1 FOR UPDATE SKIP LOCKED) \
         RETURNING *",
    )
    .bind::<Array<Text>, _>(kinds)
    .bind::<Array<Text>, _>(queues)
    .get_result::<TaskRow>(conn)
    .await
    .optional()?;
    let Some(row) = row else { return Ok(None) };
    let (id, attempt) = (row.id.into(), row.attempt);
    match TaskRecord::try_from(row) {
        Ok(task) => Ok(Some(task)),
        Err(error) => {
            // If it were claimed again, it would block its queue for ever.
            let reason = error.to_string();
            end(conn, id, attempt, Ending::Failed(&reason)).await?;
            Err(error)
        }
    }
}

/// Releases tasks whose worker was silent for `silence`. They run again as the next attempt.
pub(crate) async fn give_back_silent(
    conn: &mut pg::Connection,
    silence: Duration,
) -> Result<usize, pg::Error> {
    let given_back = sql_query(
        "UPDATE task_history SET status = 'retrying', run_at = now(), updated_at = now(), \
             error = 'the worker was not heard of any more' \
         WHERE id IN ( \
             SELECT id FROM task_history WHERE status = 'running' AND heartbeat_at < now() - $1 \
             FOR UPDATE SKIP LOCKED)",
    )
    .bind::<Interval, _>(interval(silence))
    .execute(conn)
    .await?;
    Ok(given_back)
}

/// One attempt of a task.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Try {
    pub(crate) id: TaskId,
    pub(crate) attempt: i32,
}

/// Renews the heartbeats of these attempts, and returns the tasks that still belong to them.
pub(crate) async fn beat_all(conn: &mut pg::Connection, tries: &[Try]) -> Result<Vec<TaskId>, pg::Error> {
    let tries = Columns(tries);
    let rows: Vec<IdRow> = sql_query(
        "UPDATE task_history SET heartbeat_at = now() WHERE id IN ( \
             SELECT t.id FROM task_history t JOIN unnest($1, $2) AS mine (id, attempt) USING (id, attempt) \
             WHERE t.status = 'running' ORDER BY t.id FOR NO KEY UPDATE OF t) RETURNING id",
    )
    .bind::<Array<SqlUuid>, _>(tries.array(|it| it.id.as_uuid()))
    .bind::<Array<Int4>, _>(tries.array(|it| it.attempt))
    .load(conn)
    .await?;
    Ok(rows.into_iter().map(|row| row.id.into()).collect())
}

/// Number of due tasks that wait, and the age of the oldest in seconds.
pub(crate) async fn waiting(conn: &mut pg::Connection) -> Result<(f64, f64), pg::Error> {
    let row: Waiting = sql_query(
        "SELECT count(*)::float8 AS count, coalesce(extract(epoch FROM now() - min(run_at)), 0)::float8 AS age \
         FROM task_history WHERE status IN ('queued', 'retrying') AND run_at <= now()",
    )
    .get_result(conn)
    .await?;
    Ok((row.count, row.age))
}

#[derive(QueryableByName)]
struct Waiting {
    #[diesel(sql_type = Double)]
    count: f64,
    #[diesel(sql_type = Double)]
    age: f64,
}

/// Records the progress of an attempt. False when the task belongs to another attempt.
pub(crate) async fn progress(
    conn: &mut pg::Connection,
    id: TaskId,
    attempt: i32,
    progress: &Progress,
) -> Result<bool, pg::Error> {
    let progress = serde_json::to_value(progress).map_err(pg::Error::unwritable)?;
    let held = task_history::table
        .find(id.as_uuid())
        .filter(task_history::attempt.eq(attempt))
        .filter(task_history::status.eq(Status::Running.as_str()));
    let rows = diesel::update(held)
        .set((
            task_history::heartbeat_at.eq(dsl::now().nullable()),
            task_history::updated_at.eq(dsl::now()),
            task_history::progress.eq(progress),
        ))
        .execute(conn)
        .await?;
    Ok(rows == 1)
}

/// The end of an attempt.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ending<'a> {
    /// The result.
    Succeeded(&'a Value),
    /// The permanent error.
    Failed(&'a str),
    /// The task is retried.
    Retrying {
        /// Delay before the next attempt.
        after: Duration,
        error: &'a str,
        /// False when no attempt is used.
        is_counted: bool,
    },
}

/// Records the end of an attempt. False when the task belongs to another attempt.
pub(crate) async fn end(
    conn: &mut pg::Connection,
    id: TaskId,
    attempt: i32,
    ending: Ending<'_>,
) -> Result<bool, pg::Error> {
    let (status, result, error) = match ending {
        Ending::Succeeded(result) => (Status::Succeeded, Some(result), None),
        Ending::Failed(error) => (Status::Failed, None, Some(error)),
        Ending::Retrying { error, .. } => (Status::Retrying, None, Some(error)),
    };
    let (after, is_counted) = match ending {
        Ending::Retrying { after, is_counted, .. } => (Some(after), is_counted),
        Ending::Succeeded(_) | Ending::Failed(_) => (None, true),
    };
    // A schedule shows how its last run ended.
    let rows = sql_query(
        "WITH ended AS ( \
             UPDATE task_history SET status = $3, result = $4, error = $5, run_at = coalesce(now() + $6, run_at), \
                 max_attempts = max_attempts + $7, updated_at = now(), heartbeat_at = NULL, \
                 finished_at = CASE WHEN $3 = 'retrying' THEN NULL ELSE now() END \
             WHERE id = $1 AND attempt = $2 AND status = 'running' RETURNING id), \
         told AS ( \
             UPDATE schedules SET last_error = $5, updated_at = now(), \
                 last_success_at = CASE WHEN $3 = 'succeeded' THEN now() ELSE last_success_at END \
             FROM ended WHERE schedules.task_id = ended.id AND $3 <> 'retrying') \
         SELECT id FROM ended",
    )
    .bind::<SqlUuid, _>(id.as_uuid())
    .bind::<Int4, _>(attempt)
    .bind::<Text, _>(status.as_str())
    .bind::<Nullable<Jsonb>, _>(result)
    .bind::<Nullable<Text>, _>(error)
    .bind::<Nullable<Interval>, _>(after.map(interval))
    // An attempt that does not count raises the maximum by one.
    .bind::<Int4, _>(i32::from(!is_counted))
    .execute(conn)
    .await?;
    Ok(rows == 1)
}
