//! Table `idempotency_keys`: stored answers.

mod schema;

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Bool, Text};
use diesel_async::RunQueryDsl;
use time::OffsetDateTime;
use uuid::Uuid;

use self::schema::idempotency_keys;

/// A stored answer.
#[derive(Debug, Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = idempotency_keys, check_for_backend(Pg))]
pub(crate) struct StoredAnswer {
    pub(crate) request_hash: Vec<u8>,
    pub(crate) status: i32,
    /// Sealed.
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
    let found = idempotency_keys::table.find(id).filter(idempotency_keys::expires_at.gt(now));
    Ok(found.select(StoredAnswer::as_select()).first(conn).await.optional()?)
}

/// Stores an answer, replacing an expired one.
pub(crate) async fn keep(
    conn: &mut pg::Connection,
    id: Uuid,
    answer: &StoredAnswer,
    now: OffsetDateTime,
    until: OffsetDateTime,
) -> Result<(), pg::Error> {
    let times = (idempotency_keys::created_at.eq(now), idempotency_keys::expires_at.eq(until));
    diesel::insert_into(idempotency_keys::table)
        .values((idempotency_keys::id.eq(id), answer, times))
        .on_conflict(idempotency_keys::id)
        .do_update()
        .set((answer, times))
        .execute(conn)
        .await?;
    Ok(())
}
