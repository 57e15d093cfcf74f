//! Table `idempotency_keys`: stored answers.

mod schema;

use diesel::sql_types::{Bool, Bytea, Int4, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use time::OffsetDateTime;
use uuid::Uuid;

/// A stored answer.
#[derive(Debug, QueryableByName)]
pub(crate) struct StoredAnswer {
    #[diesel(sql_type = Bytea)]
    pub(crate) request_hash: Vec<u8>,
    #[diesel(sql_type = Int4)]
    pub(crate) status: i32,
    /// Sealed.
    #[diesel(sql_type = Bytea)]
    pub(crate) body: Vec<u8>,
}

#[derive(QueryableByName)]
struct Locked {
    #[diesel(sql_type = Bool)]
    is_ours: bool,
}

/// Locks an id until the transaction ends. False when another transaction holds the lock.
///
/// Advisory locks are shared by the whole database, so that the schema is part of the key.
pub(crate) async fn try_lock(conn: &mut pg::Connection, id: Uuid) -> Result<bool, pg::Error> {
    let taken: Locked = sql_query(
        "SELECT pg_try_advisory_xact_lock(hashtextextended(current_schema() || '.idempotency_keys.' || $1, 0)) \
             AS is_ours",
    )
    .bind::<Text, _>(id.to_string())
    .get_result(conn)
    .await?;
    Ok(taken.is_ours)
}

/// The stored answer of an id, unless it has expired.
pub(crate) async fn find(
    conn: &mut pg::Connection,
    id: Uuid,
    now: OffsetDateTime,
) -> Result<Option<StoredAnswer>, pg::Error> {
    let found = sql_query("SELECT * FROM idempotency_keys WHERE id = $1 AND expires_at > $2")
        .bind::<SqlUuid, _>(id)
        .bind::<Timestamptz, _>(now);
    Ok(found.get_result(conn).await.optional()?)
}

/// Stores an answer, replacing an expired one.
pub(crate) async fn keep(
    conn: &mut pg::Connection,
    id: Uuid,
    answer: &StoredAnswer,
    now: OffsetDateTime,
    until: OffsetDateTime,
) -> Result<(), pg::Error> {
    sql_query(
        "INSERT INTO idempotency_keys (id, request_hash, status, body, created_at, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT (id) DO UPDATE SET request_hash = excluded.request_hash, status = excluded.status, \
             body = excluded.body, created_at = excluded.created_at, expires_at = excluded.expires_at",
    )
    .bind::<SqlUuid, _>(id)
    .bind::<Bytea, _>(&answer.request_hash)
    .bind::<Int4, _>(answer.status)
    .bind::<Bytea, _>(&answer.body)
    .bind::<Timestamptz, _>(now)
    .bind::<Timestamptz, _>(until)
    .execute(conn)
    .await?;
    Ok(())
}
