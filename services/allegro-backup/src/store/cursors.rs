//! `sync_cursors`: how far each account's list and journal were read.

use diesel::sql_types::{BigInt, Bool, Nullable, Text, Timestamptz, Uuid as SqlUuid};
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
    /// The task of the list pass under way.
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub(crate) pass_task_id: Option<Uuid>,
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

/// Writes down where an account stands, in the transaction of the step that came so far.
///
/// # Errors
/// The database's.
pub(crate) async fn write(
    conn: &mut pg::Connection,
    token_id: TokenId,
    cursor: &Cursor,
) -> Result<(), pg::Error> {
    sql_query(
        "INSERT INTO sync_cursors (token_id, is_anchored, anchor_event_id, last_event_id, pass_task_id, pass_until, window_from, \
             window_to, window_offset, window_total, pass_done, pass_total, last_complete_list_sync, last_events_sync) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) \
         ON CONFLICT (token_id) DO UPDATE SET is_anchored = excluded.is_anchored, \
             anchor_event_id = excluded.anchor_event_id, last_event_id = excluded.last_event_id, pass_task_id = excluded.pass_task_id, \
             pass_until = excluded.pass_until, window_from = excluded.window_from, window_to = excluded.window_to, \
             window_offset = excluded.window_offset, window_total = excluded.window_total, \
             pass_done = excluded.pass_done, pass_total = excluded.pass_total, \
             last_complete_list_sync = excluded.last_complete_list_sync, \
             last_events_sync = excluded.last_events_sync, updated_at = now()",
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
    .execute(conn)
    .await?;
    Ok(())
}
