//! Refreshing, one worker at a time: the lease in the token's own row, and what is stored under its fence.

use diesel::sql_types::{BigInt, Bytea, Double, Nullable, Timestamptz, Uuid as SqlUuid};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use domain::TokenId;
use pg::sealed::Keyring;
use time::OffsetDateTime;

use super::{ACCOUNT, Account, Pair, REFRESH_LIFE, TokenStoreError, seal};

/// Allegro takes a refresh token for so many seconds after its first use.
const GRACE: f64 = 60.0;

/// One attempt at refreshing: of which account, from which pair, and the how manieth.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt {
    id: TokenId,
    generation: i64,
    number: i64,
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

/// Writes down that a refresh begins, before Allegro is called. The caller holds the row's lock.
///
/// # Errors
/// The database's.
pub(crate) async fn take_lease(
    conn: &mut pg::Connection,
    (id, generation): (TokenId, i64),
    length: std::time::Duration,
) -> Result<Attempt, pg::Error> {
    // Attempts that follow each other within the grace are one series: Allegro may have heard the first of them.
    let Number { number } = sql_query(
        "UPDATE user_tokens SET refresh_lease_until = now() + $2 * interval '1 second', \
             refresh_attempt = refresh_attempt + 1, updated_at = now(), \
             refresh_begun_at = CASE WHEN refresh_begun_at > now() - $3 * interval '1 second' \
                 THEN refresh_begun_at ELSE now() END \
         WHERE id = $1 RETURNING refresh_attempt AS number",
    )
    .bind::<SqlUuid, _>(id.as_uuid())
    .bind::<Double, _>(length.as_secs_f64())
    .bind::<Double, _>(GRACE)
    .get_result(conn)
    .await?;
    Ok(Attempt { id, generation, number })
}

/// Accounts whose refresh was begun and neither ended nor given back: its worker is dead, or its answer was lost.
///
/// # Errors
/// The database's.
pub(crate) async fn interrupted(conn: &mut pg::Connection) -> Result<Vec<Account>, pg::Error> {
    let found = sql_query(format!(
        "SELECT {ACCOUNT} FROM user_tokens \
         WHERE is_active AND NOT needs_reauthorization AND refresh_lease_until <= now() \
         ORDER BY refresh_lease_until LIMIT 1000"
    ));
    Ok(found.load(conn).await?)
}

/// Accounts whose access token ends before `until`, from the one after `after` on, and whom nobody refreshes.
///
/// # Errors
/// The database's.
pub(crate) async fn expiring(
    conn: &mut pg::Connection,
    until: OffsetDateTime,
    after: Option<TokenId>,
    limit: i64,
) -> Result<Vec<Account>, pg::Error> {
    let found = sql_query(format!(
        "SELECT {ACCOUNT} FROM user_tokens \
         WHERE is_active AND NOT needs_reauthorization AND expires_at < $1 AND ($2 IS NULL OR id > $2) \
             AND coalesce(refresh_lease_until < now(), true) \
         ORDER BY id LIMIT $3"
    ))
    .bind::<Timestamptz, _>(until)
    .bind::<Nullable<SqlUuid>, _>(after.map(TokenId::as_uuid))
    .bind::<BigInt, _>(limit);
    Ok(found.load(conn).await?)
}

/// Gives the lease back after a refresh that Allegro has refused for now: the pair is as it was.
///
/// # Errors
/// The database's.
pub(crate) async fn give_lease_back(conn: &mut pg::Connection, attempt: Attempt) -> Result<(), pg::Error> {
    sql_query(
        "UPDATE user_tokens SET refresh_lease_until = NULL, refresh_begun_at = NULL \
         WHERE id = $1 AND refresh_attempt = $2",
    )
    .bind::<SqlUuid, _>(attempt.id.as_uuid())
    .bind::<BigInt, _>(attempt.number)
    .execute(conn)
    .await?;
    Ok(())
}

/// Ends the lease of a refresh whose answer never came. Within the grace [`interrupted`] finds it; afterwards the next
/// call tries again.
///
/// # Errors
/// The database's.
pub(crate) async fn leave_unanswered(conn: &mut pg::Connection, attempt: Attempt) -> Result<(), pg::Error> {
    sql_query(
        "UPDATE user_tokens SET updated_at = now(), refresh_lease_until = \
             CASE WHEN refresh_begun_at > now() - $3 * interval '1 second' THEN now() END \
         WHERE id = $1 AND refresh_attempt = $2",
    )
    .bind::<SqlUuid, _>(attempt.id.as_uuid())
    .bind::<BigInt, _>(attempt.number)
    .bind::<Double, _>(GRACE)
    .execute(conn)
    .await?;
    Ok(())
}

/// Stores the pair an attempt gave; false when a newer one is stored. Of two attempts from the same pair the later one's
/// stays, whoever comes first: Allegro takes back what it gave before.
///
/// # Errors
/// The database's or the keys'.
pub(crate) async fn store_refreshed(
    conn: &mut pg::Connection,
    keyring: &Keyring,
    attempt: Attempt,
    pair: &Pair,
    now: OffsetDateTime,
) -> Result<bool, TokenStoreError> {
    let row = attempt.id.as_uuid();
    let (access, refresh) = seal(keyring, row, pair)?;
    let stored = sql_query(
        "UPDATE user_tokens SET access_token = $4, refresh_token = $5, expires_at = $6, refresh_expires_at = $7, \
             last_refreshed_at = $8, generation = generation + 1, pair_attempt = $3, updated_at = now(), \
             refresh_lease_until = CASE WHEN refresh_attempt = $3 THEN NULL ELSE refresh_lease_until END, \
             refresh_begun_at = CASE WHEN refresh_attempt = $3 THEN NULL ELSE refresh_begun_at END \
         WHERE id = $1 AND is_active AND NOT needs_reauthorization \
             AND (generation = $2 OR generation = $2 + 1 AND pair_attempt < $3)",
    )
    .bind::<SqlUuid, _>(row)
    .bind::<BigInt, _>(attempt.generation)
    .bind::<BigInt, _>(attempt.number)
    .bind::<Bytea, _>(access)
    .bind::<Bytea, _>(refresh)
    .bind::<Timestamptz, _>(pair.expires_at)
    .bind::<Timestamptz, _>(now + REFRESH_LIFE)
    .bind::<Timestamptz, _>(now)
    .execute(conn)
    .await?;
    Ok(stored == 1)
}
