//! `accounts`.

use std::collections::HashMap;

use diesel::sql_types::{Array, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use domain::TokenId;
use domain::events::AccountConnected;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::book::Account;

/// An account, as people and the reconciliation see it.
#[derive(Debug, Clone, QueryableByName)]
pub(crate) struct AccountRow {
    #[diesel(sql_type = SqlUuid)]
    pub(crate) token_id: Uuid,
    #[diesel(sql_type = Text)]
    pub(crate) user_id: String,
    #[diesel(sql_type = Text)]
    pub(crate) allegro_seller_id: String,
    #[diesel(sql_type = Timestamptz)]
    pub(crate) connected_at: OffsetDateTime,
    #[diesel(sql_type = Timestamptz)]
    pub(crate) stock_from: OffsetDateTime,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) warehouse: Option<String>,
}

const COLUMNS: &str = "token_id, user_id, allegro_seller_id, connected_at, stock_from, warehouse";

/// The accounts of a user, or everybody's; first connected first.
pub(crate) async fn list(
    conn: &mut pg::Connection,
    user_id: Option<&str>,
) -> Result<Vec<AccountRow>, pg::Error> {
    let listed = sql_query(format!(
        "SELECT {COLUMNS} FROM accounts WHERE $1 IS NULL OR user_id = $1 ORDER BY connected_at, token_id"
    ))
    .bind::<Nullable<Text>, _>(user_id);
    Ok(listed.load(conn).await?)
}

/// Whose account it is.
pub(crate) async fn owner(conn: &mut pg::Connection, token_id: TokenId) -> Result<Option<String>, pg::Error> {
    let found = sql_query(format!("SELECT {COLUMNS} FROM accounts WHERE token_id = $1"))
        .bind::<SqlUuid, _>(token_id.as_uuid());
    let found: Option<AccountRow> = found.get_result(conn).await.optional()?;
    Ok(found.map(|it| it.user_id))
}

/// One account, locked.
pub(crate) async fn lock(
    conn: &mut pg::Connection,
    token_id: TokenId,
) -> Result<Option<AccountRow>, pg::Error> {
    let found = sql_query(format!("SELECT {COLUMNS} FROM accounts WHERE token_id = $1 FOR UPDATE"))
        .bind::<SqlUuid, _>(token_id.as_uuid());
    Ok(found.get_result(conn).await.optional()?)
}

/// Writes what people decide about an account.
pub(crate) async fn save(
    conn: &mut pg::Connection,
    account: &AccountRow,
    now: OffsetDateTime,
) -> Result<(), pg::Error> {
    sql_query("UPDATE accounts SET stock_from = $2, warehouse = $3, updated_at = $4 WHERE token_id = $1")
        .bind::<SqlUuid, _>(account.token_id)
        .bind::<Timestamptz, _>(account.stock_from)
        .bind::<Nullable<Text>, _>(&account.warehouse)
        .bind::<Timestamptz, _>(now)
        .execute(conn)
        .await?;
    Ok(())
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = SqlUuid)]
    token_id: Uuid,
    #[diesel(sql_type = Timestamptz)]
    stock_from: OffsetDateTime,
    #[diesel(sql_type = Nullable<Text>)]
    warehouse: Option<String>,
}

/// The accounts of these tokens, as far as they are known.
pub(crate) async fn of(
    conn: &mut pg::Connection,
    tokens: &[TokenId],
) -> Result<HashMap<TokenId, Account>, pg::Error> {
    let rows: Vec<Row> =
        sql_query("SELECT token_id, stock_from, warehouse FROM accounts WHERE token_id = ANY ($1)")
            .bind::<Array<SqlUuid>, _>(tokens.iter().map(|it| it.as_uuid()).collect::<Vec<_>>())
            .load(conn)
            .await?;
    let account =
        |row: Row| (row.token_id.into(), Account { stock_from: row.stock_from, warehouse: row.warehouse });
    Ok(rows.into_iter().map(account).collect())
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
    sql_query(
        "INSERT INTO accounts (token_id, user_id, allegro_seller_id, connected_at, stock_from, created_at, updated_at) \
         SELECT u.*, u.connected_at, $5, $5 FROM unnest($1, $2, $3, $4) AS u (token_id, user_id, seller_id, connected_at) \
         ORDER BY 1 ON CONFLICT (token_id) DO NOTHING",
    )
    .bind::<Array<SqlUuid>, _>(facts.iter().map(|it| it.token_id.as_uuid()).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(facts.iter().map(|it| it.user_id.as_str()).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(facts.iter().map(|it| it.allegro_seller_id.as_str()).collect::<Vec<_>>())
    .bind::<Array<Timestamptz>, _>(facts.iter().map(|it| it.connected_at).collect::<Vec<_>>())
    .bind::<Timestamptz, _>(now)
    .execute(conn)
    .await?;
    Ok(())
}
