//! `pending_stock_operations` as people see them.

use diesel::sql_types::{BigInt, Int4, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

/// An operation as it is shown.
#[derive(Debug, Clone, QueryableByName)]
pub(crate) struct Shown {
    #[diesel(sql_type = SqlUuid)]
    pub(crate) id: Uuid,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub(crate) token_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) user_id: Option<String>,
    #[diesel(sql_type = Text)]
    pub(crate) order_id: String,
    #[diesel(sql_type = Text)]
    pub(crate) line_item_id: String,
    #[diesel(sql_type = Text)]
    pub(crate) operation_type: String,
    #[diesel(sql_type = Text)]
    pub(crate) status: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) sku: Option<String>,
    #[diesel(sql_type = BigInt)]
    pub(crate) generation: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub(crate) quantity: Option<i64>,
    #[diesel(sql_type = Text)]
    pub(crate) warehouse: String,
    #[diesel(sql_type = Int4)]
    pub(crate) retry_count: i32,
    #[diesel(sql_type = Int4)]
    pub(crate) max_retries: i32,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub(crate) next_retry_at: Option<OffsetDateTime>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub(crate) deducted_at: Option<OffsetDateTime>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub(crate) synced_at: Option<OffsetDateTime>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub(crate) completed_at: Option<OffsetDateTime>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) error_message: Option<String>,
    #[diesel(sql_type = Timestamptz)]
    pub(crate) created_at: OffsetDateTime,
    #[diesel(sql_type = Timestamptz)]
    pub(crate) updated_at: OffsetDateTime,
}

/// What was done about an operation.
#[derive(Debug, Clone, QueryableByName)]
pub(crate) struct LogRow {
    #[diesel(sql_type = Text)]
    pub(crate) action: String,
    #[diesel(sql_type = Text)]
    pub(crate) status: String,
    #[diesel(sql_type = Jsonb)]
    pub(crate) details: Value,
    #[diesel(sql_type = Timestamptz)]
    pub(crate) timestamp: OffsetDateTime,
    #[diesel(sql_type = Nullable<Int4>)]
    pub(crate) execution_time_ms: Option<i32>,
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// Which operations: a user's, or everybody's; in one state, or in any.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    pub(crate) user_id: Option<String>,
    pub(crate) status: Option<&'static str>,
}

/// A page of operations, newest first, and how many there are in all. Ids grow with time: an index of the times would be
/// one more to write at each change of an operation.
pub(crate) async fn page(
    conn: &mut pg::Connection,
    filter: &Filter,
    limit: i64,
    offset: i64,
) -> Result<(Vec<Shown>, i64), pg::Error> {
    let shown = sql_query(
        "SELECT * FROM pending_stock_operations WHERE ($1 IS NULL OR user_id = $1) AND ($2 IS NULL OR status = $2) \
         ORDER BY id DESC LIMIT $3 OFFSET $4",
    )
    .bind::<Nullable<Text>, _>(&filter.user_id)
    .bind::<Nullable<Text>, _>(filter.status)
    .bind::<BigInt, _>(limit)
    .bind::<BigInt, _>(offset)
    .load(conn)
    .await?;
    let total: Count = sql_query(
        "SELECT count(*) FROM pending_stock_operations WHERE ($1 IS NULL OR user_id = $1) AND ($2 IS NULL OR status = $2)",
    )
    .bind::<Nullable<Text>, _>(&filter.user_id)
    .bind::<Nullable<Text>, _>(filter.status)
    .get_result(conn)
    .await?;
    Ok((shown, total.count))
}

pub(crate) async fn find(conn: &mut pg::Connection, id: Uuid) -> Result<Option<Shown>, pg::Error> {
    let found = sql_query("SELECT * FROM pending_stock_operations WHERE id = $1")
        .bind::<SqlUuid, _>(id)
        .get_result(conn)
        .await;
    Ok(found.optional()?)
}

/// The operations of an order handed in under an account, or under none; first made first.
pub(crate) async fn of_order(
    conn: &mut pg::Connection,
    order_id: &str,
    token_id: Option<Uuid>,
) -> Result<Vec<Shown>, pg::Error> {
    let found = sql_query(
        "SELECT * FROM pending_stock_operations WHERE order_id = $1 AND token_id IS NOT DISTINCT FROM $2 ORDER BY id",
    )
    .bind::<Text, _>(order_id)
    .bind::<Nullable<SqlUuid>, _>(token_id)
    .load(conn)
    .await?;
    Ok(found)
}

/// What was done about an operation, first first.
pub(crate) async fn logs(conn: &mut pg::Connection, id: Uuid) -> Result<Vec<LogRow>, pg::Error> {
    let found = sql_query(
        "SELECT action, status, details, timestamp, execution_time_ms FROM stock_synchronization_logs \
         WHERE operation_id = $1 ORDER BY id",
    )
    .bind::<SqlUuid, _>(id)
    .load(conn)
    .await?;
    Ok(found)
}
