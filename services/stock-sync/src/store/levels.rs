//! `stock_levels` as people see and set them.

use diesel::sql_types::{Array, BigInt, Bool, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use time::OffsetDateTime;
use uuid::Uuid;

/// How much there is of one thing in one place.
#[derive(Debug, Clone, QueryableByName)]
pub(crate) struct LevelRow {
    #[diesel(sql_type = SqlUuid)]
    pub(crate) id: Uuid,
    #[diesel(sql_type = Text)]
    pub(crate) sku: String,
    #[diesel(sql_type = Text)]
    pub(crate) warehouse: String,
    #[diesel(sql_type = Bool)]
    pub(crate) allows_negative: bool,
    #[diesel(sql_type = BigInt)]
    pub(crate) on_hand: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub(crate) low_threshold: Option<i64>,
    #[diesel(sql_type = Bool)]
    pub(crate) is_low: bool,
    #[diesel(sql_type = BigInt)]
    pub(crate) version: i64,
    #[diesel(sql_type = Timestamptz)]
    pub(crate) created_at: OffsetDateTime,
    #[diesel(sql_type = Timestamptz)]
    pub(crate) updated_at: OffsetDateTime,
}

/// Which levels.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    pub(crate) sku: Option<String>,
    pub(crate) warehouse: Option<String>,
    /// Only those with fewer units.
    pub(crate) below: Option<i64>,
    pub(crate) after: Option<(OffsetDateTime, Uuid)>,
}

/// Levels, newest first.
pub(crate) async fn list(
    conn: &mut pg::Connection,
    filter: &Filter,
    limit: i64,
) -> Result<Vec<LevelRow>, pg::Error> {
    let (time, id) = filter.after.unzip();
    let listed = sql_query(
        "SELECT * FROM stock_levels WHERE ($1 IS NULL OR sku = $1) AND ($2 IS NULL OR warehouse = $2) \
             AND ($3 IS NULL OR on_hand < $3) AND ($4 IS NULL OR (created_at, id) < ($4, $5)) \
         ORDER BY created_at DESC, id DESC LIMIT $6",
    )
    .bind::<Nullable<Text>, _>(&filter.sku)
    .bind::<Nullable<Text>, _>(&filter.warehouse)
    .bind::<Nullable<BigInt>, _>(filter.below)
    .bind::<Nullable<Timestamptz>, _>(time)
    .bind::<Nullable<SqlUuid>, _>(id)
    .bind::<BigInt, _>(limit)
    .load(conn)
    .await?;
    Ok(listed)
}

/// Locks levels by SKU and warehouse, in the order everybody locks them; makes those that are not known, with nothing there,
/// where there is such a warehouse that is in use.
pub(crate) async fn lock(
    conn: &mut pg::Connection,
    places: &[(&str, &str)],
    now: OffsetDateTime,
) -> Result<Vec<LevelRow>, pg::Error> {
    let (skus, warehouses): (Vec<&str>, Vec<&str>) = places.iter().copied().unzip();
    sql_query(
        "INSERT INTO stock_levels (sku, warehouse, allows_negative, on_hand, version, updated_at) \
         SELECT DISTINCT u.sku, u.warehouse, w.allows_negative, 0, 0, $3 FROM unnest($1, $2) AS u (sku, warehouse) \
         JOIN warehouses AS w ON w.name = u.warehouse AND w.is_active ORDER BY 1, 2 ON CONFLICT DO NOTHING",
    )
    .bind::<Array<Text>, _>(&skus)
    .bind::<Array<Text>, _>(&warehouses)
    .bind::<Timestamptz, _>(now)
    .execute(conn)
    .await?;
    let locked = sql_query(
        "SELECT l.* FROM stock_levels AS l \
         WHERE (sku, warehouse) IN (SELECT u.sku, u.warehouse FROM unnest($1, $2) AS u (sku, warehouse) \
             JOIN warehouses AS w ON w.name = u.warehouse AND w.is_active) \
         ORDER BY sku, warehouse FOR UPDATE",
    )
    .bind::<Array<Text>, _>(&skus)
    .bind::<Array<Text>, _>(&warehouses)
    .load(conn)
    .await?;
    Ok(locked)
}

/// Writes locked levels.
pub(crate) async fn save(conn: &mut pg::Connection, levels: &[&LevelRow]) -> Result<(), pg::Error> {
    sql_query(
        "UPDATE stock_levels AS l SET on_hand = u.on_hand, low_threshold = u.low_threshold, is_low = u.is_low, \
             version = u.version, updated_at = u.updated_at \
         FROM unnest($1, $2, $3, $4, $5, $6) AS u (id, on_hand, low_threshold, is_low, version, updated_at) \
         WHERE l.id = u.id",
    )
    .bind::<Array<SqlUuid>, _>(levels.iter().map(|it| it.id).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(levels.iter().map(|it| it.on_hand).collect::<Vec<_>>())
    .bind::<Array<Nullable<BigInt>>, _>(levels.iter().map(|it| it.low_threshold).collect::<Vec<_>>())
    .bind::<Array<Bool>, _>(levels.iter().map(|it| it.is_low).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(levels.iter().map(|it| it.version).collect::<Vec<_>>())
    .bind::<Array<Timestamptz>, _>(levels.iter().map(|it| it.updated_at).collect::<Vec<_>>())
    .execute(conn)
    .await?;
    Ok(())
}
