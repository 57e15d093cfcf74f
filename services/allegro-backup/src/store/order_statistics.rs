//! Counts and sums.

use diesel::sql_types::{Array, BigInt, Int4, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use domain::{Money, TokenId};
use time::OffsetDateTime;

use super::order_list::stored_money;

/// Orders of one status, or of one period, in one currency.
#[derive(Debug, QueryableByName)]
pub(crate) struct Group {
    /// The status; absent for a group of a period.
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) status: Option<String>,
    /// The period, counted from 1; absent for a group of a status.
    #[diesel(sql_type = Nullable<Int4>)]
    pub(crate) period: Option<i32>,
    #[diesel(sql_type = Nullable<Text>)]
    currency: Option<String>,
    /// How many.
    #[diesel(sql_type = BigInt)]
    pub(crate) orders: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    minor: Option<i64>,
}

impl Group {
    /// What is to be paid for all of them; none where Allegro named no sum.
    ///
    /// # Errors
    /// [`pg::Error::Corrupt`].
    pub(crate) fn total(&self) -> Result<Option<Money>, pg::Error> {
        let currency = self.currency.as_deref();
        stored_money(self.minor, currency, format_args!("in {}", currency.unwrap_or("no currency")))
    }
}

/// Groups the orders of these accounts by status and currency, and by period and currency. A period begins at each of
/// `starts`, which ascend; the last one ends at `end`. An order that was merged into another counts there.
///
/// # Errors
/// The database's.
pub(crate) async fn statistics(
    conn: &mut pg::Connection,
    token_ids: &[TokenId],
    starts: &[OffsetDateTime],
    end: OffsetDateTime,
) -> Result<Vec<Group>, pg::Error> {
    let Some(begin) = starts.first() else { return Ok(Vec::new()) };
    // Time zones are applied by the caller: the database need not know the same ones. A sum that a bigint cannot hold
    // is not worth an error.
    let found = sql_query(
        "SELECT status, period, total_currency AS currency, count(*) AS orders, \
             least(sum(total_minor), 9223372036854775807)::bigint AS minor \
         FROM (SELECT status, total_currency, total_minor, width_bucket(order_date, $4) AS period FROM orders \
               WHERE token_id = ANY($1) AND order_date >= $2 AND order_date < $3 AND NOT is_deleted) AS bought \
         GROUP BY GROUPING SETS ((status, total_currency), (period, total_currency)) \
         ORDER BY status, period, total_currency",
    )
    .bind::<Array<SqlUuid>, _>(token_ids.iter().map(|id| id.as_uuid()).collect::<Vec<_>>())
    .bind::<Timestamptz, _>(begin)
    .bind::<Timestamptz, _>(end)
    .bind::<Array<Timestamptz>, _>(starts);
    Ok(found.load(conn).await?)
}
