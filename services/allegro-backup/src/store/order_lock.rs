//! Orders that are stored already, locked until it is decided what becomes of an answer.

use diesel::sql_types::{Array, BigInt, Bool, Bytea, Int4, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use domain::{OrderId, TokenId};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::readiness::Before;
use crate::domain::replace::Stored;

#[derive(QueryableByName)]
#[expect(clippy::struct_excessive_bools, reason = "each is a column of its own")]
struct Row {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Text)]
    allegro_order_id: String,
    #[diesel(sql_type = Bytea)]
    content_hash: Vec<u8>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    allegro_updated_at: Option<OffsetDateTime>,
    #[diesel(sql_type = Timestamptz)]
    asked_at: OffsetDateTime,
    #[diesel(sql_type = Int4)]
    line_items: i32,
    #[diesel(sql_type = Bool)]
    has_buyer: bool,
    #[diesel(sql_type = BigInt)]
    version: i64,
    #[diesel(sql_type = Bool)]
    ready_announced: bool,
    #[diesel(sql_type = Bool)]
    cancel_announced: bool,
    #[diesel(sql_type = Bool)]
    is_deleted: bool,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    ready_at: Option<OffsetDateTime>,
    #[diesel(sql_type = Bool)]
    was_shipped: bool,
    #[diesel(sql_type = Bytea)]
    lines_hash: Vec<u8>,
    #[diesel(sql_type = Timestamptz)]
    created_at: OffsetDateTime,
}

/// An order that is stored, its row locked.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a column of its own")]
pub(crate) struct Locked {
    /// Our id.
    pub(crate) id: OrderId,
    /// Allegro's id.
    pub(crate) allegro_order_id: String,
    /// What the decision needs.
    pub(crate) stored: Stored,
    /// The current content's version.
    pub(crate) version: i64,
    /// The state published last is: ready.
    pub(crate) ready_announced: bool,
    /// The state published last is: cancelled.
    pub(crate) cancel_announced: bool,
    /// Allegro did not have it any more.
    pub(crate) is_deleted: bool,
    /// When it first became ready for processing.
    pub(crate) ready_at: Option<OffsetDateTime>,
    /// Sent, picked up or partly sent since it last became ready.
    pub(crate) was_shipped: bool,
    /// Of the current content's lines.
    pub(crate) lines_hash: Vec<u8>,
    /// When it was first stored.
    pub(crate) created_at: OffsetDateTime,
}

impl Locked {
    /// What was known of it before another content.
    pub(crate) fn before(&self) -> Before<'_> {
        Before {
            is_ready: self.ready_announced,
            is_cancelled: self.cancel_announced,
            ready_at: self.ready_at,
            was_shipped: self.was_shipped,
            lines_hash: &self.lines_hash,
        }
    }
}

/// Locks the orders that are stored already, in the order of their ids: sorted, so that two writers cannot deadlock.
///
/// # Errors
/// The database's.
pub(crate) async fn lock(
    conn: &mut pg::Connection,
    token_id: TokenId,
    order_ids: &[&str],
) -> Result<Vec<Locked>, pg::Error> {
    // Order by order through the index: with a sort, or where statistics are old, Postgres would rather look at all orders
    // of the account.
    let statement = sql_query(
        "SELECT o.* FROM unnest($2) AS u (allegro_order_id) CROSS JOIN LATERAL ( \
             SELECT id, allegro_order_id, content_hash, allegro_updated_at, asked_at, line_items, \
                 buyer_login IS NOT NULL AS has_buyer, version, ready_announced, cancel_announced, is_deleted, \
                 ready_at, was_shipped, lines_hash, created_at \
             FROM orders WHERE token_id = $1 AND orders.allegro_order_id = u.allegro_order_id FOR UPDATE) AS o",
    )
    .bind::<SqlUuid, _>(token_id.as_uuid())
    .bind::<Array<Text>, _>(order_ids);
    let rows: Vec<Row> = pg::prepared(statement).load(conn).await?;
    let locked = rows.into_iter().map(|row| Locked {
        id: row.id.into(),
        allegro_order_id: row.allegro_order_id,
        stored: Stored {
            content_hash: row.content_hash,
            updated_at: row.allegro_updated_at,
            asked_at: row.asked_at,
            line_items: row.line_items,
            has_buyer: row.has_buyer,
        },
        version: row.version,
        ready_announced: row.ready_announced,
        cancel_announced: row.cancel_announced,
        is_deleted: row.is_deleted,
        ready_at: row.ready_at,
        was_shipped: row.was_shipped,
        lines_hash: row.lines_hash,
        created_at: row.created_at,
    });
    Ok(locked.collect())
}
