//! `stock_movements` as people make and see them.

use diesel::sql_types::{Array, BigInt, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use time::OffsetDateTime;
use uuid::Uuid;

/// A row of the ledger.
#[derive(Debug, Clone, QueryableByName)]
pub(crate) struct MovementRow {
    #[diesel(sql_type = SqlUuid)]
    pub(crate) id: Uuid,
    #[diesel(sql_type = Text)]
    pub(crate) sku: String,
    #[diesel(sql_type = Text)]
    pub(crate) warehouse: String,
    #[diesel(sql_type = BigInt)]
    pub(crate) delta: i64,
    #[diesel(sql_type = BigInt)]
    pub(crate) on_hand: i64,
    #[diesel(sql_type = Text)]
    pub(crate) kind: String,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub(crate) operation_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) order_id: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) line_item_id: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) note: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) who: Option<String>,
    #[diesel(sql_type = Timestamptz)]
    pub(crate) created_at: OffsetDateTime,
}

/// Which movements.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    pub(crate) sku: Option<String>,
    pub(crate) warehouse: Option<String>,
    pub(crate) order_id: Option<String>,
    pub(crate) kind: Option<&'static str>,
    pub(crate) after: Option<(OffsetDateTime, Uuid)>,
}

/// Adds what people did.
pub(crate) async fn add(conn: &mut pg::Connection, movements: &[MovementRow]) -> Result<(), pg::Error> {
    sql_query(
        "INSERT INTO stock_movements (id, sku, warehouse, delta, on_hand, kind, note, who, created_at) \
         SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind::<Array<SqlUuid>, _>(movements.iter().map(|it| it.id).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(movements.iter().map(|it| it.sku.as_str()).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(movements.iter().map(|it| it.warehouse.as_str()).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(movements.iter().map(|it| it.delta).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(movements.iter().map(|it| it.on_hand).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(movements.iter().map(|it| it.kind.as_str()).collect::<Vec<_>>())
    .bind::<Array<Nullable<Text>>, _>(movements.iter().map(|it| it.note.as_deref()).collect::<Vec<_>>())
    .bind::<Array<Nullable<Text>>, _>(movements.iter().map(|it| it.who.as_deref()).collect::<Vec<_>>())
    .bind::<Array<Timestamptz>, _>(movements.iter().map(|it| it.created_at).collect::<Vec<_>>())
    .execute(conn)
    .await?;
    Ok(())
}

/// Movements, newest first.
pub(crate) async fn list(
    conn: &mut pg::Connection,
    filter: &Filter,
    limit: i64,
) -> Result<Vec<MovementRow>, pg::Error> {
    let (time, id) = filter.after.unzip();
    let listed = sql_query(
        "SELECT * FROM stock_movements WHERE ($1 IS NULL OR sku = $1) AND ($2 IS NULL OR warehouse = $2) \
             AND ($3 IS NULL OR order_id = $3) AND ($4 IS NULL OR kind = $4) \
             AND ($5 IS NULL OR (created_at, id) < ($5, $6)) \
         ORDER BY created_at DESC, id DESC LIMIT $7",
    )
    .bind::<Nullable<Text>, _>(&filter.sku)
    .bind::<Nullable<Text>, _>(&filter.warehouse)
    .bind::<Nullable<Text>, _>(&filter.order_id)
    .bind::<Nullable<Text>, _>(filter.kind)
    .bind::<Nullable<Timestamptz>, _>(time)
    .bind::<Nullable<SqlUuid>, _>(id)
    .bind::<BigInt, _>(limit)
    .load(conn)
    .await?;
    Ok(listed)
}
