//! `sync_cursors`: how far each account's list and journal were read.

use diesel::sql_types::{BigInt, Bool, Double, Int4, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use domain::TokenId;
use time::OffsetDateTime;
use uuid::Uuid;

/// Where an account stands.
#[derive(Debug, Clone, Default, QueryableByName)]
pub(crate) struct Cursor {
    /// True once the journal's end was taken, before the first list was read.
    #[diesel(sql_type = Bool)]
    pub(crate) is_anchored: bool,
    /// The journal's end as it was then; none for an empty journal.
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) anchor_event_id: Option<String>,
    /// The last event that landed.
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) last_event_id: Option<String>,
    /// When it last moved.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub(crate) last_event_at: Option<OffsetDateTime>,
    /// The task of the list pass under way.
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub(crate) pass_task_id: Option<Uuid>,
    /// When the pass was begun.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub(crate) pass_started_at: Option<OffsetDateTime>,
    /// Where the pass begins.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub(crate) pass_from: Option<OffsetDateTime>,
    /// Where the pass ends.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub(crate) pass_until: Option<OffsetDateTime>,
    /// Where the window under way begins.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub(crate) window_from: Option<OffsetDateTime>,
    /// Where it ends; not decided yet when absent.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub(crate) window_to: Option<OffsetDateTime>,
    /// Orders of the window that are stored.
    #[diesel(sql_type = BigInt)]
    pub(crate) window_offset: i64,
    /// Orders of the window in all, as Allegro said when it was begun.
    #[diesel(sql_type = Nullable<BigInt>)]
    pub(crate) window_total: Option<i64>,
    /// Orders of the pass that are stored.
    #[diesel(sql_type = BigInt)]
    pub(crate) pass_done: i64,
    /// Orders of the pass in all, as far as is known.
    #[diesel(sql_type = BigInt)]
    pub(crate) pass_total: i64,
    /// When a pass was last complete.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub(crate) last_complete_list_sync: Option<OffsetDateTime>,
    /// When the journal was last read to its end.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub(crate) last_events_sync: Option<OffsetDateTime>,
    /// When the open orders were last all read again.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub(crate) last_complete_sweep: Option<OffsetDateTime>,
    /// How often the owner wants the journal to be read.
    #[diesel(sql_type = Nullable<Int4>)]
    pub(crate) interval_seconds: Option<i32>,
}

/// Where an account stands; the beginning, when nothing was read yet.
///
/// # Errors
/// The database's.
pub(crate) async fn read(conn: &mut pg::Connection, token_id: TokenId) -> Result<Cursor, pg::Error> {
    let found =
        sql_query("SELECT * FROM sync_cursors WHERE token_id = $1").bind::<SqlUuid, _>(token_id.as_uuid());
    Ok(found.get_result(conn).await.optional()?.unwrap_or_default())
}

/// Writes down where an account stands, in the transaction of the step that came so far. Only the account's own queue
/// does; the interval is the owner's, who may change it meanwhile ([`choose_interval`]).
///
/// # Errors
/// The database's.
pub(crate) async fn write(
    conn: &mut pg::Connection,
    token_id: TokenId,
    cursor: &Cursor,
) -> Result<(), pg::Error> {
    let write = sql_query(
        "INSERT INTO sync_cursors (token_id, is_anchored, anchor_event_id, last_event_id, pass_task_id, pass_until, window_from, \
             window_to, window_offset, window_total, pass_done, pass_total, last_complete_list_sync, last_events_sync, \
             last_event_at, last_complete_sweep, pass_started_at, pass_from) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18) \
         ON CONFLICT (token_id) DO UPDATE SET is_anchored = excluded.is_anchored, \
             anchor_event_id = excluded.anchor_event_id, last_event_id = excluded.last_event_id, pass_task_id = excluded.pass_task_id, \
             pass_until = excluded.pass_until, window_from = excluded.window_from, window_to = excluded.window_to, \
             window_offset = excluded.window_offset, window_total = excluded.window_total, \
             pass_done = excluded.pass_done, pass_total = excluded.pass_total, \
             last_complete_list_sync = excluded.last_complete_list_sync, \
             last_events_sync = excluded.last_events_sync, last_event_at = excluded.last_event_at, \
             last_complete_sweep = excluded.last_complete_sweep, \
             pass_started_at = excluded.pass_started_at, pass_from = excluded.pass_from, \
             updated_at = now()",
    )
    .bind::<SqlUuid, _>(token_id.as_uuid())
    .bind::<Bool, _>(cursor.is_anchored)
    .bind::<Nullable<Text>, _>(&cursor.anchor_event_id)
    .bind::<Nullable<Text>, _>(&cursor.last_event_id)
    .bind::<Nullable<SqlUuid>, _>(cursor.pass_task_id)
    .bind::<Nullable<Timestamptz>, _>(cursor.pass_until)
    .bind::<Nullable<Timestamptz>, _>(cursor.window_from)
    .bind::<Nullable<Timestamptz>, _>(cursor.window_to)
    .bind::<BigInt, _>(cursor.window_offset)
    .bind::<Nullable<BigInt>, _>(cursor.window_total)
    .bind::<BigInt, _>(cursor.pass_done)
    .bind::<BigInt, _>(cursor.pass_total)
    .bind::<Nullable<Timestamptz>, _>(cursor.last_complete_list_sync)
    .bind::<Nullable<Timestamptz>, _>(cursor.last_events_sync)
    .bind::<Nullable<Timestamptz>, _>(cursor.last_event_at)
    .bind::<Nullable<Timestamptz>, _>(cursor.last_complete_sweep)
    .bind::<Nullable<Timestamptz>, _>(cursor.pass_started_at)
    .bind::<Nullable<Timestamptz>, _>(cursor.pass_from);
    pg::prepared(write).execute(conn).await?;
    Ok(())
}

/// Writes down how often the owner wants the journal to be read.
///
/// # Errors
/// The database's.
pub(crate) async fn choose_interval(
    conn: &mut pg::Connection,
    token_id: TokenId,
    seconds: i32,
) -> Result<(), pg::Error> {
    sql_query(
        "INSERT INTO sync_cursors (token_id, interval_seconds) VALUES ($1, $2) \
         ON CONFLICT (token_id) DO UPDATE SET interval_seconds = excluded.interval_seconds, updated_at = now()",
    )
    .bind::<SqlUuid, _>(token_id.as_uuid())
    .bind::<Int4, _>(seconds)
    .execute(conn)
    .await?;
    Ok(())
}

#[derive(QueryableByName)]
struct Lags {
    #[diesel(sql_type = Double)]
    events: f64,
    #[diesel(sql_type = Double)]
    list: f64,
    #[diesel(sql_type = Double)]
    sweep: f64,
}

/// How many seconds ago the account that waits longest was read, by kind of reading; zero where nobody waits.
///
/// # Errors
/// The database's.
pub(crate) async fn lags(conn: &mut pg::Connection) -> Result<[(&'static str, f64); 3], pg::Error> {
    let Lags { events, list, sweep } = sql_query(
        "SELECT coalesce(extract(epoch FROM now() - min(coalesce(c.last_events_sync, t.connected_at))), 0)::float8 AS events, \
             coalesce(extract(epoch FROM now() - min(coalesce(c.last_complete_list_sync, t.connected_at))), 0)::float8 AS list, \
             coalesce(extract(epoch FROM now() - min(coalesce(c.last_complete_sweep, t.connected_at))), 0)::float8 AS sweep \
         FROM user_tokens t LEFT JOIN sync_cursors c ON c.token_id = t.id \
         WHERE t.is_active AND NOT t.needs_reauthorization",
    )
    .get_result(conn)
    .await?;
    Ok([("events", events), ("list", list), ("sweep", sweep)])
}

#[derive(QueryableByName)]
struct Followed {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Text)]
    user_id: String,
}

/// Accounts that are followed, with their users.
///
/// # Errors
/// The database's.
pub(crate) async fn followed(conn: &mut pg::Connection) -> Result<Vec<(TokenId, String)>, pg::Error> {
    let rows: Vec<Followed> = sql_query(
        "SELECT t.id, t.user_id FROM user_tokens t \
         WHERE t.is_active AND NOT t.needs_reauthorization \
             AND EXISTS (SELECT 1 FROM schedules s WHERE s.name = 'sync_order_events:' || t.id)",
    )
    .load(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id.into(), row.user_id)).collect())
}
