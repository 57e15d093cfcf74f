//! `accounts`.

use std::collections::{BTreeSet, HashMap};

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use domain::TokenId;
use domain::events::AccountConnected;
use pg::Columns;
use time::OffsetDateTime;
use uuid::Uuid;

use super::schema::accounts;
use crate::domain::book::Account;

/// An account, as people and the reconciliation see it.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = accounts, check_for_backend(Pg))]
pub(crate) struct AccountRow {
    pub(crate) token_id: Uuid,
    pub(crate) user_id: String,
    pub(crate) allegro_seller_id: String,
    pub(crate) connected_at: OffsetDateTime,
    pub(crate) stock_from: OffsetDateTime,
    pub(crate) warehouse: Option<String>,
}

/// The accounts of a user, or everybody's; first connected first.
pub(crate) async fn list(
    conn: &mut pg::Connection,
    user_id: Option<&str>,
) -> Result<Vec<AccountRow>, pg::Error> {
    let by_connection = accounts::table.order((accounts::connected_at, accounts::token_id));
    let mut listed = by_connection.select(AccountRow::as_select()).into_boxed();
    if let Some(user_id) = user_id {
        listed = listed.filter(accounts::user_id.eq(user_id));
    }
    Ok(listed.load(conn).await?)
}

/// Whose account it is.
pub(crate) async fn owner(conn: &mut pg::Connection, token_id: TokenId) -> Result<Option<String>, pg::Error> {
    let found = accounts::table.find(token_id.as_uuid()).select(accounts::user_id);
    Ok(found.first(conn).await.optional()?)
}

/// One account, locked.
pub(crate) async fn lock(
    conn: &mut pg::Connection,
    token_id: TokenId,
) -> Result<Option<AccountRow>, pg::Error> {
    let found = accounts::table.find(token_id.as_uuid()).select(AccountRow::as_select());
    Ok(found.for_update().get_result(conn).await.optional()?)
}

/// Writes what people decide about an account.
pub(crate) async fn save(
    conn: &mut pg::Connection,
    account: &AccountRow,
    now: OffsetDateTime,
) -> Result<(), pg::Error> {
    diesel::update(accounts::table.find(account.token_id))
        .set((
            accounts::stock_from.eq(account.stock_from),
            accounts::warehouse.eq(&account.warehouse),
            accounts::updated_at.eq(now),
        ))
        .execute(conn)
        .await?;
    Ok(())
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = accounts, check_for_backend(Pg))]
struct Row {
    token_id: Uuid,
    stock_from: OffsetDateTime,
    warehouse: Option<String>,
}

/// The accounts of these tokens, as far as they are known.
pub(crate) async fn of(
    conn: &mut pg::Connection,
    tokens: &[TokenId],
) -> Result<HashMap<TokenId, Account>, pg::Error> {
    let tokens: Vec<Uuid> = tokens.iter().map(|it| it.as_uuid()).collect();
    let known = accounts::table.filter(accounts::token_id.eq_any(tokens)).select(Row::as_select());
    let rows = known.load(conn).await?;
    let account =
        |row: Row| (row.token_id.into(), Account { stock_from: row.stock_from, warehouse: row.warehouse });
    Ok(rows.into_iter().map(account).collect())
}

/// Of these accounts, the first that is not known.
pub(crate) async fn first_unknown(
    conn: &mut pg::Connection,
    tokens: &BTreeSet<TokenId>,
) -> Result<Option<TokenId>, pg::Error> {
    let wanted: Vec<TokenId> = tokens.iter().copied().collect();
    let known = of(conn, &wanted).await?;
    Ok(wanted.into_iter().find(|it| !known.contains_key(it)))
}

/// Takes newly connected accounts in; one connected again keeps the day its stock is counted from.
pub(crate) async fn connect(
    conn: &mut pg::Connection,
    facts: &[AccountConnected],
    now: OffsetDateTime,
) -> Result<(), pg::Error> {
    if facts.is_empty() {
        return Ok(());
    }
    let columns = Columns(facts);
    sql_query(
        "INSERT INTO accounts (token_id, user_id, allegro_seller_id, connected_at, stock_from, created_at, updated_at) \
         SELECT u.*, u.connected_at, $5, $5 FROM unnest($1, $2, $3, $4) AS u (token_id, user_id, seller_id, connected_at) \
         ORDER BY 1 ON CONFLICT (token_id) DO NOTHING",
    )
    .bind::<Array<SqlUuid>, _>(columns.array(|it| it.token_id.as_uuid()))
    .bind::<Array<Text>, _>(columns.array(|it| it.user_id.as_str()))
    .bind::<Array<Text>, _>(columns.array(|it| it.allegro_seller_id.as_str()))
    .bind::<Array<Timestamptz>, _>(columns.array(|it| it.connected_at))
    .bind::<Timestamptz, _>(now)
    .execute(conn)
    .await?;
    Ok(())
}
