//! Enqueues, lists, cancels and retries tasks.

use std::time::Duration;

use diesel::dsl::sql;
use diesel::pg::sql_types::Record;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Bool, Int4, Interval, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use domain::TaskId;
use pg::RetentionPolicy;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::interval;
use crate::model::{NewTask, Status, TaskRecord};
use crate::row::{IdRow, TaskRow};
use crate::schema::task_history;

/// Enqueues a task in the caller's transaction. If an unfinished task has the same `unique_key`, nothing is added and
/// that task's id is returned. `id` is a new one.
///
/// `now` is the reference of `run_at`, by the caller's clock: the task waits for their difference, by the database's
/// clock.
///
/// # Errors
/// The database's error.
pub async fn enqueue(
    conn: &mut pg::Connection,
    id: TaskId,
    now: OffsetDateTime,
    task: &NewTask,
) -> Result<TaskId, pg::Error> {
    let delay = task.run_at.map(|at| Duration::try_from(at - now).unwrap_or_default());
    let delay = interval(delay.unwrap_or_default());
    // The no-op update makes RETURNING yield the existing row too, and waits for one that is being inserted.
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

/// A task by its id.
///
/// # Errors
/// The database's error.
pub async fn find(conn: &mut pg::Connection, id: TaskId) -> Result<Option<TaskRecord>, pg::Error> {
    let found = task_history::table.find(id.as_uuid()).select(TaskRow::as_select());
    let row = found.first(conn).await.optional()?;
    row.map(TaskRecord::try_from).transpose()
}

/// The newest task of one kind in a queue.
///
/// # Errors
/// The database's error.
pub async fn latest_in_queue(
    conn: &mut pg::Connection,
    queue: &str,
    kind: &str,
) -> Result<Option<TaskRecord>, pg::Error> {
    let youngest = task_history::table
        .filter(task_history::queue.eq(queue))
        .filter(task_history::kind.eq(kind))
        .order(task_history::id.desc())
        .select(TaskRow::as_select());
    let row = youngest.first(conn).await.optional()?;
    row.map(TaskRecord::try_from).transpose()
}

/// Filter of a list. `None` does not restrict.
#[derive(Debug, Default)]
pub struct Filter {
    /// Statuses, at least one.
    pub statuses: Option<Vec<Status>>,
    /// Kind of the tasks.
    pub kind: Option<String>,
    /// Queue of the tasks.
    pub queue: Option<String>,
    /// User whose data the tasks work on.
    pub user_id: Option<String>,
}

/// Tasks, newest first. `after` is the creation time and id of the last one of the previous page.
///
/// # Errors
/// The database's error.
pub async fn list(
    conn: &mut pg::Connection,
    filter: &Filter,
    after: Option<(OffsetDateTime, Uuid)>,
    limit: i64,
) -> Result<Vec<TaskRecord>, pg::Error> {
    let newest = task_history::table.order((task_history::created_at.desc(), task_history::id.desc()));
    let mut query = newest.limit(limit).select(TaskRow::as_select()).into_boxed();
    if let Some(statuses) = &filter.statuses {
        // As literals, so that the planner can use the partial indexes.
        let words: Vec<String> = statuses.iter().map(|it| format!("'{it}'")).collect();
        query = query.filter(sql::<Bool>(&format!("status IN ({})", words.join(", "))));
    }
    if let Some(kind) = &filter.kind {
        query = query.filter(task_history::kind.eq(kind));
    }
    if let Some(queue) = &filter.queue {
        query = query.filter(task_history::queue.eq(queue));
    }
    if let Some(user_id) = &filter.user_id {
        query = query.filter(task_history::user_id.eq(user_id));
    }
    if let Some(after) = after {
        let place = (task_history::created_at, task_history::id).into_sql::<Record<(Timestamptz, SqlUuid)>>();
        query = query.filter(place.lt(after));
    }
    let rows = query.load(conn).await?;
    rows.into_iter().map(TaskRecord::try_from).collect()
}

/// Cancels the unfinished tasks that the condition selects, and returns them. `$1` is the requester. A schedule shows
/// how its last run ended.
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

/// Cancels a task. A waiting task never starts. A running one stops at its next step, and later writes of its worker
/// are rejected. `None` when it has ended or does not exist.
///
/// # Errors
/// The database's error.
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

/// Cancels all tasks of a queue, as [`cancel`] does, and returns how many.
///
/// # Errors
/// The database's error.
pub async fn cancel_queue(conn: &mut pg::Connection, queue: &str, by: &str) -> Result<usize, pg::Error> {
    let cancelled = sql_query(calling_off("queue = $2"));
    Ok(cancelled.bind::<Text, _>(by).bind::<Text, _>(queue).execute(conn).await?)
}

/// Gives a failed or cancelled task at least one more attempt. `None` when it is unfinished, has succeeded, or does not
/// exist.
///
/// # Errors
/// [`pg::Error::UniqueViolation`] when another unfinished task has its key, or another error of the database.
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

/// Deletes tasks that ended long ago.
pub const RETENTION: RetentionPolicy = RetentionPolicy {
    what: "tasks",
    sql: "DELETE FROM task_history WHERE id IN ( \
              SELECT id FROM task_history WHERE finished_at < now() - $1 ORDER BY finished_at LIMIT $2 \
              FOR UPDATE SKIP LOCKED)",
    keep: Duration::from_hours(90 * 24),
};
