//! What the sync asks of stored orders, and what it notes on them beside their content.

use diesel::sql_types::{Array, BigInt, Bool, Bytea, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use domain::TokenId;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::order::Known;

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = Text)]
    allegro_order_id: String,
}

#[derive(QueryableByName)]
struct Changed {
    #[diesel(sql_type = BigInt)]
    version: i64,
    #[diesel(sql_type = Text)]
    order_data: String,
    #[diesel(sql_type = Timestamptz)]
    created_at: OffsetDateTime,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    ready_at: Option<OffsetDateTime>,
    #[diesel(sql_type = Bool)]
    was_shipped: bool,
}

#[derive(QueryableByName)]
struct Carrier {
    #[diesel(sql_type = Nullable<Text>)]
    carrier: Option<String>,
}

fn ids(rows: Vec<Id>) -> Vec<String> {
    rows.into_iter().map(|row| row.allegro_order_id).collect()
}

/// The order that carries the lines of this one, if another does: what a buyer pays at once becomes one order, whose
/// lines keep their ids. The lines are those stored, or those its events named.
///
/// # Errors
/// The database's.
pub(crate) async fn carrier(
    conn: &mut pg::Connection,
    token_id: TokenId,
    order_id: &str,
) -> Result<Option<String>, pg::Error> {
    let row: Carrier = sql_query(
        "WITH lines AS ( \
             SELECT l.line_item_id AS id FROM orders o JOIN order_line_items l ON l.order_id = o.id \
             WHERE o.token_id = $1 AND o.allegro_order_id = $2 \
             UNION SELECT line ->> 'id' FROM order_events e, \
                 jsonb_path_query(e.event_data, '$.order.lineItems[*]') AS line \
             WHERE e.token_id = $1 AND e.allegro_order_id = $2) \
         SELECT (SELECT o.allegro_order_id FROM lines JOIN order_line_items l ON l.line_item_id = lines.id \
                 JOIN orders o ON o.id = l.order_id \
                 WHERE o.token_id = $1 AND o.allegro_order_id <> $2 AND NOT o.is_deleted \
                 GROUP BY o.id ORDER BY count(*) DESC, o.asked_at DESC LIMIT 1) AS carrier",
    )
    .bind::<SqlUuid, _>(token_id.as_uuid())
    .bind::<Text, _>(order_id)
    .get_result(conn)
    .await?;
    Ok(row.carrier)
}

/// Other orders that carry lines of these: one of the two may have been merged into the other.
///
/// # Errors
/// The database's.
pub(crate) async fn sharers(
    conn: &mut pg::Connection,
    token_id: TokenId,
    order_ids: &[&str],
) -> Result<Vec<String>, pg::Error> {
    let rows: Vec<Id> = sql_query(
        "SELECT DISTINCT other.allegro_order_id FROM orders o JOIN order_line_items l ON l.order_id = o.id \
             JOIN order_line_items same ON same.line_item_id = l.line_item_id AND same.order_id <> l.order_id \
             JOIN orders other ON other.id = same.order_id \
         WHERE o.token_id = $1 AND o.allegro_order_id = ANY($2) AND other.token_id = $1 AND NOT other.is_deleted \
           AND other.allegro_order_id <> ALL($2)",
    )
    .bind::<SqlUuid, _>(token_id.as_uuid())
    .bind::<Array<Text>, _>(order_ids)
    .load(conn)
    .await?;
    Ok(ids(rows))
}

/// Marks a stored order as merged, asked for at `asked_at`; its content is kept as a version, as it gets the next one.
/// Returns version and content, or none when it is not stored, is marked already, or was answered by a later request.
///
/// # Errors
/// The database's.
pub(crate) async fn merge(
    conn: &mut pg::Connection,
    token_id: TokenId,
    (order_id, into): (&str, &str),
    asked_at: OffsetDateTime,
) -> Result<Option<(Known, String)>, pg::Error> {
    let marked: Option<Changed> = sql_query(
        "WITH old AS (SELECT * FROM orders WHERE token_id = $1 AND allegro_order_id = $2 \
                 AND NOT is_deleted AND asked_at <= $4 FOR UPDATE), \
         kept AS (INSERT INTO order_versions (order_id, version, revision, seen_at, source, content_hash, order_data) \
             SELECT id, version, revision, asked_at, source, content_hash, order_data FROM old) \
         UPDATE orders o SET is_deleted = true, merged_into = $3, version = o.version + 1, asked_at = $4, updated_at = now() \
         FROM old WHERE o.id = old.id RETURNING o.version, o.order_data::text AS order_data, \
             o.created_at, o.ready_at, o.was_shipped",
    )
    .bind::<SqlUuid, _>(token_id.as_uuid())
    .bind::<Text, _>(order_id)
    .bind::<Text, _>(into)
    .bind::<Timestamptz, _>(asked_at)
    .get_result(conn)
    .await
    .optional()?;
    Ok(marked.map(|row| {
        let known = Known {
            version: row.version,
            read_at: asked_at,
            first_stored_at: row.created_at,
            ready_at: row.ready_at,
            was_shipped: row.was_shipped,
        };
        (known, row.order_data)
    }))
}

/// Marks stored orders that Allegro has denied to have until they were given up as gone; they are in quarantine no more.
///
/// # Errors
/// The database's.
pub(crate) async fn vanish(
    conn: &mut pg::Connection,
    token_id: TokenId,
    order_ids: &[&str],
) -> Result<(), pg::Error> {
    sql_query(
        "WITH gone AS (UPDATE orders o SET is_deleted = true, updated_at = now() FROM failed_orders f \
             WHERE o.token_id = $1 AND o.allegro_order_id = ANY($2) AND f.token_id = $1 \
               AND f.allegro_order_id = o.allegro_order_id AND f.status = 'abandoned' RETURNING o.allegro_order_id) \
         UPDATE failed_orders f SET status = 'resolved', error_class = 'vanished', updated_at = now() FROM gone \
         WHERE f.token_id = $1 AND f.allegro_order_id = gone.allegro_order_id",
    )
    .bind::<SqlUuid, _>(token_id.as_uuid())
    .bind::<Array<Text>, _>(order_ids)
    .execute(conn)
    .await?;
    Ok(())
}

/// Of these orders, those that are stored and were bought before a moment.
///
/// # Errors
/// The database's.
pub(crate) async fn bought_before(
    conn: &mut pg::Connection,
    token_id: TokenId,
    order_ids: &[&str],
    moment: OffsetDateTime,
) -> Result<Vec<String>, pg::Error> {
    let rows: Vec<Id> = sql_query(
        "SELECT allegro_order_id FROM orders WHERE token_id = $1 AND allegro_order_id = ANY($2) AND order_date < $3",
    )
    .bind::<SqlUuid, _>(token_id.as_uuid())
    .bind::<Array<Text>, _>(order_ids)
    .bind::<Timestamptz, _>(moment)
    .load(conn)
    .await?;
    Ok(ids(rows))
}

/// An order that may still change: it is open, or its seller's label ended it less than three days ago. The label can be
/// taken back. An order that was old when it was first stored is not among these: its label did not change here.
#[derive(Debug, QueryableByName)]
pub(crate) struct OpenOrder {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    /// Allegro's id.
    #[diesel(sql_type = Text)]
    pub(crate) allegro_order_id: String,
    #[diesel(sql_type = Timestamptz)]
    asked_at: OffsetDateTime,
}

impl OpenOrder {
    /// Where it stands in the order of waiting.
    pub(crate) const fn place(&self) -> (OffsetDateTime, Uuid) {
        (self.asked_at, self.id)
    }
}

/// Orders that may still change and were last requested before `before`, those that wait longest first, after the place
/// `after`. Orders older than three days are requested once an hour. Quarantined orders follow their retries.
///
/// # Errors
/// The database's.
pub(crate) async fn open(
    conn: &mut pg::Connection,
    token_id: TokenId,
    before: OffsetDateTime,
    after: Option<(OffsetDateTime, Uuid)>,
    limit: i64,
) -> Result<Vec<OpenOrder>, pg::Error> {
    let (after_at, after_id) = after.unzip();
    let found = sql_query(
        "SELECT o.id, o.allegro_order_id, o.asked_at FROM orders o \
         WHERE o.token_id = $1 AND NOT o.is_deleted AND o.status IS DISTINCT FROM 'CANCELLED' \
           AND (o.fulfillment_status IS NULL OR o.fulfillment_status NOT IN ('SENT', 'PICKED_UP', 'CANCELLED', 'RETURNED') \
               OR o.fulfillment_status IN ('SENT', 'PICKED_UP', 'CANCELLED', 'RETURNED') \
                   AND o.updated_at > now() - interval '3 days' \
                   AND (o.version > 1 OR o.order_date > now() - interval '3 days')) \
           AND (o.order_date > now() - interval '3 days' OR o.asked_at < now() - interval '1 hour') \
           AND o.asked_at < $2 AND ($3 IS NULL OR (o.asked_at, o.id) > ($3, $4)) \
           AND o.order_date > now() - interval '365 days' \
           AND NOT EXISTS (SELECT 1 FROM failed_orders f WHERE f.token_id = $1 \
               AND f.allegro_order_id = o.allegro_order_id AND f.status IN ('pending', 'abandoned')) \
         ORDER BY o.asked_at, o.id LIMIT $5",
    )
    .bind::<SqlUuid, _>(token_id.as_uuid())
    .bind::<Timestamptz, _>(before)
    .bind::<Nullable<Timestamptz>, _>(after_at)
    .bind::<Nullable<SqlUuid>, _>(after_id)
    .bind::<BigInt, _>(limit);
    Ok(found.load(conn).await?)
}

/// What a content is compared by.
#[derive(Debug, QueryableByName)]
pub(crate) struct Mark {
    /// Allegro's id.
    #[diesel(sql_type = Text)]
    pub(crate) allegro_order_id: String,
    /// Allegro's version mark.
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) revision: Option<String>,
    /// The content's hash.
    #[diesel(sql_type = Bytea)]
    pub(crate) content_hash: Vec<u8>,
    /// Allegro does not have it any more.
    #[diesel(sql_type = Bool)]
    pub(crate) is_deleted: bool,
}

/// What these orders are compared by, as far as they are stored.
///
/// # Errors
/// The database's.
pub(crate) async fn marks(
    conn: &mut pg::Connection,
    token_id: TokenId,
    order_ids: &[&str],
) -> Result<Vec<Mark>, pg::Error> {
    let found = sql_query(
        "SELECT allegro_order_id, revision, content_hash, is_deleted FROM orders \
         WHERE token_id = $1 AND allegro_order_id = ANY($2)",
    )
    .bind::<SqlUuid, _>(token_id.as_uuid())
    .bind::<Array<Text>, _>(order_ids);
    Ok(found.load(conn).await?)
}

/// Orders bought in a span that are not gone at Allegro, by their ids, behind `after`.
///
/// # Errors
/// The database's.
pub(crate) async fn living(
    conn: &mut pg::Connection,
    token_id: TokenId,
    (from, to): (OffsetDateTime, OffsetDateTime),
    after: &str,
    limit: i64,
) -> Result<Vec<String>, pg::Error> {
    let rows: Vec<Id> = sql_query(
        "SELECT allegro_order_id FROM orders WHERE token_id = $1 AND NOT is_deleted \
             AND order_date BETWEEN $2 AND $3 AND allegro_order_id > $4 ORDER BY allegro_order_id LIMIT $5",
    )
    .bind::<SqlUuid, _>(token_id.as_uuid())
    .bind::<Timestamptz, _>(from)
    .bind::<Timestamptz, _>(to)
    .bind::<Text, _>(after)
    .bind::<BigInt, _>(limit)
    .load(conn)
    .await?;
    Ok(ids(rows))
}

/// An order that Allegro answered for last, other than these: asking for it tells whether Allegro answers at all.
///
/// # Errors
/// The database's.
pub(crate) async fn another(
    conn: &mut pg::Connection,
    token_id: TokenId,
    order_ids: &[&str],
) -> Result<Option<String>, pg::Error> {
    let row: Option<Id> = sql_query(
        "SELECT allegro_order_id FROM orders \
         WHERE token_id = $1 AND NOT is_deleted AND allegro_order_id <> ALL($2) \
         ORDER BY order_date DESC, id DESC LIMIT 1",
    )
    .bind::<SqlUuid, _>(token_id.as_uuid())
    .bind::<Array<Text>, _>(order_ids)
    .get_result(conn)
    .await
    .optional()?;
    Ok(row.map(|row| row.allegro_order_id))
}
