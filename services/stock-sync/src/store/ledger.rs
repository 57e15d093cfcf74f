//! Whether levels are the sums of their movements.

use diesel::sql_types::{BigInt, Text};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;

/// A level that is not the sum of its movements.
#[derive(Debug, Clone, QueryableByName)]
pub(crate) struct Mismatch {
    #[diesel(sql_type = Text)]
    pub(crate) sku: String,
    #[diesel(sql_type = Text)]
    pub(crate) warehouse: String,
    #[diesel(sql_type = BigInt)]
    pub(crate) on_hand: i64,
    #[diesel(sql_type = BigInt)]
    pub(crate) moved: i64,
}

#[derive(QueryableByName)]
struct Checked {
    #[diesel(sql_type = BigInt)]
    levels: i64,
}

/// How many levels there are, and those that are not the sum of their movements: at most `limit` of them. One statement
/// sees one moment: what others write meanwhile is in both numbers or in none.
pub(crate) async fn check(conn: &mut pg::Connection, limit: i64) -> Result<(i64, Vec<Mismatch>), pg::Error> {
    let checked: Checked = sql_query("SELECT count(*) AS levels FROM stock_levels").get_result(conn).await?;
    let wrong = sql_query(
        "SELECT sku, warehouse, coalesce(l.on_hand, 0) AS on_hand, coalesce(m.moved, 0) AS moved FROM stock_levels AS l \
         FULL JOIN (SELECT sku, warehouse, sum(delta)::bigint AS moved FROM stock_movements GROUP BY sku, warehouse) AS m \
             USING (sku, warehouse) \
         WHERE coalesce(l.on_hand, 0) <> coalesce(m.moved, 0) ORDER BY 1, 2 LIMIT $1",
    )
    .bind::<BigInt, _>(limit);
    Ok((checked.levels, wrong.load(conn).await?))
}
