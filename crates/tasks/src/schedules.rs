//! Schedules: rows in Postgres that enqueue tasks repeatedly.

use std::time::Duration;

use diesel::sql_types::{
    Array, BigInt, Bool, Double, Int4, Interval, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid,
};
use diesel::{OptionalExtension, QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use domain::TaskId;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::interval;
use crate::task::{Payload, Task};
use crate::timing::{Timing, When};

/// A schedule to store.
#[derive(Debug, Clone)]
pub struct NewSchedule {
    /// Unique name.
    pub name: String,
    /// The [`crate::Task`] that it enqueues.
    pub payload: Payload,
    /// The queue of its tasks.
    pub queue: String,
    /// Maximum number of attempts of each task.
    pub max_attempts: i32,
    /// The user whose data its tasks work on.
    pub user_id: Option<String>,
    /// The times of its runs.
    pub timing: Timing,
    /// Time of the first run, instead of the timing's.
    pub first_run_at: Option<OffsetDateTime>,
}

impl NewSchedule {
    /// A schedule of the service itself, with the name and the queue of its kind. Its tasks run at most five times.
    pub fn of_service<T: Task>(task: &T, timing: Timing) -> Self {
        Self {
            name: T::KIND.to_owned(),
            payload: Payload::of(task),
            queue: T::KIND.to_owned(),
            max_attempts: 5,
            user_id: None,
            timing,
            first_run_at: None,
        }
    }
}

/// A stored schedule.
#[derive(Debug, QueryableByName)]
pub struct Schedule {
    /// Unique name.
    #[diesel(sql_type = Text)]
    pub name: String,
    /// The kind of its tasks.
    #[diesel(sql_type = Text)]
    pub kind: String,
    /// The queue of its tasks.
    #[diesel(sql_type = Text)]
    pub queue: String,
    /// The user whose data its tasks work on.
    #[diesel(sql_type = Nullable<Text>)]
    pub user_id: Option<String>,
    /// The cron expression, if it has one.
    #[diesel(sql_type = Nullable<Text>)]
    pub cron: Option<String>,
    /// The time zone of the expression.
    #[diesel(sql_type = Nullable<Text>)]
    pub time_zone: Option<String>,
    /// The interval in seconds, if it has one.
    #[diesel(sql_type = Nullable<Double>)]
    pub every_seconds: Option<f64>,
    /// False when it is disabled.
    #[diesel(sql_type = Bool)]
    pub is_enabled: bool,
    /// Time of the next run.
    #[diesel(sql_type = Timestamptz)]
    pub next_run_at: OffsetDateTime,
    /// Time of the last run.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub last_run_at: Option<OffsetDateTime>,
    /// Time of the last successful run.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub last_success_at: Option<OffsetDateTime>,
    /// Error of the last run.
    #[diesel(sql_type = Nullable<Text>)]
    pub last_error: Option<String>,
    /// The task of the last run.
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub task_id: Option<Uuid>,
}

const SCHEDULE: &str = "name, kind, queue, user_id, cron, time_zone, extract(epoch FROM every)::float8 AS every_seconds, \
     is_enabled, next_run_at, last_run_at, last_success_at, last_error, task_id";

/// Inserts or updates a schedule by its name. Its next run moves only when its timing changes.
///
/// `now` is the reference of `first_run_at`, by the caller's clock: the first run is as far from the database's time as
/// `first_run_at` is from `now`.
///
/// # Errors
/// The database's error.
pub async fn put(
    conn: &mut pg::Connection,
    now: OffsetDateTime,
    schedule: &NewSchedule,
) -> Result<(), pg::Error> {
    let (cron, time_zone, every) = match &schedule.timing.0 {
        When::Cron { expression, time_zone, .. } => (Some(expression), Some(time_zone), None),
        When::Every(every) => (None, None, Some(interval(*every))),
    };
    let theirs = pg::now(conn).await?;
    let first = match schedule.first_run_at {
        Some(at) => theirs.saturating_add(at - now),
        None => schedule.timing.beginning(&schedule.name, theirs).unwrap_or(theirs),
    };
    sql_query(
        "INSERT INTO schedules (name, kind, queue, payload, max_attempts, user_id, cron, time_zone, every, next_run_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
         ON CONFLICT (name) DO UPDATE SET kind = excluded.kind, queue = excluded.queue, payload = excluded.payload, \
             max_attempts = excluded.max_attempts, user_id = excluded.user_id, cron = excluded.cron, \
             time_zone = excluded.time_zone, every = excluded.every, updated_at = now(), \
             next_run_at = CASE WHEN (schedules.cron, schedules.time_zone, schedules.every) \
                 IS NOT DISTINCT FROM (excluded.cron, excluded.time_zone, excluded.every) \
                 THEN schedules.next_run_at ELSE excluded.next_run_at END",
    )
    .bind::<Text, _>(&schedule.name)
    .bind::<Text, _>(schedule.payload.kind())
    .bind::<Text, _>(&schedule.queue)
    .bind::<Jsonb, _>(schedule.payload.json()?)
    .bind::<Int4, _>(schedule.max_attempts)
    .bind::<Nullable<Text>, _>(&schedule.user_id)
    .bind::<Nullable<Text>, _>(cron)
    .bind::<Nullable<Text>, _>(time_zone)
    .bind::<Nullable<Interval>, _>(every)
    .bind::<Timestamptz, _>(first)
    .execute(conn)
    .await?;
    Ok(())
}

/// A schedule by its name.
///
/// # Errors
/// The database's error.
pub async fn find(conn: &mut pg::Connection, name: &str) -> Result<Option<Schedule>, pg::Error> {
    let found = sql_query(format!("SELECT {SCHEDULE} FROM schedules WHERE name = $1")).bind::<Text, _>(name);
    Ok(found.get_result(conn).await.optional()?)
}

/// Deletes a schedule. A running task continues. False when it does not exist.
///
/// # Errors
/// The database's error.
pub async fn remove(conn: &mut pg::Connection, name: &str) -> Result<bool, pg::Error> {
    let removed =
        sql_query("DELETE FROM schedules WHERE name = $1").bind::<Text, _>(name).execute(conn).await?;
    Ok(removed > 0)
}

/// Deletes all schedules of a queue, as [`remove`] does, and returns how many.
///
/// # Errors
/// The database's error.
pub async fn remove_queue(conn: &mut pg::Connection, queue: &str) -> Result<usize, pg::Error> {
    let removed = sql_query("DELETE FROM schedules WHERE queue = $1").bind::<Text, _>(queue);
    Ok(removed.execute(conn).await?)
}

/// Disables the enabled schedules of a queue, and returns their names, for [`switch_on`].
///
/// # Errors
/// The database's error.
pub async fn switch_queue_off(conn: &mut pg::Connection, queue: &str) -> Result<Vec<String>, pg::Error> {
    let query = format!(
        "UPDATE schedules SET is_enabled = false, updated_at = now() WHERE queue = $1 AND is_enabled \
         RETURNING {SCHEDULE}"
    );
    let switched: Vec<Schedule> = sql_query(query).bind::<Text, _>(queue).load(conn).await?;
    Ok(switched.into_iter().map(|schedule| schedule.name).collect())
}

/// Enables these schedules. Missed runs are made up by one run.
///
/// # Errors
/// The database's error.
pub async fn switch_on(conn: &mut pg::Connection, names: &[String]) -> Result<(), pg::Error> {
    sql_query("UPDATE schedules SET is_enabled = true, updated_at = now() WHERE name = ANY($1)")
        .bind::<Array<Text>, _>(names)
        .execute(conn)
        .await?;
    Ok(())
}

/// Enables or disables a schedule. After it is enabled, missed runs are made up by one run. `None` when it does not
/// exist.
///
/// # Errors
/// The database's error.
pub async fn set_enabled(
    conn: &mut pg::Connection,
    name: &str,
    is_enabled: bool,
) -> Result<Option<Schedule>, pg::Error> {
    let query = format!(
        "UPDATE schedules SET is_enabled = $2, updated_at = now() WHERE name = $1 RETURNING {SCHEDULE}"
    );
    let changed = sql_query(query).bind::<Text, _>(name).bind::<Bool, _>(is_enabled);
    Ok(changed.get_result(conn).await.optional()?)
}

/// Makes a schedule due now. A disabled schedule remains disabled. `None` when it does not exist.
///
/// # Errors
/// The database's error.
pub async fn run_now(conn: &mut pg::Connection, name: &str) -> Result<Option<Schedule>, pg::Error> {
    let query = format!(
        "UPDATE schedules SET updated_at = now(), \
             next_run_at = CASE WHEN is_enabled THEN least(next_run_at, now()) ELSE next_run_at END \
         WHERE name = $1 RETURNING {SCHEDULE}"
    );
    Ok(sql_query(query).bind::<Text, _>(name).get_result(conn).await.optional()?)
}

/// Sets the interval of all schedules of a kind that run by an interval, and returns how many changed. None waits
/// longer than before, and those that run sooner are spread over the interval.
pub(crate) async fn set_interval(
    conn: &mut pg::Connection,
    kind: &str,
    every: Duration,
) -> Result<usize, pg::Error> {
    let changed = sql_query(
        "UPDATE schedules SET every = $2, next_run_at = least(next_run_at, now() + $2 * random()), updated_at = now() \
         WHERE kind = $1 AND every <> $2",
    );
    Ok(changed
        .bind::<Text, _>(kind)
        .bind::<Interval, _>(interval(every.max(Duration::from_secs(1))))
        .execute(conn)
        .await?)
}

/// Schedules by name, beginning after `after`, only those of `user_id` if it is given.
///
/// # Errors
/// The database's error.
pub async fn list(
    conn: &mut pg::Connection,
    user_id: Option<&str>,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<Schedule>, pg::Error> {
    let query = format!(
        "SELECT {SCHEDULE} FROM schedules WHERE ($1 IS NULL OR user_id = $1) AND ($2 IS NULL OR name > $2) \
         ORDER BY name LIMIT $3"
    );
    let found = sql_query(query)
        .bind::<Nullable<Text>, _>(user_id)
        .bind::<Nullable<Text>, _>(after)
        .bind::<BigInt, _>(limit);
    Ok(found.load(conn).await?)
}

/// Locks and returns due schedules: enabled, at their time, and without an unfinished run.
pub(crate) async fn due(conn: &mut pg::Connection, limit: i64) -> Result<Vec<Schedule>, pg::Error> {
    let query = format!(
        "SELECT {SCHEDULE} FROM schedules s WHERE is_enabled AND next_run_at <= now() AND NOT EXISTS ( \
             SELECT 1 FROM task_history h WHERE h.unique_key = 'schedule:' || s.name \
                 AND h.status IN ('queued', 'running', 'retrying')) \
         ORDER BY next_run_at LIMIT $1 FOR UPDATE SKIP LOCKED"
    );
    Ok(sql_query(query).bind::<BigInt, _>(limit).load(conn).await?)
}

/// The time after the due run. `None` when there will be none.
///
/// # Errors
/// [`pg::Error::Corrupt`].
pub(crate) fn next(schedule: &Schedule, now: OffsetDateTime) -> Result<Option<OffsetDateTime>, pg::Error> {
    let corrupt = |column| pg::Error::corrupt("schedules", &schedule.name, column);
    let timing = match (&schedule.cron, &schedule.time_zone, schedule.every_seconds) {
        (Some(expression), Some(time_zone), None) => {
            Timing::cron(expression, time_zone).map_err(|_invalid| corrupt("cron"))?
        }
        (None, None, Some(seconds)) => {
            let every = Duration::try_from_secs_f64(seconds);
            Timing::every(every.map_err(|_invalid| corrupt("every"))?)
        }
        (Some(_), None, _) | (None, Some(_), _) => return Err(corrupt("time_zone")),
        (Some(_), Some(_), Some(_)) | (None, None, None) => return Err(corrupt("every")),
    };
    Ok(timing.after(schedule.next_run_at, now))
}

/// Delays due schedules that cannot be read by a minute.
pub(crate) async fn postpone(conn: &mut pg::Connection, names: &[&str]) -> Result<(), pg::Error> {
    if names.is_empty() {
        return Ok(());
    }
    sql_query(
        "UPDATE schedules SET next_run_at = now() + interval '1 minute', updated_at = now(), \
             last_error = 'the stored timing cannot be read' WHERE name = ANY($1)",
    )
    .bind::<Array<Text>, _>(names)
    .execute(conn)
    .await?;
    Ok(())
}

/// A run to enqueue.
pub(crate) struct Start {
    pub(crate) name: String,
    pub(crate) task_id: TaskId,
    pub(crate) next_run_at: Option<OffsetDateTime>,
}

/// Enqueues the runs and advances their schedules. A schedule without a further run is disabled.
pub(crate) async fn start(conn: &mut pg::Connection, starts: &[Start]) -> Result<(), pg::Error> {
    sql_query(
        "WITH due AS (SELECT * FROM unnest($1, $2, $3) AS d (name, task_id, next_run_at)), \
         asked AS ( \
             INSERT INTO task_history (id, kind, queue, payload, max_attempts, run_at, unique_key, requested_by, \
                 user_id, created_at, updated_at) \
             SELECT d.task_id, s.kind, s.queue, s.payload, s.max_attempts, now(), 'schedule:' || s.name, 'schedule', \
                 s.user_id, now(), now() FROM due d JOIN schedules s USING (name) \
             ON CONFLICT DO NOTHING RETURNING id), \
         moved AS ( \
             UPDATE schedules s SET last_run_at = now(), updated_at = now(), is_enabled = d.next_run_at IS NOT NULL, \
                 next_run_at = coalesce(d.next_run_at, s.next_run_at), \
                 task_id = coalesce((SELECT id FROM asked WHERE id = d.task_id), s.task_id) \
             FROM due d WHERE s.name = d.name) \
         SELECT pg_notify('tasks_' || current_schema(), '')",
    )
    .bind::<Array<Text>, _>(starts.iter().map(|it| it.name.as_str()).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(starts.iter().map(|it| it.task_id.as_uuid()).collect::<Vec<_>>())
    .bind::<Array<Nullable<Timestamptz>>, _>(starts.iter().map(|it| it.next_run_at).collect::<Vec<_>>())
    .execute(conn)
    .await?;
    Ok(())
}
