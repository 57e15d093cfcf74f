//! What changes an account as a whole: connecting, naming, removing, and losing Allegro's trust.

use diesel::sql_types::{BigInt, Bytea, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, sql_query};
use diesel_async::RunQueryDsl;
use domain::TokenId;
use pg::sealed::Keyring;
use time::OffsetDateTime;

use super::{ACCOUNT, Account, Pair, REFRESH_LIFE, TokenStoreError, seal};

/// Whose account it is.
#[derive(Debug)]
pub(crate) struct Identity<'a> {
    /// The user who connects it.
    pub(crate) user_id: &'a str,
    /// How the user calls it.
    pub(crate) account_name: Option<&'a str>,
    /// Allegro's id of the seller.
    pub(crate) allegro_seller_id: &'a str,
    /// The seller's login.
    pub(crate) allegro_login: &'a str,
}

/// Of two who are about to make a user's account of the same seller the second waits here, and finds the first one's row.
///
/// # Errors
/// The database's.
pub(crate) async fn hold(
    conn: &mut pg::Connection,
    user_id: &str,
    allegro_seller_id: &str,
) -> Result<(), pg::Error> {
    sql_query("SELECT pg_advisory_xact_lock(hashtextextended('user_tokens ' || $1 || ' ' || $2, 0))")
        .bind::<Text, _>(user_id)
        .bind::<Text, _>(allegro_seller_id)
        .execute(conn)
        .await?;
    Ok(())
}

/// Stores a fresh pair: for a new account, or for one the user has or had, which is then the same account again: its
/// orders are found where they were. The row stays locked. One that was removed counts as connected only from now on.
///
/// # Errors
/// The database's or the keys'.
pub(crate) async fn connect(
    conn: &mut pg::Connection,
    keyring: &Keyring,
    fresh_id: TokenId,
    identity: &Identity<'_>,
    pair: &Pair,
    now: OffsetDateTime,
) -> Result<Account, TokenStoreError> {
    hold(conn, identity.user_id, identity.allegro_seller_id).await?;
    let existing: Option<Account> = sql_query(format!(
        "SELECT {ACCOUNT} FROM user_tokens WHERE user_id = $1 AND allegro_seller_id = $2 FOR NO KEY UPDATE"
    ))
    .bind::<Text, _>(identity.user_id)
    .bind::<Text, _>(identity.allegro_seller_id)
    .get_result(conn)
    .await
    .optional()?;
    let id = existing.as_ref().map_or(fresh_id.as_uuid(), |account| account.id);
    let (access, refresh) = seal(keyring, id, pair)?;
    let statement = sql_query(format!(
        "INSERT INTO user_tokens (id, user_id, account_name, allegro_seller_id, allegro_login, access_token, \
             refresh_token, scopes, expires_at, refresh_expires_at, connected_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
         ON CONFLICT (id) DO UPDATE SET account_name = coalesce(excluded.account_name, user_tokens.account_name), \
             allegro_login = excluded.allegro_login, access_token = excluded.access_token, \
             refresh_token = excluded.refresh_token, scopes = excluded.scopes, expires_at = excluded.expires_at, \
             refresh_expires_at = excluded.refresh_expires_at, needs_reauthorization = false, \
             reauthorization_reason = NULL, refresh_lease_until = NULL, refresh_begun_at = NULL, \
             pair_attempt = NULL, is_active = true, \
             connected_at = CASE WHEN user_tokens.is_active THEN user_tokens.connected_at \
                 ELSE excluded.connected_at END, \
             generation = user_tokens.generation + 1, updated_at = now() \
         RETURNING {ACCOUNT}"
    ))
    .bind::<SqlUuid, _>(id)
    .bind::<Text, _>(identity.user_id)
    .bind::<Nullable<Text>, _>(identity.account_name)
    .bind::<Text, _>(identity.allegro_seller_id)
    .bind::<Text, _>(identity.allegro_login)
    .bind::<Bytea, _>(access)
    .bind::<Bytea, _>(refresh)
    .bind::<Text, _>(&pair.scopes)
    .bind::<Timestamptz, _>(pair.expires_at)
    .bind::<Timestamptz, _>(now + REFRESH_LIFE)
    .bind::<Timestamptz, _>(now);
    Ok(statement.get_result(conn).await?)
}

/// Calls an account by another name, or by none.
///
/// # Errors
/// The database's.
pub(crate) async fn rename(
    conn: &mut pg::Connection,
    id: TokenId,
    name: Option<&str>,
) -> Result<(), pg::Error> {
    sql_query("UPDATE user_tokens SET account_name = $2, updated_at = now() WHERE id = $1")
        .bind::<SqlUuid, _>(id.as_uuid())
        .bind::<Nullable<Text>, _>(name)
        .execute(conn)
        .await?;
    Ok(())
}

/// The seller calls itself something else at Allegro.
///
/// # Errors
/// The database's.
pub(crate) async fn set_login(conn: &mut pg::Connection, id: TokenId, login: &str) -> Result<(), pg::Error> {
    sql_query("UPDATE user_tokens SET allegro_login = $2, updated_at = now() WHERE id = $1")
        .bind::<SqlUuid, _>(id.as_uuid())
        .bind::<Text, _>(login)
        .execute(conn)
        .await?;
    Ok(())
}

/// Notes that only the owner can connect the account again; false when a new pair came meanwhile.
///
/// # Errors
/// The database's.
pub(crate) async fn need_reauthorization(
    conn: &mut pg::Connection,
    (id, generation): (TokenId, i64),
    reason: &str,
) -> Result<bool, pg::Error> {
    let noted = sql_query(
        "UPDATE user_tokens SET needs_reauthorization = true, reauthorization_reason = $3, \
             generation = generation + 1, refresh_lease_until = NULL, refresh_begun_at = NULL, \
             updated_at = now() \
         WHERE id = $1 AND generation = $2 AND NOT needs_reauthorization",
    )
    .bind::<SqlUuid, _>(id.as_uuid())
    .bind::<BigInt, _>(generation)
    .bind::<Text, _>(reason)
    .execute(conn)
    .await?;
    Ok(noted == 1)
}

/// Removes an account: its tasks end at their next step, its orders stay.
///
/// # Errors
/// The database's.
pub(crate) async fn deactivate(conn: &mut pg::Connection, id: TokenId) -> Result<(), pg::Error> {
    sql_query(
        "UPDATE user_tokens SET is_active = false, generation = generation + 1, refresh_lease_until = NULL, \
             refresh_begun_at = NULL, paused_schedules = '{}', updated_at = now() WHERE id = $1",
    )
    .bind::<SqlUuid, _>(id.as_uuid())
    .execute(conn)
    .await?;
    Ok(())
}
