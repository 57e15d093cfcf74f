//! Refreshing, one worker at a time: the lease in the token's own row, and what is stored under its fence.

use diesel::sql_query;
use diesel::sql_types::{BigInt, Bytea, Double, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use domain::TokenId;
use pg::sealed::Keyring;
use time::OffsetDateTime;

use super::{ACCOUNT, Account, Pair, REFRESH_LIFE, TokenStoreError, seal};

/// Writes down that a refresh begins, before Allegro is called.
///
/// # Errors
/// The database's.
pub(crate) async fn take_lease(
    conn: &mut pg::Connection,
    id: TokenId,
    length: std::time::Duration,
) -> Result<(), pg::Error> {
    sql_query(
        "UPDATE user_tokens SET refresh_lease_until = now() + $2 * interval '1 second', updated_at = now() \
         WHERE id = $1",
    )
    .bind::<SqlUuid, _>(id.as_uuid())
    .bind::<Double, _>(length.as_secs_f64())
    .execute(conn)
    .await?;
    Ok(())
}

/// Accounts whose refresh was begun and neither ended nor given back: its worker is dead.
///
/// # Errors
/// The database's.
pub(crate) async fn interrupted(conn: &mut pg::Connection) -> Result<Vec<Account>, pg::Error> {
    let found = sql_query(format!(
        "SELECT {ACCOUNT} FROM user_tokens \
         WHERE is_active AND NOT needs_reauthorization AND refresh_lease_until < now()"
    ));
    Ok(found.load(conn).await?)
}

/// Gives the lease back after a refresh that came to nothing.
///
/// # Errors
/// The database's.
pub(crate) async fn give_lease_back(
    conn: &mut pg::Connection,
    id: TokenId,
    generation: i64,
) -> Result<(), pg::Error> {
    sql_query("UPDATE user_tokens SET refresh_lease_until = NULL WHERE id = $1 AND generation = $2")
        .bind::<SqlUuid, _>(id.as_uuid())
        .bind::<BigInt, _>(generation)
        .execute(conn)
        .await?;
    Ok(())
}

/// Stores the pair a refresh gave; false when another has stored one meanwhile.
///
/// # Errors
/// The database's or the keys'.
pub(crate) async fn store_refreshed(
    conn: &mut pg::Connection,
    keyring: &Keyring,
    (id, generation): (TokenId, i64),
    pair: &Pair,
    now: OffsetDateTime,
) -> Result<bool, TokenStoreError> {
    let row = id.as_uuid();
    let (access, refresh) = seal(keyring, row, pair)?;
    let stored = sql_query(
        "UPDATE user_tokens SET access_token = $3, refresh_token = $4, expires_at = $5, refresh_expires_at = $6, \
             last_refreshed_at = $7, generation = generation + 1, refresh_lease_until = NULL, updated_at = now() \
         WHERE id = $1 AND generation = $2",
    )
    .bind::<SqlUuid, _>(row)
    .bind::<BigInt, _>(generation)
    .bind::<Bytea, _>(access)
    .bind::<Bytea, _>(refresh)
    .bind::<Timestamptz, _>(pair.expires_at)
    .bind::<Timestamptz, _>(now + REFRESH_LIFE)
    .bind::<Timestamptz, _>(now)
    .execute(conn)
    .await?;
    Ok(stored == 1)
}
