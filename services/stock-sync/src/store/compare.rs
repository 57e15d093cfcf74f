//! What is known here of orders that are compared with allegro-backup's.

use std::collections::HashMap;

use diesel::sql_types::{Array, BigInt, Bool, Nullable, Text, Uuid as SqlUuid};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use domain::TokenId;

use crate::domain::difference::{Local, LocalLine, Stage};

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    order_id: String,
    #[diesel(sql_type = Nullable<Text>)]
    line_item_id: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    sku: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    quantity: Option<i64>,
    #[diesel(sql_type = Bool)]
    is_open: bool,
    #[diesel(sql_type = Bool)]
    is_back: bool,
}

/// These orders of an account, as they stand here. Lines without a SKU are nobody's to compare. Lines whose operations are not kept any more are known by their movements.
pub(crate) async fn orders(
    conn: &mut pg::Connection,
    token_id: TokenId,
    order_ids: &[&str],
) -> Result<HashMap<String, Local>, pg::Error> {
    let rows: Vec<Row> = sql_query(
        "WITH lines AS ( \
             SELECT order_id, line_item_id, sku, quantity, \
                 status IN ('pending', 'processing') OR (status = 'failed' AND deducted_at IS NULL) AS is_open, \
                 status = 'cancelled' AS is_back, operation_type = 'refund' AS is_refund \
             FROM pending_stock_operations WHERE order_id = ANY ($1) AND token_id = $2 \
                 AND NOT (sku IS NULL AND deducted_at IS NULL)), \
         moved AS ( \
             SELECT s.order_id, s.line_item_id, s.sku, -s.delta AS quantity, false AS is_open, r.id IS NOT NULL AS is_back, \
                 false AS is_refund \
             FROM stock_movements AS s \
             LEFT JOIN stock_movements AS r ON r.line_item_id = s.line_item_id AND r.kind = 'refund' \
             WHERE s.order_id = ANY ($1) AND s.kind = 'sale' \
                 AND NOT EXISTS (SELECT FROM pending_stock_operations AS o WHERE o.order_id = s.order_id)) \
         SELECT s.order_id, l.line_item_id, l.sku, l.quantity, coalesce(l.is_open, false) AS is_open, \
             coalesce(l.is_back OR EXISTS ( \
                 SELECT FROM lines AS r WHERE r.is_refund AND r.order_id = l.order_id \
                     AND r.line_item_id = l.line_item_id), false) AS is_back \
         FROM order_states AS s \
         LEFT JOIN (SELECT * FROM lines UNION ALL SELECT * FROM moved) AS l ON l.order_id = s.order_id \
             AND (NOT l.is_refund OR l.is_open) \
         WHERE s.order_id = ANY ($1)",
    )
    .bind::<Array<Text>, _>(order_ids)
    .bind::<SqlUuid, _>(token_id.as_uuid())
    .load(conn)
    .await?;
    let mut orders: HashMap<String, Local> = HashMap::new();
    for row in rows {
        let order = orders.entry(row.order_id).or_default();
        order.is_known = true;
        let (Some(line_item_id), Some(quantity)) = (row.line_item_id, row.quantity) else { continue };
        let stage = match (row.is_open, row.is_back) {
            (true, _) => Stage::Open,
            (false, true) => Stage::Back,
            (false, false) => Stage::Taken,
        };
        order.lines.push(LocalLine { line_item_id, sku: row.sku, quantity, stage });
    }
    Ok(orders)
}
