//! `failed_orders`: quarantine for orders that fail for themselves.

use std::collections::HashSet;

use diesel::sql_types::{
    Array, BigInt, Bool, Bytea, Date as SqlDate, Int4, Nullable, Text, Timestamptz, Uuid as SqlUuid,
};
use diesel::{ExpressionMethods, QueryDsl, QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use domain::TokenId;
use time::{Date, OffsetDateTime};
use uuid::Uuid;

use super::schema::failed_orders;

#[derive(QueryableByName)]
struct OrderId {
    #[diesel(sql_type = Text)]
    allegro_order_id: String,
}

/// An order that failed.
#[derive(Debug, Clone)]
pub(crate) struct Failed {
    /// Allegro's id, or what stands for it.
    pub(crate) order_id: String,
    /// A stable word.
    pub(crate) class: &'static str,
    /// What happened.
    pub(crate) text: String,
    /// What Allegro answered, if it answered.
    pub(crate) document: Option<String>,
    /// The day (UTC) it was bought on, as far as that can be read.
    pub(crate) day: Option<Date>,
    /// A list named it.
    pub(crate) in_list: bool,
}

/// The class of a document without an id: there is nothing to ask Allegro for.
pub(crate) const NAMELESS: &str = "nameless";

/// The class of an order whose requests are answered 429.
pub(crate) const THROTTLED: &str = "throttled";

/// Puts orders into quarantine, or counts another try of those in it: again after 1, 5, 15, 60, 240 minutes, then
/// abandoned, which means once a day.
///
/// # Errors
/// The database's.
pub(crate) async fn quarantine(
    conn: &mut pg::Connection,
    token_id: TokenId,
    failed: &[Failed],
) -> Result<(), pg::Error> {
    if failed.is_empty() {
        return Ok(());
    }
    sql_query(
        "INSERT INTO failed_orders AS f \
             (token_id, allegro_order_id, error_class, error_text, document, day, in_list, next_retry_at) \
         SELECT $1, id, class, text, document, day, in_list, now() + interval '1 minute' \
         FROM (SELECT DISTINCT ON (id) id, class, text, document, day, in_list \
               FROM unnest($2, $3, $4, $5, $6, $7) AS u (id, class, text, document, day, in_list) ORDER BY id) AS u \
         ON CONFLICT (token_id, allegro_order_id) DO UPDATE SET error_class = excluded.error_class, \
             error_text = excluded.error_text, document = coalesce(excluded.document, f.document), updated_at = now(), \
             day = coalesce(excluded.day, f.day), in_list = f.in_list OR excluded.in_list, merged_into = NULL, \
             attempts = CASE WHEN f.status IN ('pending', 'abandoned') THEN f.attempts + 1 ELSE 1 END, \
             status = CASE WHEN f.status IN ('pending', 'abandoned') AND f.attempts >= 5 THEN 'abandoned' ELSE 'pending' END, \
             next_retry_at = now() + interval '1 minute' * CASE WHEN f.status IN ('pending', 'abandoned') \
                 THEN (ARRAY[1, 5, 15, 60, 240, 1440])[least(f.attempts + 1, 6)] ELSE 1 END",
    )
    .bind::<SqlUuid, _>(token_id.as_uuid())
    .bind::<Array<Text>, _>(failed.iter().map(|it| it.order_id.as_str()).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(failed.iter().map(|it| it.class).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(failed.iter().map(|it| it.text.as_str()).collect::<Vec<_>>())
    .bind::<Array<Nullable<Bytea>>, _>(
        failed.iter().map(|it| it.document.as_deref().map(str::as_bytes)).collect::<Vec<_>>(),
    )
    .bind::<Array<Nullable<SqlDate>>, _>(failed.iter().map(|it| it.day).collect::<Vec<_>>())
    .bind::<Array<Bool>, _>(failed.iter().map(|it| it.in_list).collect::<Vec<_>>())
    .execute(conn)
    .await?;
    Ok(())
}

/// Notes that an order was not answered while others were, and returns those that have failed so in `blamed_after` runs,
/// one after the other, or are in quarantine already: they are at fault themselves.
///
/// # Errors
/// The database's.
pub(crate) async fn suspect(
    conn: &mut pg::Connection,
    token_id: TokenId,
    order_ids: &[&str],
    blamed_after: i32,
) -> Result<Vec<String>, pg::Error> {
    let rows: Vec<OrderId> = sql_query(
        "WITH noted AS (INSERT INTO failed_orders AS f \
             (token_id, allegro_order_id, error_class, error_text, next_retry_at, status) \
         SELECT $1, id, 'unavailable', 'not answered while others were', 'infinity', 'suspected' \
         FROM (SELECT DISTINCT id FROM unnest($2) AS d (id) ORDER BY id) AS u \
         ON CONFLICT (token_id, allegro_order_id) DO UPDATE SET updated_at = now(), \
             attempts = CASE f.status WHEN 'suspected' THEN f.attempts + 1 WHEN 'resolved' THEN 1 ELSE f.attempts END, \
             next_retry_at = CASE f.status WHEN 'resolved' THEN 'infinity' ELSE f.next_retry_at END, \
             status = CASE f.status WHEN 'resolved' THEN 'suspected' ELSE f.status END \
         RETURNING f.allegro_order_id, f.status, f.attempts) \
         SELECT allegro_order_id FROM noted WHERE status <> 'suspected' OR attempts >= $3",
    )
    .bind::<SqlUuid, _>(token_id.as_uuid())
    .bind::<Array<Text>, _>(order_ids)
    .bind::<Int4, _>(blamed_after)
    .load(conn)
    .await?;
    Ok(rows.into_iter().map(|row| row.allegro_order_id).collect())
}

/// Writes down that an order that was never answered is part of another: nothing is missing.
///
/// # Errors
/// The database's.
pub(crate) async fn merged(
    conn: &mut pg::Connection,
    token_id: TokenId,
    (order_id, into): (&str, &str),
) -> Result<(), pg::Error> {
    sql_query(
        "INSERT INTO failed_orders (token_id, allegro_order_id, error_class, error_text, next_retry_at, status, merged_into) \
         VALUES ($1, $2, 'merged', 'merged into another order', 'infinity', 'resolved', $3) \
         ON CONFLICT (token_id, allegro_order_id) DO UPDATE SET error_class = excluded.error_class, \
             error_text = excluded.error_text, status = 'resolved', merged_into = excluded.merged_into, updated_at = now()",
    )
    .bind::<SqlUuid, _>(token_id.as_uuid())
    .bind::<Text, _>(order_id)
    .bind::<Text, _>(into)
    .execute(conn)
    .await?;
    Ok(())
}

/// Lets orders out of quarantine that were stored after all.
///
/// # Errors
/// The database's.
pub(crate) async fn resolve(
    conn: &mut pg::Connection,
    token_id: TokenId,
    order_ids: &[&str],
) -> Result<(), pg::Error> {
    if order_ids.is_empty() {
        return Ok(());
    }
    sql_query(
        "WITH innocent AS (DELETE FROM failed_orders \
             WHERE token_id = $1 AND allegro_order_id = ANY($2) AND status = 'suspected') \
         UPDATE failed_orders SET status = 'resolved', updated_at = now() \
         WHERE token_id = $1 AND allegro_order_id = ANY($2) AND status IN ('pending', 'abandoned')",
    )
    .bind::<SqlUuid, _>(token_id.as_uuid())
    .bind::<Array<Text>, _>(order_ids)
    .execute(conn)
    .await?;
    Ok(())
}

/// Of these orders, those in quarantine whose requests are answered 429 and whose next retry is not due.
///
/// # Errors
/// The database's.
pub(crate) async fn throttled(
    conn: &mut pg::Connection,
    token_id: TokenId,
    order_ids: &[&str],
    now: OffsetDateTime,
) -> Result<HashSet<String>, pg::Error> {
    let ids: Vec<String> = failed_orders::table
        .filter(failed_orders::token_id.eq(token_id.as_uuid()))
        .filter(failed_orders::allegro_order_id.eq_any(order_ids))
        .filter(failed_orders::error_class.eq(THROTTLED))
        .filter(failed_orders::status.eq_any(["pending", "abandoned"]))
        .filter(failed_orders::next_retry_at.gt(now))
        .select(failed_orders::allegro_order_id)
        .load(conn)
        .await?;
    Ok(ids.into_iter().collect())
}

/// Resolves documents without an id of these days that were last seen before `began_at`, when a list that covers the days
/// was begun: Allegro no longer sends them.
///
/// # Errors
/// The database's.
pub(crate) async fn resolve_nameless(
    conn: &mut pg::Connection,
    token_id: TokenId,
    (from, to): (Date, Date),
    began_at: OffsetDateTime,
) -> Result<(), pg::Error> {
    let unseen = failed_orders::table
        .filter(failed_orders::token_id.eq(token_id.as_uuid()))
        .filter(failed_orders::error_class.eq(NAMELESS))
        .filter(failed_orders::status.eq_any(["pending", "abandoned"]))
        .filter(failed_orders::day.between(from, to))
        .filter(failed_orders::updated_at.lt(began_at));
    diesel::update(unseen).set(failed_orders::status.eq("resolved")).execute(conn).await?;
    Ok(())
}

/// Orders of an account whose next try is due.
///
/// # Errors
/// The database's.
pub(crate) async fn due(
    conn: &mut pg::Connection,
    token_id: TokenId,
    now: OffsetDateTime,
    limit: i64,
) -> Result<Vec<String>, pg::Error> {
    let rows: Vec<OrderId> = sql_query(
        "SELECT allegro_order_id FROM failed_orders \
         WHERE token_id = $1 AND status IN ('pending', 'abandoned') AND error_class <> $4 AND next_retry_at <= $2 \
         ORDER BY next_retry_at LIMIT $3",
    )
    .bind::<SqlUuid, _>(token_id.as_uuid())
    .bind::<Timestamptz, _>(now)
    .bind::<BigInt, _>(limit)
    .bind::<Text, _>(NAMELESS)
    .load(conn)
    .await?;
    Ok(rows.into_iter().map(|row| row.allegro_order_id).collect())
}

#[derive(QueryableByName)]
struct Due {
    #[diesel(sql_type = SqlUuid)]
    token_id: Uuid,
    #[diesel(sql_type = Text)]
    user_id: String,
}

/// Accounts that can be worked for and have orders whose next try is due, with their users.
///
/// # Errors
/// The database's.
pub(crate) async fn accounts_due(
    conn: &mut pg::Connection,
    now: OffsetDateTime,
) -> Result<Vec<(TokenId, String)>, pg::Error> {
    let rows: Vec<Due> = sql_query(
        "SELECT DISTINCT f.token_id, t.user_id FROM failed_orders f JOIN user_tokens t ON t.id = f.token_id \
         WHERE f.status IN ('pending', 'abandoned') AND f.next_retry_at <= $1 AND f.error_class <> $2 \
           AND t.is_active AND NOT t.needs_reauthorization",
    )
    .bind::<Timestamptz, _>(now)
    .bind::<Text, _>(NAMELESS)
    .load(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.token_id.into(), row.user_id)).collect())
}

#[derive(QueryableByName)]
struct Depth {
    #[diesel(sql_type = Text)]
    status: String,
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// How many orders are in quarantine, by status.
///
/// # Errors
/// The database's.
pub(crate) async fn depths(conn: &mut pg::Connection) -> Result<Vec<(String, i64)>, pg::Error> {
    let rows: Vec<Depth> = sql_query(
        "SELECT s.status, count(f.allegro_order_id) FROM (VALUES ('pending'), ('abandoned')) AS s (status) \
         LEFT JOIN failed_orders f USING (status) GROUP BY s.status",
    )
    .load(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.status, row.count)).collect())
}
