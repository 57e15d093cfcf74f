//! The quarantine as people read it: orders of `failed_orders` that are retried.

use std::collections::HashMap;

use diesel::dsl::count_star;
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, Queryable, Selectable, SelectableHelper};
use diesel_async::RunQueryDsl;
use domain::TokenId;
use time::{Date, OffsetDateTime};
use uuid::Uuid;

use super::schema::{failed_orders, orders, user_tokens};
use crate::domain::archive::QuarantinedLine;

/// The statuses of quarantined orders.
const OPEN: [&str; 2] = ["pending", "abandoned"];

/// A quarantined order.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = failed_orders, check_for_backend(diesel::pg::Pg))]
pub(crate) struct Quarantined {
    /// Its number in the list.
    pub(crate) seq: i64,
    /// The account.
    pub(crate) token_id: Uuid,
    /// Allegro's id, or a name made of the document's hash.
    pub(crate) allegro_order_id: String,
    /// A stable word for the reason.
    pub(crate) error_class: String,
    /// The reason.
    pub(crate) error_text: String,
    /// Failed attempts.
    pub(crate) attempts: i32,
    /// The next retry.
    pub(crate) next_retry_at: OffsetDateTime,
    /// `pending` or `abandoned`.
    pub(crate) status: String,
    /// When it failed first.
    pub(crate) created_at: OffsetDateTime,
    /// When it failed last.
    pub(crate) updated_at: OffsetDateTime,
}

/// A quarantined order with everything that an export contains.
#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = failed_orders, check_for_backend(diesel::pg::Pg))]
struct Exported {
    #[diesel(embed)]
    order: Quarantined,
    day: Option<Date>,
    in_list: bool,
    document: Option<Vec<u8>>,
}

/// The document of a quarantined order as text.
fn text(order: &Quarantined, document: Option<Vec<u8>>) -> Result<Option<String>, pg::Error> {
    let id = || format!("{}/{}", order.token_id, order.allegro_order_id);
    let text = document.map(String::from_utf8).transpose();
    text.map_err(|_not_text| pg::Error::corrupt("failed_orders", id(), "document"))
}

/// Which quarantined orders of a user.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope<'a> {
    /// The user whose accounts are meant.
    pub(crate) user_id: &'a str,
    /// Only of this account.
    pub(crate) token_id: Option<TokenId>,
}

/// Lists quarantined orders, the latest first, after the order of this number.
///
/// # Errors
/// The database's.
pub(crate) async fn list(
    conn: &mut pg::Connection,
    scope: Scope<'_>,
    after: Option<i64>,
    limit: i64,
) -> Result<Vec<Quarantined>, pg::Error> {
    let accounts = accounts(conn, scope).await?;
    let query = failed_orders::table
        .filter(failed_orders::token_id.eq_any(accounts))
        .filter(failed_orders::status.eq_any(OPEN))
        .filter(failed_orders::seq.lt(after.unwrap_or(i64::MAX)))
        .order(failed_orders::seq.desc())
        .limit(limit)
        .select(Quarantined::as_select());
    Ok(query.load(conn).await?)
}

/// A quarantined order and the document that Allegro sent, if it sent one. If several accounts of the user have the order,
/// the one that failed last.
///
/// # Errors
/// The database's, and [`pg::Error::Corrupt`] for a document that is not text.
pub(crate) async fn find(
    conn: &mut pg::Connection,
    scope: Scope<'_>,
    order_id: &str,
) -> Result<Option<(Quarantined, Option<String>)>, pg::Error> {
    let accounts = accounts(conn, scope).await?;
    let query = failed_orders::table
        .filter(failed_orders::token_id.eq_any(accounts))
        .filter(failed_orders::status.eq_any(OPEN))
        .filter(failed_orders::allegro_order_id.eq(order_id))
        .order(failed_orders::updated_at.desc())
        .select((Quarantined::as_select(), failed_orders::document));
    let found: Option<(Quarantined, Option<Vec<u8>>)> = query.first(conn).await.optional()?;
    let Some((order, document)) = found else { return Ok(None) };
    let document = text(&order, document)?;
    Ok(Some((order, document)))
}

/// The ids of the accounts that are meant.
async fn accounts(conn: &mut pg::Connection, scope: Scope<'_>) -> Result<Vec<Uuid>, pg::Error> {
    let ids: Vec<Uuid> = user_tokens::table
        .filter(user_tokens::user_id.eq(scope.user_id))
        .select(user_tokens::id)
        .load(conn)
        .await?;
    let is_meant = |id: &Uuid| scope.token_id.is_none_or(|token_id| token_id.as_uuid() == *id);
    Ok(ids.into_iter().filter(is_meant).collect())
}

/// An account, and how many of its orders are quarantined.
#[derive(Debug)]
pub(crate) struct Depth {
    /// The account.
    pub(crate) token_id: TokenId,
    /// The name that its user gave it, or its login at Allegro.
    pub(crate) name: String,
    /// Quarantined orders.
    pub(crate) orders: i64,
}

/// How many orders of each account are quarantined.
///
/// # Errors
/// The database's.
pub(crate) async fn depths(conn: &mut pg::Connection) -> Result<Vec<Depth>, pg::Error> {
    let accounts: Vec<(Uuid, Option<String>, String)> = user_tokens::table
        .select((user_tokens::id, user_tokens::account_name, user_tokens::allegro_login))
        .load(conn)
        .await?;
    let counts: HashMap<Uuid, i64> = failed_orders::table
        .filter(failed_orders::status.eq_any(OPEN))
        .group_by(failed_orders::token_id)
        .select((failed_orders::token_id, count_star()))
        .load(conn)
        .await?
        .into_iter()
        .collect();
    let depths = accounts.into_iter().map(|(id, name, login)| Depth {
        token_id: id.into(),
        name: name.unwrap_or(login),
        orders: counts.get(&id).copied().unwrap_or_default(),
    });
    Ok(depths.collect())
}

/// Quarantined orders of an account for an export, in the order of their numbers, after the one of this number.
///
/// # Errors
/// The database's, and [`pg::Error::Corrupt`] for a document that is not text.
pub(crate) async fn exported(
    conn: &mut pg::Connection,
    token_id: TokenId,
    after: i64,
    limit: i64,
) -> Result<Vec<(i64, QuarantinedLine)>, pg::Error> {
    let rows: Vec<Exported> = failed_orders::table
        .filter(failed_orders::token_id.eq(token_id.as_uuid()))
        .filter(failed_orders::status.eq_any(OPEN))
        .filter(failed_orders::seq.gt(after))
        .order(failed_orders::seq)
        .limit(limit)
        .select(Exported::as_select())
        .load(conn)
        .await?;
    rows.into_iter()
        .map(|row| {
            let document = text(&row.order, row.document)?;
            let order = row.order;
            Ok((
                order.seq,
                QuarantinedLine {
                    token_id: order.token_id,
                    order_id: order.allegro_order_id,
                    class: order.error_class,
                    reason: order.error_text,
                    attempts: order.attempts,
                    day: row.day,
                    in_list: row.in_list,
                    first_failed_at: order.created_at,
                    document,
                },
            ))
        })
        .collect()
}

/// Quarantines an order of an export, unless it is stored or quarantined here. Its next retry is due.
///
/// # Errors
/// The database's.
pub(crate) async fn restore(
    conn: &mut pg::Connection,
    token_id: TokenId,
    line: &QuarantinedLine,
) -> Result<bool, pg::Error> {
    let stored = orders::table
        .filter(orders::token_id.eq(token_id.as_uuid()))
        .filter(orders::allegro_order_id.eq(&line.order_id));
    if diesel::select(diesel::dsl::exists(stored)).get_result(conn).await? {
        return Ok(false);
    }
    let inserted = diesel::insert_into(failed_orders::table)
        .values((
            failed_orders::token_id.eq(token_id.as_uuid()),
            failed_orders::allegro_order_id.eq(&line.order_id),
            failed_orders::error_class.eq(&line.class),
            failed_orders::error_text.eq(&line.reason),
            failed_orders::document.eq(line.document.as_deref().map(str::as_bytes)),
            failed_orders::attempts.eq(line.attempts),
            failed_orders::next_retry_at.eq(pg::dsl::now()),
            failed_orders::day.eq(line.day),
            failed_orders::in_list.eq(line.in_list),
            failed_orders::created_at.eq(line.first_failed_at),
        ))
        .on_conflict_do_nothing()
        .execute(conn)
        .await?;
    Ok(inserted == 1)
}
