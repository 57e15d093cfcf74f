//! The `task_history` table. Plain SQL, because every guard is one statement.

use diesel::sql_types::{Int4, Interval, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use domain::TaskId;
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::model::{NewTask, Progress, Status, Task};

#[derive(QueryableByName)]
struct IdRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

#[derive(QueryableByName)]
struct TaskRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Text)]
    queue: String,
    #[diesel(sql_type = Jsonb)]
    payload: Value,
    #[diesel(sql_type = Text)]
    status: String,
    #[diesel(sql_type = Nullable<Jsonb>)]
    progress: Option<Value>,
    #[diesel(sql_type = Int4)]
    attempt: i32,
    #[diesel(sql_type = Int4)]
    max_attempts: i32,
    #[diesel(sql_type = Timestamptz)]
    run_at: OffsetDateTime,
    #[diesel(sql_type = Nullable<Jsonb>)]
    result: Option<Value>,
    #[diesel(sql_type = Nullable<Text>)]
    error: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    requested_by: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    correlation_id: Option<String>,
    #[diesel(sql_type = Timestamptz)]
    created_at: OffsetDateTime,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    started_at: Option<OffsetDateTime>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    finished_at: Option<OffsetDateTime>,
}

impl From<TaskRow> for Task {
    fn from(row: TaskRow) -> Self {
        Self {
            id: row.id.into(),
            kind: row.kind,
            queue: row.queue,
            payload: row.payload,
            // The table's own check constraint admits only known words.
            status: Status::parse(&row.status).unwrap_or(Status::Failed),
            progress: row.progress.and_then(|value| serde_json::from_value::<Progress>(value).ok()),
            attempt: row.attempt,
            max_attempts: row.max_attempts,
            run_at: row.run_at,
            result: row.result,
            error: row.error,
            requested_by: row.requested_by,
            correlation_id: row.correlation_id,
            created_at: row.created_at,
            started_at: row.started_at,
            finished_at: row.finished_at,
        }
    }
}

/// Asks for a task, in the caller's transaction. With a `unique_key` that is alive already, nothing is added and
/// the living task's id comes back. `now` is the moment of asking, `id` a fresh one.
///
/// # Errors
/// When the database refuses.
pub async fn enqueue(
    conn: &mut pg::Connection,
    id: TaskId,
    now: OffsetDateTime,
    task: &NewTask,
) -> Result<TaskId, pg::Error> {
    // The no-op update makes RETURNING yield the living row too, and waits for one that is being inserted.
    let row: IdRow = sql_query(
        "INSERT INTO task_history (id, kind, queue, payload, max_attempts, run_at, unique_key, requested_by, \
             correlation_id, created_at, updated_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10) \
         ON CONFLICT (unique_key) WHERE unique_key IS NOT NULL AND status IN ('queued', 'running', 'retrying') \
         DO UPDATE SET unique_key = excluded.unique_key \
         RETURNING id",
    )
    .bind::<SqlUuid, _>(id.as_uuid())
    .bind::<Text, _>(task.kind)
    .bind::<Text, _>(&task.queue)
    .bind::<Jsonb, _>(&task.payload)
    .bind::<Int4, _>(task.max_attempts)
    .bind::<Timestamptz, _>(task.run_at.unwrap_or(now))
    .bind::<Nullable<Text>, _>(&task.unique_key)
    .bind::<Nullable<Text>, _>(&task.requested_by)
    .bind::<Nullable<Text>, _>(&task.correlation_id)
    .bind::<Timestamptz, _>(now)
    .get_result(conn)
    .await?;
    Ok(row.id.into())
}

/// One task, if there is such a one.
///
/// # Errors
/// When the database refuses.
pub async fn find(conn: &mut pg::Connection, id: TaskId) -> Result<Option<Task>, pg::Error> {
    let row = sql_query("SELECT * FROM task_history WHERE id = $1")
        .bind::<SqlUuid, _>(id.as_uuid())
        .get_result::<TaskRow>(conn)
        .await
        .optional()?;
    Ok(row.map(Task::from))
}

/// The youngest task of one kind in a queue.
///
/// # Errors
/// When the database refuses.
pub async fn latest_in_queue(
    conn: &mut pg::Connection,
    queue: &str,
    kind: &str,
) -> Result<Option<Task>, pg::Error> {
    let row = sql_query("SELECT * FROM task_history WHERE queue = $1 AND kind = $2 ORDER BY id DESC LIMIT 1")
        .bind::<Text, _>(queue)
        .bind::<Text, _>(kind)
        .get_result::<TaskRow>(conn)
        .await
        .optional()?;
    Ok(row.map(Task::from))
}

/// Takes the most overdue task of one of `kinds` whose queue is free, and marks it running.
pub(crate) async fn claim(
    conn: &mut pg::Connection,
    kinds: &[&'static str],
    now: OffsetDateTime,
) -> Result<Option<Task>, pg::Error> {
    // Two workers may pick two tasks of one queue at once; the unique index lets one of them through, and the
    // other hears of a violation, which the runner takes for "nothing to do now".
    let row = sql_query(
        "UPDATE task_history SET status = 'running', attempt = attempt + 1, started_at = $2, heartbeat_at = now(), \
             updated_at = $2, error = NULL \
         WHERE id = (SELECT t.id FROM task_history t \
                     WHERE t.status IN ('queued', 'retrying') AND t.run_at <= $2 AND t.kind = ANY($1) \
                       AND NOT EXISTS (SELECT 1 FROM task_history r WHERE r.queue = t.queue AND r.status = 'running') \
                     ORDER BY t.run_at, t.id LIMIT 1 FOR UPDATE SKIP LOCKED) \
         RETURNING *",
    )
    .bind::<diesel::sql_types::Array<Text>, _>(kinds)
    .bind::<Timestamptz, _>(now)
    .get_result::<TaskRow>(conn)
    .await
    .optional()?;
    Ok(row.map(Task::from))
}

/// Gives back tasks whose worker has not been heard of for `silence`; they run again with the next attempt.
/// Heartbeats are told by the database's clock, so that no worker's own clock matters.
pub(crate) async fn give_back_silent(
    conn: &mut pg::Connection,
    silence: std::time::Duration,
) -> Result<usize, pg::Error> {
    let given_back = sql_query(
        "UPDATE task_history SET status = 'retrying', run_at = now(), updated_at = now(), \
             error = 'the worker was not heard of any more' \
         WHERE status = 'running' AND heartbeat_at < now() - $1",
    )
    .bind::<Interval, _>(diesel::data_types::PgInterval::from_microseconds(
        i64::try_from(silence.as_micros()).unwrap_or(i64::MAX),
    ))
    .execute(conn)
    .await?;
    Ok(given_back)
}

/// Beats the heart and says how far the task is; false when it is not this attempt's any more.
pub(crate) async fn beat(
    conn: &mut pg::Connection,
    id: TaskId,
    attempt: i32,
    progress: Option<&Progress>,
) -> Result<bool, pg::Error> {
    let progress = progress.map(serde_json::to_value).transpose().unwrap_or_default();
    let rows = sql_query(
        "UPDATE task_history SET heartbeat_at = now(), updated_at = now(), progress = coalesce($3, progress) \
         WHERE id = $1 AND attempt = $2 AND status = 'running'",
    )
    .bind::<SqlUuid, _>(id.as_uuid())
    .bind::<Int4, _>(attempt)
    .bind::<Nullable<Jsonb>, _>(progress)
    .execute(conn)
    .await?;
    Ok(rows == 1)
}

/// How a try ends, as it is written down.
pub(crate) struct Ending<'a> {
    pub(crate) status: Status,
    pub(crate) result: Option<&'a Value>,
    pub(crate) error: Option<&'a str>,
    /// The next try, for [`Status::Retrying`].
    pub(crate) run_at: Option<OffsetDateTime>,
    /// What the attempt number becomes: one less where the try shall not count.
    pub(crate) uncounted: bool,
}

/// Writes the end of a try; false when the task is not this attempt's any more.
pub(crate) async fn end(
    conn: &mut pg::Connection,
    id: TaskId,
    attempt: i32,
    ending: &Ending<'_>,
) -> Result<bool, pg::Error> {
    let rows = sql_query(
        "UPDATE task_history SET status = $3, result = $4, error = $5, run_at = coalesce($6, run_at), \
             max_attempts = max_attempts + $7, updated_at = now(), heartbeat_at = NULL, \
             finished_at = CASE WHEN $3 = 'retrying' THEN NULL ELSE now() END \
         WHERE id = $1 AND attempt = $2 AND status = 'running'",
    )
    .bind::<SqlUuid, _>(id.as_uuid())
    .bind::<Int4, _>(attempt)
    .bind::<Text, _>(ending.status.as_str())
    .bind::<Nullable<Jsonb>, _>(ending.result)
    .bind::<Nullable<Text>, _>(ending.error)
    .bind::<Nullable<Timestamptz>, _>(ending.run_at)
    .bind::<Int4, _>(i32::from(ending.uncounted))
    .execute(conn)
    .await?;
    Ok(rows == 1)
}
