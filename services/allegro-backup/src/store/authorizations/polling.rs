//! Polling a device flow: one worker at a time, what it brings, and how it ends.

use diesel::sql_types::{Bool, Bytea, Double, Int4, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use domain::{AuthorizationId, TokenId};
use pg::sealed::Keyring;
use secrecy::ExposeSecret;
use time::OffsetDateTime;

use super::{Authorization, place};
use crate::store::tokens::{Pair, TokenStoreError};

/// Whose turn it is to poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Ours.
    Ours,
    /// Ours, and the answer of the one before was never seen.
    AfterLost,
    /// Another worker asks just now.
    Anothers,
}

/// Takes the turn to poll a pending device flow that has no tokens yet, unless another worker has it. The row stays
/// locked until the transaction ends.
///
/// # Errors
/// The database's.
pub(crate) async fn take_turn(
    conn: &mut pg::Connection,
    id: AuthorizationId,
    length: std::time::Duration,
) -> Result<(Option<Authorization>, Turn), pg::Error> {
    let found: Option<Polled> = sql_query(
        "SELECT *, poll_lease_until IS NOT NULL AS was_begun, coalesce(poll_lease_until > now(), false) AS is_leased \
         FROM authorizations WHERE id = $1 FOR NO KEY UPDATE",
    )
    .bind::<SqlUuid, _>(id.as_uuid())
    .get_result(conn)
    .await
    .optional()?;
    let Some(Polled { authorization, was_begun, is_leased }) = found else {
        return Ok((None, Turn::Anothers));
    };
    if is_leased {
        return Ok((Some(authorization), Turn::Anothers));
    }
    sql_query("UPDATE authorizations SET poll_lease_until = now() + $2 * interval '1 second' WHERE id = $1")
        .bind::<SqlUuid, _>(id.as_uuid())
        .bind::<Double, _>(length.as_secs_f64())
        .execute(conn)
        .await?;
    Ok((Some(authorization), if was_begun { Turn::AfterLost } else { Turn::Ours }))
}

#[derive(QueryableByName)]
struct Polled {
    #[diesel(embed)]
    authorization: Authorization,
    #[diesel(sql_type = Bool)]
    was_begun: bool,
    #[diesel(sql_type = Bool)]
    is_leased: bool,
}

/// Ends a turn that brought no tokens, and says how often to poll from now on. One without an answer is remembered:
/// Allegro may have given the tokens all the same.
///
/// # Errors
/// The database's.
pub(crate) async fn end_turn(
    conn: &mut pg::Connection,
    id: AuthorizationId,
    poll_seconds: i32,
    is_answered: bool,
) -> Result<(), pg::Error> {
    sql_query(
        "UPDATE authorizations SET poll_seconds = $2, updated_at = now(), \
             poll_lease_until = CASE WHEN $3 THEN NULL ELSE now() END \
         WHERE id = $1",
    )
    .bind::<SqlUuid, _>(id.as_uuid())
    .bind::<Int4, _>(poll_seconds)
    .bind::<Bool, _>(is_answered)
    .execute(conn)
    .await?;
    Ok(())
}

/// Keeps the tokens a poll has brought, though the flow may have been given up meanwhile: then it is pending again, and
/// taken up by whoever looks for what is forgotten.
///
/// # Errors
/// The database's or the keys'.
pub(crate) async fn keep_pair(
    conn: &mut pg::Connection,
    keyring: &Keyring,
    id: AuthorizationId,
    pair: &Pair,
) -> Result<(), TokenStoreError> {
    let row = id.as_uuid();
    let access = keyring.seal(&place(row, "access_token"), pair.access.expose_secret().as_bytes())?;
    let refresh = keyring.seal(&place(row, "refresh_token"), pair.refresh.expose_secret().as_bytes())?;
    sql_query(
        "UPDATE authorizations SET access_token = $2, refresh_token = $3, scopes = $4, access_expires_at = $5, \
             status = 'pending', error = NULL, poll_lease_until = NULL, updated_at = now() \
         WHERE id = $1 AND status <> 'completed'",
    )
    .bind::<SqlUuid, _>(row)
    .bind::<Bytea, _>(access)
    .bind::<Bytea, _>(refresh)
    .bind::<Text, _>(&pair.scopes)
    .bind::<Timestamptz, _>(pair.expires_at)
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes down that a device flow came to an account.
///
/// # Errors
/// The database's.
pub(crate) async fn complete(
    conn: &mut pg::Connection,
    id: AuthorizationId,
    token_id: TokenId,
) -> Result<(), pg::Error> {
    sql_query(
        "UPDATE authorizations SET status = 'completed', token_id = $2, access_token = NULL, refresh_token = NULL, \
             updated_at = now() \
         WHERE id = $1 AND status = 'pending'",
    )
    .bind::<SqlUuid, _>(id.as_uuid())
    .bind::<SqlUuid, _>(token_id.as_uuid())
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes down why a device flow came to no account; false when tokens were kept since it was read.
///
/// # Errors
/// The database's.
pub(crate) async fn end(
    conn: &mut pg::Connection,
    read: &Authorization,
    status: &str,
    error: &str,
) -> Result<bool, pg::Error> {
    let ended = sql_query(
        "UPDATE authorizations SET status = $2, error = $3, access_token = NULL, refresh_token = NULL, \
             updated_at = now() \
         WHERE id = $1 AND status = 'pending' AND access_token IS NOT DISTINCT FROM $4",
    )
    .bind::<SqlUuid, _>(read.id)
    .bind::<Text, _>(status)
    .bind::<Text, _>(error)
    .bind::<Nullable<Bytea>, _>(read.access_token.as_deref())
    .execute(conn)
    .await?;
    Ok(ended == 1)
}

/// Pending device flows, with their users, whose task has failed: nobody polls them, or finishes what a poll brought.
/// One that was called off stays so.
///
/// # Errors
/// The database's.
pub(crate) async fn forgotten(
    conn: &mut pg::Connection,
) -> Result<Vec<(AuthorizationId, String)>, pg::Error> {
    let found = sql_query(
        "SELECT * FROM authorizations a WHERE a.status = 'pending' AND NOT EXISTS ( \
             SELECT 1 FROM task_history h WHERE h.queue = 'authorization_' || a.id \
                 AND h.status IN ('queued', 'running', 'retrying', 'cancelled'))",
    );
    let rows: Vec<Authorization> = found.load(conn).await?;
    Ok(rows.into_iter().map(|row| (row.id(), row.user_id)).collect())
}

/// Ends device flows whose code has run out and whom nobody polls: their task was called off.
///
/// # Errors
/// The database's.
pub(crate) async fn expire(conn: &mut pg::Connection, now: OffsetDateTime) -> Result<(), pg::Error> {
    sql_query(
        "UPDATE authorizations a SET status = 'expired', error = 'nobody asked for its tokens in time', \
             updated_at = now() \
         WHERE status = 'pending' AND access_token IS NULL AND expires_at < $1 AND NOT EXISTS ( \
             SELECT 1 FROM task_history h WHERE h.queue = 'authorization_' || a.id \
                 AND h.status IN ('queued', 'running', 'retrying'))",
    )
    .bind::<Timestamptz, _>(now)
    .execute(conn)
    .await?;
    Ok(())
}
