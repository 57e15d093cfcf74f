//! What a book needs to know, locked so that it stays true until it is written.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use diesel::sql_types::{Array, BigInt, Bool, Nullable, Text, Timestamptz};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use domain::{AllegroOrderId, Sku};
use time::OffsetDateTime;

use super::OperationRow;
use crate::domain::book::{Level, OrderState, Place};
use crate::domain::operation::Operation;

#[derive(QueryableByName)]
struct OrderRow {
    #[diesel(sql_type = Text)]
    order_id: String,
    #[diesel(sql_type = BigInt)]
    version: i64,
    #[diesel(sql_type = Bool)]
    is_new: bool,
}

/// Locks orders, known or not. The row of a new one is made as its first change leaves it, so that most rows are written
/// once.
pub(crate) async fn orders(
    conn: &mut pg::Connection,
    ids: &BTreeSet<AllegroOrderId>,
    now: OffsetDateTime,
) -> Result<HashMap<AllegroOrderId, OrderState>, pg::Error> {
    // The update changes nothing; it locks, as plain reading of what another inserts meanwhile would not.
    let statement = sql_query(
        "INSERT INTO order_states AS s (order_id, version, created_at) \
         SELECT id, 1, $2 FROM unnest($1) AS u (id) ORDER BY id \
         ON CONFLICT (order_id) DO UPDATE SET version = s.version \
         RETURNING order_id, version, xmax = 0 AS is_new",
    )
    .bind::<Array<Text>, _>(ids.iter().map(AllegroOrderId::as_str).collect::<Vec<_>>())
    .bind::<Timestamptz, _>(now);
    let rows: Vec<OrderRow> = pg::prepared(statement).load(conn).await?;
    let state = |row: OrderRow| {
        let version = if row.is_new { 0 } else { row.version };
        (row.order_id.into(), OrderState { version, is_new: row.is_new })
    };
    Ok(rows.into_iter().map(state).collect())
}

/// The operations of locked orders.
pub(crate) async fn operations(
    conn: &mut pg::Connection,
    orders: &BTreeSet<AllegroOrderId>,
) -> Result<Vec<Operation>, pg::Error> {
    let statement = sql_query(format!(
        "SELECT {} FROM pending_stock_operations AS o WHERE order_id = ANY ($1) ORDER BY id",
        OperationRow::columns("o"),
    ))
    .bind::<Array<Text>, _>(orders.iter().map(AllegroOrderId::as_str).collect::<Vec<_>>());
    let rows: Vec<OperationRow> = pg::prepared(statement).load(conn).await?;
    rows.into_iter().map(Operation::try_from).collect()
}

#[derive(QueryableByName)]
struct LevelRow {
    #[diesel(sql_type = Text)]
    sku: String,
    #[diesel(sql_type = Text)]
    warehouse: String,
    #[diesel(sql_type = BigInt)]
    on_hand: i64,
    #[diesel(sql_type = Bool)]
    allows_negative: bool,
    #[diesel(sql_type = Nullable<BigInt>)]
    low_threshold: Option<i64>,
    #[diesel(sql_type = Bool)]
    is_low: bool,
    #[diesel(sql_type = BigInt)]
    version: i64,
}

/// Locks levels. A warehouse that allows less than nothing knows every thing; another only what was put there.
pub(crate) async fn levels(
    conn: &mut pg::Connection,
    places: &BTreeSet<Place>,
    now: OffsetDateTime,
) -> Result<BTreeMap<Place, Level>, pg::Error> {
    let skus: Vec<&str> = places.iter().map(|(sku, _)| sku.as_str()).collect();
    let warehouses: Vec<&str> = places.iter().map(|(_, warehouse)| warehouse.as_str()).collect();
    let statement = sql_query(
        "INSERT INTO stock_levels (sku, warehouse, allows_negative, on_hand, version, updated_at) \
         SELECT u.sku, u.warehouse, true, 0, 0, $3 FROM unnest($1, $2) AS u (sku, warehouse) \
         JOIN warehouses ON name = u.warehouse AND allows_negative ORDER BY 1, 2 ON CONFLICT DO NOTHING",
    )
    .bind::<Array<Text>, _>(&skus)
    .bind::<Array<Text>, _>(&warehouses)
    .bind::<Timestamptz, _>(now);
    pg::prepared(statement).execute(conn).await?;
    let statement = sql_query(
        "SELECT sku, warehouse, on_hand, allows_negative, low_threshold, is_low, version FROM stock_levels \
         WHERE (sku, warehouse) IN (SELECT * FROM unnest($1, $2)) ORDER BY sku, warehouse FOR UPDATE",
    )
    .bind::<Array<Text>, _>(&skus)
    .bind::<Array<Text>, _>(&warehouses);
    let rows: Vec<LevelRow> = pg::prepared(statement).load(conn).await?;
    let level = |row: LevelRow| {
        let id = || format!("{}/{}", row.sku, row.warehouse);
        let sku = Sku::parse(&row.sku).map_err(|_invalid| pg::Error::corrupt("stock_levels", id(), "sku"))?;
        let place = (sku, row.warehouse);
        let level = Level {
            on_hand: row.on_hand,
            allows_negative: row.allows_negative,
            low_threshold: row.low_threshold,
            is_low: row.is_low,
            version: row.version,
        };
        Ok((place, level))
    };
    rows.into_iter().map(level).collect()
}
