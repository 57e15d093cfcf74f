//! Technical flags: what others have done about an order.

use diesel::sql_types::{Bool, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use domain::TokenId;
use time::OffsetDateTime;

/// The flags of an order.
#[derive(Debug, QueryableByName)]
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

/// The flags of an order, when it is there.
///
/// # Errors
/// The database's.
pub(crate) async fn read(
    conn: &mut pg::Connection,
    (token_id, order_id): (TokenId, &str),
) -> Result<Option<Flags>, pg::Error> {
    let found = sql_query(
        "SELECT is_stock_updated, stock_updated_at, has_invoice_created, invoice_id FROM orders \
         WHERE token_id = $1 AND allegro_order_id = $2",
    )
    .bind::<SqlUuid, _>(token_id.as_uuid())
    .bind::<Text, _>(order_id);
    Ok(found.get_result(conn).await.optional()?)
}

/// Notes whether the order's pieces have left the stock. Said again, nothing is written, and the moment stays the first.
///
/// # Errors
/// The database's.
pub(crate) async fn set_stock(
    conn: &mut pg::Connection,
    (token_id, order_id): (TokenId, &str),
    is_updated: bool,
    now: OffsetDateTime,
) -> Result<(), pg::Error> {
    sql_query(
        "UPDATE orders SET is_stock_updated = $3, stock_updated_at = CASE WHEN $3 THEN $4 END \
         WHERE token_id = $1 AND allegro_order_id = $2 AND is_stock_updated <> $3",
    )
    .bind::<SqlUuid, _>(token_id.as_uuid())
    .bind::<Text, _>(order_id)
    .bind::<Bool, _>(is_updated)
    .bind::<Timestamptz, _>(now)
    .execute(conn)
    .await?;
    Ok(())
}

/// Notes whether an invoice was made, and which. Said again, nothing is written.
///
/// # Errors
/// The database's.
pub(crate) async fn set_invoice(
    conn: &mut pg::Connection,
    (token_id, order_id): (TokenId, &str),
    is_created: bool,
    invoice_id: Option<&str>,
) -> Result<(), pg::Error> {
    sql_query(
        "UPDATE orders SET has_invoice_created = $3, invoice_id = $4 WHERE token_id = $1 AND allegro_order_id = $2 \
             AND (has_invoice_created, invoice_id) IS DISTINCT FROM ($3, $4)",
    )
    .bind::<SqlUuid, _>(token_id.as_uuid())
    .bind::<Text, _>(order_id)
    .bind::<Bool, _>(is_created)
    .bind::<Nullable<Text>, _>(invoice_id)
    .execute(conn)
    .await?;
    Ok(())
}
