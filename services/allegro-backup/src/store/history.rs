//! `sync_history`: what each reading of an account came to.

use diesel::sql_types::{BigInt, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use domain::{TaskId, TokenId};
use time::OffsetDateTime;
use uuid::Uuid;

/// A reading.
#[derive(Debug, Clone, QueryableByName)]
pub(crate) struct Reading {
    #[diesel(sql_type = SqlUuid)]
    task_id: Uuid,
    /// Grows with each reading.
    #[diesel(sql_type = BigInt)]
    pub(crate) seq: i64,
    #[diesel(sql_type = SqlUuid)]
    token_id: Uuid,
    /// Whose account it is.
    #[diesel(sql_type = Text)]
    pub(crate) user_id: String,
    /// What was read.
    #[diesel(sql_type = Text)]
    pub(crate) kind: String,
    /// Where it stands.
    #[diesel(sql_type = Text)]
    pub(crate) status: String,
    /// When it was begun.
    #[diesel(sql_type = Timestamptz)]
    pub(crate) sync_started_at: OffsetDateTime,
    /// When it ended.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub(crate) sync_completed_at: Option<OffsetDateTime>,
    /// Where the list begins.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub(crate) sync_from_date: Option<OffsetDateTime>,
    /// Where it ends.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub(crate) sync_to_date: Option<OffsetDateTime>,
    /// Orders looked at.
    #[diesel(sql_type = BigInt)]
    pub(crate) orders_processed: i64,
    /// Orders stored for the first time.
    #[diesel(sql_type = BigInt)]
    pub(crate) orders_added: i64,
    /// Orders whose content changed.
    #[diesel(sql_type = BigInt)]
    pub(crate) orders_updated: i64,
    /// Orders that said nothing new.
    #[diesel(sql_type = BigInt)]
    pub(crate) orders_unchanged: i64,
    /// Orders that went into quarantine.
    #[diesel(sql_type = BigInt)]
    pub(crate) orders_failed: i64,
    /// What went wrong.
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) error_message: Option<String>,
}

impl Reading {
    /// The task that reads.
    pub(crate) fn task_id(&self) -> TaskId {
        self.task_id.into()
    }

    /// The account.
    pub(crate) fn token_id(&self) -> TokenId {
        self.token_id.into()
    }
}

/// A reading that begins.
#[derive(Debug)]
pub(crate) struct NewReading<'a> {
    /// The task that reads.
    pub(crate) task_id: TaskId,
    /// The account.
    pub(crate) token_id: TokenId,
    /// Whose account it is.
    pub(crate) user_id: &'a str,
    /// What is read.
    pub(crate) kind: &'a str,
    /// From when to when, where it is a list.
    pub(crate) window: (Option<OffsetDateTime>, Option<OffsetDateTime>),
}

/// What a step of a reading brought.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) processed: i64,
    pub(crate) added: i64,
    pub(crate) updated: i64,
    pub(crate) unchanged: i64,
    pub(crate) failed: i64,
}

/// Writes down that a reading has begun, or goes on, and what a step of it brought.
///
/// # Errors
/// The database's.
pub(crate) async fn count(
    conn: &mut pg::Connection,
    now: OffsetDateTime,
    new: &NewReading<'_>,
    tally: &Tally,
) -> Result<(), pg::Error> {
    let write = sql_query(
        "INSERT INTO sync_history AS h (task_id, token_id, user_id, kind, status, sync_started_at, sync_from_date, \
             sync_to_date, orders_processed, orders_added, orders_updated, orders_unchanged, orders_failed) \
         VALUES ($1, $2, $3, $4, 'running', $5, $6, $7, $8, $9, $10, $11, $12) \
         ON CONFLICT (task_id) DO UPDATE SET status = 'running', sync_completed_at = NULL, error_message = NULL, \
             sync_from_date = coalesce(h.sync_from_date, excluded.sync_from_date), \
             sync_to_date = coalesce(h.sync_to_date, excluded.sync_to_date), \
             orders_processed = h.orders_processed + excluded.orders_processed, \
             orders_added = h.orders_added + excluded.orders_added, \
             orders_updated = h.orders_updated + excluded.orders_updated, \
             orders_unchanged = h.orders_unchanged + excluded.orders_unchanged, \
             orders_failed = h.orders_failed + excluded.orders_failed",
    )
    .bind::<SqlUuid, _>(new.task_id.as_uuid())
    .bind::<SqlUuid, _>(new.token_id.as_uuid())
    .bind::<Text, _>(new.user_id)
    .bind::<Text, _>(new.kind)
    .bind::<Timestamptz, _>(now)
    .bind::<Nullable<Timestamptz>, _>(new.window.0)
    .bind::<Nullable<Timestamptz>, _>(new.window.1)
    .bind::<BigInt, _>(tally.processed)
    .bind::<BigInt, _>(tally.added)
    .bind::<BigInt, _>(tally.updated)
    .bind::<BigInt, _>(tally.unchanged)
    .bind::<BigInt, _>(tally.failed);
    pg::prepared(write).execute(conn).await?;
    Ok(())
}

/// Ends a reading that is running; `None` when there is none such.
///
/// # Errors
/// The database's.
pub(crate) async fn end(
    conn: &mut pg::Connection,
    now: OffsetDateTime,
    task_id: TaskId,
    status: &str,
    error: Option<&str>,
) -> Result<Option<Reading>, pg::Error> {
    let ended = sql_query(
        "UPDATE sync_history SET status = $2, sync_completed_at = $3, error_message = $4 \
         WHERE task_id = $1 AND status = 'running' RETURNING *",
    )
    .bind::<SqlUuid, _>(task_id.as_uuid())
    .bind::<Text, _>(status)
    .bind::<Timestamptz, _>(now)
    .bind::<Nullable<Text>, _>(error);
    Ok(ended.get_result(conn).await.optional()?)
}

#[derive(QueryableByName)]
struct Unsettled {
    #[diesel(sql_type = SqlUuid)]
    task_id: Uuid,
    #[diesel(sql_type = Text)]
    status: String,
    #[diesel(sql_type = Nullable<Text>)]
    error: Option<String>,
}

/// Readings that run though their task has ended without them: it was called off, or its worker fell silent once too
/// often. With the status they end in, and why.
///
/// # Errors
/// The database's.
pub(crate) async fn unsettled(
    conn: &mut pg::Connection,
) -> Result<Vec<(TaskId, String, Option<String>)>, pg::Error> {
    let rows: Vec<Unsettled> = sql_query(
        "SELECT h.task_id, CASE t.status WHEN 'cancelled' THEN 'cancelled' ELSE 'failed' END AS status, t.error \
         FROM sync_history h LEFT JOIN task_history t ON t.id = h.task_id \
         WHERE h.status = 'running' AND coalesce(t.status, 'failed') IN ('failed', 'cancelled') LIMIT 500",
    )
    .load(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.task_id.into(), row.status, row.error)).collect())
}

/// Readings of a user's accounts (or of one of them), newest first; `after` is where the page before ended.
///
/// # Errors
/// The database's.
pub(crate) async fn list(
    conn: &mut pg::Connection,
    token_ids: &[TokenId],
    after: Option<(OffsetDateTime, Uuid)>,
    limit: i64,
) -> Result<Vec<Reading>, pg::Error> {
    let (after_time, after_id) = after.unzip();
    let found = sql_query(
        "SELECT * FROM sync_history WHERE token_id = ANY($1) \
             AND ($2 IS NULL OR (sync_started_at, task_id) < ($2, $3)) \
         ORDER BY sync_started_at DESC, task_id DESC LIMIT $4",
    )
    .bind::<diesel::sql_types::Array<SqlUuid>, _>(token_ids.iter().map(|id| id.as_uuid()).collect::<Vec<_>>())
    .bind::<Nullable<Timestamptz>, _>(after_time)
    .bind::<Nullable<SqlUuid>, _>(after_id)
    .bind::<BigInt, _>(limit);
    Ok(found.load(conn).await?)
}

/// Forgets at most `limit` readings that ended before a moment; returns how many.
///
/// # Errors
/// The database's.
pub(crate) async fn forget(
    conn: &mut pg::Connection,
    before: OffsetDateTime,
    limit: i64,
) -> Result<usize, pg::Error> {
    let deleted = sql_query(
        "DELETE FROM sync_history WHERE task_id IN ( \
             SELECT task_id FROM sync_history WHERE sync_completed_at < $1 ORDER BY sync_completed_at LIMIT $2 \
             FOR UPDATE SKIP LOCKED)",
    )
    .bind::<Timestamptz, _>(before)
    .bind::<BigInt, _>(limit);
    Ok(deleted.execute(conn).await?)
}
