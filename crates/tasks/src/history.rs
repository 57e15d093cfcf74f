//! What callers do with tasks: ask for them, look at them, call them off.

use std::time::Duration;

use diesel::pg::Pg;
use diesel::sql_types::{BigInt, Int4, Interval, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, sql_query};
use diesel_async::RunQueryDsl;
use domain::TaskId;
use pg::RetentionPolicy;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::interval;
use crate::model::{NewTask, Status, TaskRecord};
use crate::row::{IdRow, TaskRow};

/// Asks for a task, in the caller's transaction. With a `unique_key` that is alive already, nothing is added and
/// the living task's id comes back. `id` is a fresh one.
///
/// `now` is what `run_at` was reckoned from, by whatever clock: the task waits for as long as lies between the two, by the
/// database's.
///
/// # Errors
/// When the database refuses.
pub async fn enqueue(
    conn: &mut pg::Connection,
    id: TaskId,
    now: OffsetDateTime,
    task: &NewTask,
) -> Result<TaskId, pg::Error> {
    let delay = task.run_at.map(|at| Duration::try_from(at - now).unwrap_or_default());
    let delay = interval(delay.unwrap_or_default());
    // The no-op update makes RETURNING yield the living row too, and waits for one that is being inserted.
    let row: IdRow = sql_query(
        "WITH enqueued AS ( \
             INSERT INTO task_history (id, kind, queue, payload, max_attempts, run_at, unique_key, requested_by, \
                 user_id, correlation_id, created_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, now() + $6, $7, $8, $9, $10, now(), now()) \
             ON CONFLICT (unique_key) WHERE unique_key IS NOT NULL AND status IN ('queued', 'running', 'retrying') \
             DO UPDATE SET unique_key = excluded.unique_key \
             RETURNING id) \
         SELECT id, pg_notify('tasks_' || current_schema(), '') FROM enqueued",
    )
    .bind::<SqlUuid, _>(id.as_uuid())
    .bind::<Text, _>(task.payload.kind())
    .bind::<Text, _>(&task.queue)
    .bind::<Jsonb, _>(task.payload.json()?)
    .bind::<Int4, _>(task.max_attempts)
    .bind::<Interval, _>(delay)
    .bind::<Nullable<Text>, _>(&task.unique_key)
    .bind::<Nullable<Text>, _>(&task.requested_by)
    .bind::<Nullable<Text>, _>(&task.user_id)
    .bind::<Nullable<Text>, _>(&task.correlation_id)
    .get_result(conn)
    .await?;
    Ok(row.id.into())
}

/// One task, if there is such a one.
///
/// # Errors
/// When the database refuses.
pub async fn find(conn: &mut pg::Connection, id: TaskId) -> Result<Option<TaskRecord>, pg::Error> {
    let row = sql_query("SELECT * FROM task_history WHERE id = $1")
        .bind::<SqlUuid, _>(id.as_uuid())
        .get_result::<TaskRow>(conn)
        .await
        .optional()?;
    row.map(TaskRecord::try_from).transpose()
}

/// The youngest task of one kind in a queue.
///
/// # Errors
/// When the database refuses.
pub async fn latest_in_queue(
    conn: &mut pg::Connection,
    queue: &str,
    kind: &str,
) -> Result<Option<TaskRecord>, pg::Error> {
    let row = sql_query("SELECT * FROM task_history WHERE queue = $1 AND kind = $2 ORDER BY id DESC LIMIT 1")
        .bind::<Text, _>(queue)
        .bind::<Text, _>(kind)
        .get_result::<TaskRow>(conn)
        .await
        .optional()?;
    row.map(TaskRecord::try_from).transpose()
}

/// Which tasks are listed; `None` does not restrict.
#[derive(Debug, Default)]
pub struct Filter {
    /// In one of these states; there is one at least.
    pub statuses: Option<Vec<Status>>,
    /// Of this kind.
    pub kind: Option<String>,
    /// Of this queue.
    pub queue: Option<String>,
    /// Working on this user's data.
    pub user_id: Option<String>,
}

/// Tasks, newest first; `after` is the creation time and id of the last one seen.
///
/// # Errors
/// When the database refuses.
pub async fn list(
    conn: &mut pg::Connection,
    filter: &Filter,
    after: Option<(OffsetDateTime, Uuid)>,
    limit: i64,
) -> Result<Vec<TaskRecord>, pg::Error> {
    // Only what restricts is said, and states as words: each index of lists is then one the planner can use.
    let mut query = sql_query("SELECT * FROM task_history WHERE true").into_boxed::<Pg>();
    let mut number = 0;
    let mut next = || {
        number += 1;
        format!("${number}")
    };
    if let Some(statuses) = &filter.statuses {
        let words: Vec<String> = statuses.iter().map(|it| format!("'{it}'")).collect();
        query = query.sql(format!(" AND status IN ({})", words.join(", ")));
    }
    let texts = [("kind", &filter.kind), ("queue", &filter.queue), ("user_id", &filter.user_id)];
    for (column, text) in texts {
        if let Some(text) = text {
            query = query.sql(format!(" AND {column} = {}", next())).bind::<Text, _>(text);
        }
    }
    if let Some((time, id)) = after {
        query = query.sql(format!(" AND (created_at, id) < ({}, {})", next(), next()));
        query = query.bind::<Timestamptz, _>(time).bind::<SqlUuid, _>(id);
    }
    query = query.sql(format!(" ORDER BY created_at DESC, id DESC LIMIT {}", next()));
    let rows: Vec<TaskRow> = query.bind::<BigInt, _>(limit).load(conn).await?;
    rows.into_iter().map(TaskRecord::try_from).collect()
}

/// Calls off what is alive of the tasks that the condition chooses, and returns them; `$1` is who asks. A schedule shows how
/// its last run ended.
fn calling_off(condition: &str) -> String {
    format!(
        "WITH cancelled AS ( \
             UPDATE task_history SET status = 'cancelled', error = 'cancelled by ' || $1, \
                 finished_at = now(), updated_at = now(), heartbeat_at = NULL \
             WHERE status IN ('queued', 'running', 'retrying') AND {condition} RETURNING *), \
         told AS ( \
             UPDATE schedules SET last_error = cancelled.error, updated_at = now() \
             FROM cancelled WHERE schedules.task_id = cancelled.id) \
         SELECT * FROM cancelled"
    )
}

/// Calls a task off: one that waits never starts, one that runs stops at its next step, and whatever its worker still
/// writes is refused. `None` when it has ended already, or never was.
///
/// # Errors
/// When the database refuses.
pub async fn cancel(
    conn: &mut pg::Connection,
    id: TaskId,
    by: &str,
) -> Result<Option<TaskRecord>, pg::Error> {
    let row = sql_query(calling_off("id = $2"))
        .bind::<Text, _>(by)
        .bind::<SqlUuid, _>(id.as_uuid())
        .get_result::<TaskRow>(conn)
        .await
        .optional()?;
    row.map(TaskRecord::try_from).transpose()
}

/// Calls off every task of a queue, as [`cancel`] does; returns how many.
///
/// # Errors
/// When the database refuses.
pub async fn cancel_queue(conn: &mut pg::Connection, queue: &str, by: &str) -> Result<usize, pg::Error> {
    let cancelled = sql_query(calling_off("queue = $2"));
    Ok(cancelled.bind::<Text, _>(by).bind::<Text, _>(queue).execute(conn).await?)
}

/// Gives a task that failed or was cancelled at least one more try. `None` when it is alive, has succeeded, or never
/// was.
///
/// # Errors
/// [`pg::Error::UniqueViolation`] when another task with its key is alive; else when the database refuses.
pub async fn retry(conn: &mut pg::Connection, id: TaskId) -> Result<Option<TaskRecord>, pg::Error> {
    let row = sql_query(
        "WITH retried AS ( \
             UPDATE task_history SET status = 'queued', run_at = now(), max_attempts = greatest(max_attempts, attempt + 1), \
                 error = NULL, finished_at = NULL, updated_at = now() \
             WHERE id = $1 AND status IN ('failed', 'cancelled') RETURNING *) \
         SELECT *, pg_notify('tasks_' || current_schema(), '') FROM retried",
    )
    .bind::<SqlUuid, _>(id.as_uuid())
    .get_result::<TaskRow>(conn)
    .await
    .optional()?;
    row.map(TaskRecord::try_from).transpose()
}

/// Tasks that ended long ago.
pub const RETENTION: RetentionPolicy = RetentionPolicy {
    what: "tasks",
    sql: "DELETE FROM task_history WHERE id IN ( \
              SELECT id FROM task_history WHERE finished_at < now() - $1 ORDER BY finished_at LIMIT $2 \
              FOR UPDATE SKIP LOCKED)",
    keep: Duration::from_hours(90 * 24),
};
