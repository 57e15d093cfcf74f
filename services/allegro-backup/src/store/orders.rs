//! `orders`, `order_versions`, `order_line_items`: written in sets, a statement for each table.

use diesel::sql_types::{Array, BigInt, Bool, Bytea, Int4, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use domain::{Money, OrderId, TokenId};
use pg::Columns;
use time::OffsetDateTime;
use uuid::Uuid;

pub(crate) use super::order_lock::{Locked, lock};
use crate::domain::order::{Known, Order};

/// An order that was inserted.
#[derive(Debug, QueryableByName)]
pub(crate) struct Inserted {
    /// Allegro's id of it.
    #[diesel(sql_type = Text)]
    pub(crate) allegro_order_id: String,
    /// When it was stored.
    #[diesel(sql_type = Timestamptz)]
    pub(crate) created_at: OffsetDateTime,
}

/// A content to be written.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a column of its own")]
pub(crate) struct Content<'a> {
    /// Our id of the order.
    pub(crate) id: OrderId,
    /// The content.
    pub(crate) order: &'a Order,
    /// When the request that brought it was started.
    pub(crate) asked_at: OffsetDateTime,
    /// It says less than the one before.
    pub(crate) lost_data: bool,
    /// The state published last is: ready.
    pub(crate) ready_announced: bool,
    /// The state published last is: cancelled.
    pub(crate) cancel_announced: bool,
    /// When it first became ready for processing.
    pub(crate) ready_at: Option<OffsetDateTime>,
    /// Sent, picked up or partly sent since it last became ready.
    pub(crate) was_shipped: bool,
}

impl Content<'_> {
    /// What is known of the order once this content is stored.
    pub(crate) const fn known(&self, version: i64, first_stored_at: OffsetDateTime) -> Known {
        Known {
            version,
            read_at: self.asked_at,
            first_stored_at,
            ready_at: self.ready_at,
            was_shipped: self.was_shipped,
        }
    }
}

const COLUMNS: &str = "u (id, allegro_order_id, status, fulfillment_status, revision, order_date, \
    allegro_updated_at, buyer_login, total_minor, total_currency, line_items, order_data, content_hash, asked_at, \
    lost_data, ready_announced, cancel_announced, search, ready_at, was_shipped, lines_hash)";
const ARRAYS: &str =
    "unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)";
/// Words, parted by spaces, as they stand in the index.
const SEARCH: &str = "array_to_tsvector(string_to_array(u.search, ' '))";

macro_rules! bind_contents {
    ($query:expr, $token_id:expr, $contents:expr) => {{
        let columns = Columns($contents);
        $query
            .bind::<SqlUuid, _>($token_id.as_uuid())
            .bind::<Array<SqlUuid>, _>(columns.array(|it| it.id.as_uuid()))
            .bind::<Array<Text>, _>(columns.array(|it| it.order.id.as_str()))
            .bind::<Array<Nullable<Text>>, _>(columns.array(|it| it.order.status()))
            .bind::<Array<Nullable<Text>>, _>(columns.array(|it| it.order.fulfillment_status()))
            .bind::<Array<Nullable<Text>>, _>(columns.array(|it| it.order.form.revision.as_deref()))
            // An order without lines stands where it was first seen.
            .bind::<Array<Timestamptz>, _>(
                columns.array(|it| it.order.bought_at.or(it.order.form.updated_at).unwrap_or(it.asked_at)),
            )
            .bind::<Array<Nullable<Timestamptz>>, _>(columns.array(|it| it.order.form.updated_at))
            .bind::<Array<Nullable<Text>>, _>(columns.array(|it| it.order.form.buyer_login.as_deref()))
            .bind::<Array<Nullable<BigInt>>, _>(columns.array(|it| it.order.form.total.map(Money::minor)))
            .bind::<Array<Nullable<Text>>, _>(
                columns.array(|it| it.order.form.total.map(|total| total.currency().to_string())),
            )
            .bind::<Array<Int4>, _>(
                columns.array(|it| i32::try_from(it.order.line_items.len()).unwrap_or(i32::MAX)),
            )
            .bind::<Array<Text>, _>(columns.array(|it| it.order.raw.as_str()))
            .bind::<Array<Bytea>, _>(columns.array(|it| it.order.content_hash.as_slice()))
            .bind::<Array<Timestamptz>, _>(columns.array(|it| it.asked_at))
            .bind::<Array<Bool>, _>(columns.array(|it| it.lost_data))
            .bind::<Array<Bool>, _>(columns.array(|it| it.ready_announced))
            .bind::<Array<Bool>, _>(columns.array(|it| it.cancel_announced))
            .bind::<Array<Text>, _>(columns.array(|it| it.order.search.as_str()))
            .bind::<Array<Nullable<Timestamptz>>, _>(columns.array(|it| it.ready_at))
            .bind::<Array<Bool>, _>(columns.array(|it| it.was_shipped))
            .bind::<Array<Bytea>, _>(columns.array(|it| it.order.lines_hash.as_slice()))
    }};
}

/// Inserts orders never seen before, and how they came (`in_list`: a list named them), and returns those
/// that went in: another writer may have been faster with the rest.
///
/// # Errors
/// The database's.
pub(crate) async fn insert(
    conn: &mut pg::Connection,
    token_id: TokenId,
    contents: &[Content<'_>],
    (source, in_list): (&str, bool),
) -> Result<Vec<Inserted>, pg::Error> {
    let statement = format!(
        "INSERT INTO orders (token_id, id, allegro_order_id, status, fulfillment_status, revision, order_date, \
             allegro_updated_at, buyer_login, total_minor, total_currency, line_items, order_data, content_hash, \
             asked_at, lost_data, ready_announced, cancel_announced, listed_at, source, search, \
             ready_at, was_shipped, lines_hash) \
         SELECT $1, id, allegro_order_id, status, fulfillment_status, revision, order_date, allegro_updated_at, \
             buyer_login, total_minor, total_currency, line_items, order_data::json, content_hash, asked_at, \
             lost_data, ready_announced, cancel_announced, CASE WHEN $23 THEN asked_at END, $24, {SEARCH}, \
             ready_at, was_shipped, lines_hash \
         FROM {ARRAYS} AS {COLUMNS} ORDER BY allegro_order_id \
         ON CONFLICT ON CONSTRAINT orders_once_per_token DO NOTHING RETURNING allegro_order_id, created_at"
    );
    let insert = bind_contents!(sql_query(statement), token_id, contents)
        .bind::<Bool, _>(in_list)
        .bind::<Text, _>(source);
    Ok(pg::prepared(insert).load(conn).await?)
}

/// Replaces contents with some that came by `source`, the ones before kept as versions. The rows are locked by the caller.
///
/// # Errors
/// The database's.
pub(crate) async fn replace(
    conn: &mut pg::Connection,
    token_id: TokenId,
    contents: &[Content<'_>],
    source: &str,
) -> Result<(), pg::Error> {
    if contents.is_empty() {
        return Ok(());
    }
    sql_query(
        "INSERT INTO order_versions (order_id, version, revision, seen_at, source, content_hash, order_data) \
         SELECT id, version, revision, asked_at, source, content_hash, order_data FROM orders WHERE id = ANY($1)",
    )
    .bind::<Array<SqlUuid>, _>(Columns(contents).array(|it| it.id.as_uuid()))
    .execute(conn)
    .await?;
    let statement = format!(
        "UPDATE orders AS o SET status = u.status, fulfillment_status = u.fulfillment_status, \
             revision = u.revision, order_date = u.order_date, allegro_updated_at = u.allegro_updated_at, \
             buyer_login = u.buyer_login, total_minor = u.total_minor, total_currency = u.total_currency, \
             line_items = u.line_items, order_data = u.order_data::json, content_hash = u.content_hash, \
             asked_at = u.asked_at, lost_data = o.lost_data OR u.lost_data, version = o.version + 1, \
             ready_announced = u.ready_announced, cancel_announced = u.cancel_announced, search = {SEARCH}, \
             updated_at = now(), is_deleted = false, merged_into = NULL, source = $23, \
             ready_at = u.ready_at, was_shipped = u.was_shipped, lines_hash = u.lines_hash \
         FROM {ARRAYS} AS {COLUMNS} WHERE o.token_id = $1 AND o.id = u.id"
    );
    bind_contents!(sql_query(statement), token_id, contents).bind::<Text, _>(source).execute(conn).await?;
    Ok(())
}

/// A content whose `updatedAt` is older than what is stored.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Older<'a> {
    /// Our id of the order.
    pub(crate) id: OrderId,
    /// Of the content.
    pub(crate) content_hash: &'a [u8],
    /// An answer requested until then agrees, if it was requested after the stored content.
    pub(crate) agreed_before: OffsetDateTime,
}

#[derive(QueryableByName)]
struct Agreed {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

/// Of these orders, those for which an earlier answer had the same content.
///
/// # Errors
/// The database's.
pub(crate) async fn agreed(
    conn: &mut pg::Connection,
    older: &[Older<'_>],
) -> Result<Vec<OrderId>, pg::Error> {
    if older.is_empty() {
        return Ok(Vec::new());
    }
    let columns = Columns(older);
    let rows: Vec<Agreed> = sql_query(
        "SELECT o.id FROM unnest($1, $2, $3) AS u (id, content_hash, agreed_before) \
             JOIN orders o ON o.id = u.id \
             JOIN order_versions v ON v.order_id = o.id AND v.content_hash = u.content_hash AND v.version IS NULL \
         WHERE v.seen_at > o.asked_at AND v.seen_at <= u.agreed_before",
    )
    .bind::<Array<SqlUuid>, _>(columns.array(|it| it.id.as_uuid()))
    .bind::<Array<Bytea>, _>(columns.array(|it| it.content_hash))
    .bind::<Array<Timestamptz>, _>(columns.array(|it| it.agreed_before))
    .load(conn)
    .await?;
    Ok(rows.into_iter().map(|row| row.id.into()).collect())
}

/// Keeps contents that came too late to become current. One that is kept already counts from now on when the current
/// content was seen since.
///
/// # Errors
/// The database's.
pub(crate) async fn keep_late(
    conn: &mut pg::Connection,
    late: &[Content<'_>],
    source: &str,
) -> Result<(), pg::Error> {
    if late.is_empty() {
        return Ok(());
    }
    let columns = Columns(late);
    sql_query(
        "INSERT INTO order_versions (order_id, revision, seen_at, content_hash, order_data, source) \
         SELECT id, revision, asked_at, content_hash, order_data::json, $6 \
         FROM unnest($1, $2, $3, $4, $5) AS u (id, revision, asked_at, content_hash, order_data) \
         ON CONFLICT (order_id, content_hash) WHERE version IS NULL DO UPDATE SET seen_at = excluded.seen_at \
             WHERE order_versions.seen_at <= (SELECT asked_at FROM orders WHERE id = order_versions.order_id)",
    )
    .bind::<Array<SqlUuid>, _>(columns.array(|it| it.id.as_uuid()))
    .bind::<Array<Nullable<Text>>, _>(columns.array(|it| it.order.form.revision.as_deref()))
    .bind::<Array<Timestamptz>, _>(columns.array(|it| it.asked_at))
    .bind::<Array<Bytea>, _>(columns.array(|it| it.order.content_hash.as_slice()))
    .bind::<Array<Text>, _>(columns.array(|it| it.order.raw.as_str()))
    .bind::<Text, _>(source)
    .execute(conn)
    .await?;
    Ok(())
}

/// An order that was answered, and its content stayed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    /// Our id of the order.
    pub(crate) id: OrderId,
    /// When the request was started.
    pub(crate) asked_at: OffsetDateTime,
    /// The answer was the current content, so that a slower, older one must not replace it.
    pub(crate) is_current: bool,
}

/// Notes that orders were seen again (`in_list`: a list named them).
///
/// # Errors
/// The database's.
pub(crate) async fn seen_again(
    conn: &mut pg::Connection,
    seen: &[Seen],
    in_list: bool,
) -> Result<(), pg::Error> {
    if seen.is_empty() {
        return Ok(());
    }
    let columns = Columns(seen);
    sql_query(
        "UPDATE orders AS o SET \
             asked_at = CASE WHEN u.is_current THEN greatest(o.asked_at, u.asked_at) ELSE o.asked_at END, \
             listed_at = CASE WHEN $4 THEN greatest(o.listed_at, u.asked_at) ELSE o.listed_at END \
         FROM unnest($1, $2, $3) AS u (id, asked_at, is_current) \
         WHERE o.id = u.id",
    )
    .bind::<Array<SqlUuid>, _>(columns.array(|it| it.id.as_uuid()))
    .bind::<Array<Timestamptz>, _>(columns.array(|it| it.asked_at))
    .bind::<Array<Bool>, _>(columns.array(|it| it.is_current))
    .bind::<Bool, _>(in_list)
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes the lines of contents, new or changed.
///
/// # Errors
/// The database's.
pub(crate) async fn write_lines(
    conn: &mut pg::Connection,
    contents: &[Content<'_>],
) -> Result<(), pg::Error> {
    let lines: Vec<_> = contents
        .iter()
        .flat_map(|content| content.order.line_items.iter().map(|line| (content.id.as_uuid(), line)))
        .collect();
    if lines.is_empty() {
        return Ok(());
    }
    let columns = Columns(&lines);
    let insert = sql_query(
        "INSERT INTO order_line_items (order_id, line_item_id, offer_id, sku, quantity, price_minor, price_currency) \
         SELECT DISTINCT ON (u.order_id, u.id) u.* \
         FROM unnest($1, $2, $3, $4, $5, $6, $7) AS u (order_id, id, offer_id, sku, quantity, minor, currency) \
         ON CONFLICT (order_id, line_item_id) DO UPDATE SET offer_id = excluded.offer_id, sku = excluded.sku, \
             quantity = excluded.quantity, price_minor = excluded.price_minor, \
             price_currency = excluded.price_currency",
    )
    .bind::<Array<SqlUuid>, _>(columns.array(|(order, _)| *order))
    .bind::<Array<Text>, _>(columns.array(|(_, it)| it.id.as_str()))
    .bind::<Array<Nullable<Text>>, _>(columns.array(|(_, it)| it.offer_id.as_deref()))
    .bind::<Array<Nullable<Text>>, _>(columns.array(|(_, it)| it.sku.as_deref()))
    .bind::<Array<Nullable<BigInt>>, _>(columns.array(|(_, it)| it.quantity))
    .bind::<Array<Nullable<BigInt>>, _>(columns.array(|(_, it)| it.price.map(Money::minor)))
    .bind::<Array<Nullable<Text>>, _>(
        columns.array(|(_, it)| it.price.map(|price| price.currency().to_string())),
    );
    pg::prepared(insert).execute(conn).await?;
    Ok(())
}
