//! Technical flags: what others have done about an order.

use diesel::sql_types::{Bool, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use domain::TokenId;
use time::OffsetDateTime;

/// The flags of an order.
#[derive(Debug, Clone, QueryableByName)]
pub(crate) struct Flags {
    /// Its pieces have left the stock.
    #[diesel(sql_type = Bool)]
    pub(crate) is_stock_updated: bool,
    /// Since when.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub(crate) stock_updated_at: Option<OffsetDateTime>,
    /// An invoice was made.
    #[diesel(sql_type = Bool)]
    pub(crate) has_invoice_created: bool,
    /// Which.
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) invoice_id: Option<String>,
}

const FLAGS: &str = "is_stock_updated, stock_updated_at, has_invoice_created, invoice_id";

/// The flags of an order, when it is there.
///
/// # Errors
/// The database's.
pub(crate) async fn read(
    conn: &mut pg::Connection,
    (token_id, order_id): (TokenId, &str),
) -> Result<Option<Flags>, pg::Error> {
    let found =
        sql_query(format!("SELECT {FLAGS} FROM orders WHERE token_id = $1 AND allegro_order_id = $2"))
            .bind::<SqlUuid, _>(token_id.as_uuid())
            .bind::<Text, _>(order_id);
    Ok(found.get_result(conn).await.optional()?)
}

/// Sets columns of an order's row where they differ, and returns the flags as they stand then. One statement: an order
/// that comes meanwhile is there for all of it or for none.
fn noting(set: &str, is_new: &str) -> String {
    format!(
        "WITH held AS ( \
             SELECT id, {FLAGS} FROM orders WHERE token_id = $1 AND allegro_order_id = $2 FOR NO KEY UPDATE), \
         noted AS ( \
             UPDATE orders SET {set} WHERE id = (SELECT id FROM held WHERE {is_new}) RETURNING {FLAGS}) \
         SELECT {FLAGS} FROM noted UNION ALL SELECT {FLAGS} FROM held WHERE NOT ({is_new})"
    )
}

/// Notes whether the order's pieces have left the stock, and returns the flags as they stand then, when the order is there.
/// Said again, nothing is written, and the moment stays the first.
///
/// # Errors
/// The database's.
pub(crate) async fn set_stock(
    conn: &mut pg::Connection,
    (token_id, order_id): (TokenId, &str),
    is_updated: bool,
    now: OffsetDateTime,
) -> Result<Option<Flags>, pg::Error> {
    let set = "is_stock_updated = $3, stock_updated_at = CASE WHEN $3 THEN $4 END";
    let noted = sql_query(noting(set, "is_stock_updated <> $3"))
        .bind::<SqlUuid, _>(token_id.as_uuid())
        .bind::<Text, _>(order_id)
        .bind::<Bool, _>(is_updated)
        .bind::<Timestamptz, _>(now);
    Ok(noted.get_result(conn).await.optional()?)
}

/// Notes whether an invoice was made, and which, and returns the flags as they stand then, when the order is there. Said
/// again, nothing is written.
///
/// # Errors
/// The database's.
pub(crate) async fn set_invoice(
    conn: &mut pg::Connection,
    (token_id, order_id): (TokenId, &str),
    is_created: bool,
    invoice_id: Option<&str>,
) -> Result<Option<Flags>, pg::Error> {
    let set = "has_invoice_created = $3, invoice_id = $4";
    let noted = sql_query(noting(set, "(has_invoice_created, invoice_id) IS DISTINCT FROM ($3, $4)"))
        .bind::<SqlUuid, _>(token_id.as_uuid())
        .bind::<Text, _>(order_id)
        .bind::<Bool, _>(is_created)
        .bind::<Nullable<Text>, _>(invoice_id);
    Ok(noted.get_result(conn).await.optional()?)
}

#[cfg(test)]
#[path = "order_flags_tests.rs"]
mod tests;
