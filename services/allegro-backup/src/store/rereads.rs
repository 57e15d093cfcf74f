//! `order_rereads`: orders that an event named, and when they are read again.

use diesel::sql_types::{Array, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{ExpressionMethods, QueryDsl, sql_query};
use diesel_async::RunQueryDsl;
use domain::TokenId;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::schema::{order_rereads, user_tokens};

diesel::allow_tables_to_appear_in_same_query!(order_rereads, user_tokens);

/// After an event, its order is read again after this time.
const FIRST: Duration = Duration::minutes(1);
/// And once more after this time.
const LAST: Duration = Duration::minutes(5);

/// Plans to read orders again that an event named at `now`. Several events of an order within five minutes plan two readings:
/// the first one as planned by the first event, the last one as planned by the latest.
///
/// # Errors
/// The database's.
pub(crate) async fn plan(
    conn: &mut pg::Connection,
    token_id: TokenId,
    order_ids: &[&str],
    now: OffsetDateTime,
) -> Result<(), pg::Error> {
    if order_ids.is_empty() {
        return Ok(());
    }
    sql_query(
        "INSERT INTO order_rereads AS r (token_id, allegro_order_id, is_last, due_at) \
         SELECT $1, id, is_last, due_at FROM (SELECT DISTINCT id FROM unnest($2) AS d (id)) AS u \
             CROSS JOIN (VALUES (false, $3), (true, $4)) AS p (is_last, due_at) ORDER BY id, is_last \
         ON CONFLICT (token_id, allegro_order_id, is_last) DO UPDATE SET due_at = excluded.due_at WHERE r.is_last",
    )
    .bind::<SqlUuid, _>(token_id.as_uuid())
    .bind::<Array<Text>, _>(order_ids)
    .bind::<Timestamptz, _>(now + FIRST)
    .bind::<Timestamptz, _>(now + LAST)
    .execute(conn)
    .await?;
    Ok(())
}

/// Orders of an account that are to be read again by `now`.
///
/// # Errors
/// The database's.
pub(crate) async fn due(
    conn: &mut pg::Connection,
    token_id: TokenId,
    now: OffsetDateTime,
    limit: i64,
) -> Result<Vec<String>, pg::Error> {
    let due = order_rereads::table
        .filter(order_rereads::token_id.eq(token_id.as_uuid()))
        .filter(order_rereads::due_at.le(now))
        .select(order_rereads::allegro_order_id)
        .distinct()
        .limit(limit);
    Ok(due.load(conn).await?)
}

/// Accounts that can be called and have orders to be read again by `now`, with their users.
///
/// # Errors
/// The database's.
pub(crate) async fn accounts_due(
    conn: &mut pg::Connection,
    now: OffsetDateTime,
) -> Result<Vec<(TokenId, String)>, pg::Error> {
    let due =
        order_rereads::table.filter(order_rereads::due_at.le(now)).select(order_rereads::token_id).distinct();
    let accounts: Vec<(Uuid, String)> = user_tokens::table
        .filter(user_tokens::id.eq_any(due))
        .filter(user_tokens::is_active)
        .filter(diesel::dsl::not(user_tokens::needs_reauthorization))
        .select((user_tokens::id, user_tokens::user_id))
        .load(conn)
        .await?;
    Ok(accounts.into_iter().map(|(id, user_id)| (id.into(), user_id)).collect())
}

/// Removes the plans of orders that were read, as far as they were due by `now`.
///
/// # Errors
/// The database's.
pub(crate) async fn done(
    conn: &mut pg::Connection,
    token_id: TokenId,
    order_ids: &[String],
    now: OffsetDateTime,
) -> Result<(), pg::Error> {
    let read = order_rereads::table
        .filter(order_rereads::token_id.eq(token_id.as_uuid()))
        .filter(order_rereads::allegro_order_id.eq_any(order_ids))
        .filter(order_rereads::due_at.le(now));
    diesel::delete(read).execute(conn).await?;
    Ok(())
}
