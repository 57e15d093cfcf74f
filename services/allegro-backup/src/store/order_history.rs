//! What was known of an order earlier, and what Allegro's journal said of it.

use diesel::sql_types::{BigInt, Bool, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use domain::TokenId;
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::version_key::VersionKey;

/// A content of an order, without the content.
#[derive(Debug, QueryableByName)]
pub(crate) struct Version {
    /// Its number; none for a content that came when a newer one was already there.
    #[diesel(sql_type = Nullable<BigInt>)]
    pub(crate) version: Option<i64>,
    /// Allegro's version mark.
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) revision: Option<String>,
    /// When the request that brought it was started.
    #[diesel(sql_type = Timestamptz)]
    pub(crate) seen_at: OffsetDateTime,
    /// How it came.
    #[diesel(sql_type = Text)]
    pub(crate) source: String,
    /// It is how the order stands.
    #[diesel(sql_type = Bool)]
    pub(crate) is_current: bool,
    /// Tells contents of one moment apart.
    #[diesel(sql_type = BigInt)]
    pub(crate) seq: i64,
}

/// An event of Allegro's journal.
#[derive(Debug, QueryableByName)]
pub(crate) struct JournalEvent {
    /// Allegro's id.
    #[diesel(sql_type = Text)]
    pub(crate) event_id: String,
    /// What happened.
    #[diesel(sql_type = Text, column_name = "type")]
    pub(crate) kind: String,
    /// When.
    #[diesel(sql_type = Timestamptz)]
    pub(crate) occurred_at: OffsetDateTime,
    /// Another event had said the same.
    #[diesel(sql_type = Bool)]
    pub(crate) is_duplicate: bool,
    /// When we read it.
    #[diesel(sql_type = Timestamptz)]
    pub(crate) received_at: OffsetDateTime,
    /// As Allegro sent it.
    #[diesel(sql_type = Jsonb)]
    pub(crate) event_data: Value,
    /// Tells events of one moment apart.
    #[diesel(sql_type = BigInt)]
    pub(crate) seq: i64,
}

#[derive(QueryableByName)]
struct Content {
    #[diesel(sql_type = Text)]
    order_data: String,
}

/// The contents of an order, the latest first; `after` is the last one already seen.
///
/// # Errors
/// The database's.
pub(crate) async fn versions(
    conn: &mut pg::Connection,
    order: Uuid,
    after: Option<(OffsetDateTime, i64)>,
    limit: i64,
) -> Result<Vec<Version>, pg::Error> {
    let (after_at, after_seq) = after.unzip();
    let found = sql_query(
        "SELECT * FROM ( \
             SELECT version, revision, seen_at, source, false AS is_current, seq FROM order_versions WHERE order_id = $1 \
             UNION ALL \
             SELECT version, revision, asked_at, source, true, 9223372036854775807 FROM orders WHERE id = $1 \
         ) AS contents \
         WHERE $2 IS NULL OR (seen_at, seq) < ($2, $3) ORDER BY seen_at DESC, seq DESC LIMIT $4",
    )
    .bind::<SqlUuid, _>(order)
    .bind::<Nullable<Timestamptz>, _>(after_at)
    .bind::<Nullable<BigInt>, _>(after_seq)
    .bind::<BigInt, _>(limit);
    Ok(found.load(conn).await?)
}

impl Version {
    /// What it is asked for by.
    pub(crate) fn key(&self) -> VersionKey {
        self.version.map_or(VersionKey::Late(self.seq), VersionKey::Number)
    }
}

/// One content of an order, as JSON.
///
/// # Errors
/// The database's.
pub(crate) async fn content(
    conn: &mut pg::Connection,
    order: Uuid,
    version: VersionKey,
) -> Result<Option<String>, pg::Error> {
    let (number, late) = match version {
        VersionKey::Number(number) => (Some(number), None),
        VersionKey::Late(seq) => (None, Some(seq)),
    };
    let found: Option<Content> = sql_query(
        "SELECT order_data::text AS order_data FROM orders WHERE id = $1 AND version = $2 \
         UNION ALL \
         SELECT order_data::text FROM order_versions WHERE order_id = $1 AND version = $2 \
         UNION ALL \
         SELECT order_data::text FROM order_versions WHERE order_id = $1 AND seq = $3 AND version IS NULL",
    )
    .bind::<SqlUuid, _>(order)
    .bind::<Nullable<BigInt>, _>(number)
    .bind::<Nullable<BigInt>, _>(late)
    .get_result(conn)
    .await
    .optional()?;
    Ok(found.map(|content| content.order_data))
}

/// What the journal of an account said of an order, the latest first; `after` is the last one already seen.
///
/// # Errors
/// The database's.
pub(crate) async fn events(
    conn: &mut pg::Connection,
    (token_id, order_id): (TokenId, &str),
    after: Option<(OffsetDateTime, i64)>,
    limit: i64,
) -> Result<Vec<JournalEvent>, pg::Error> {
    let (after_at, after_seq) = after.unzip();
    let found = sql_query(
        "SELECT event_id, type, occurred_at, is_duplicate, received_at, event_data, seq FROM order_events \
         WHERE token_id = $1 AND allegro_order_id = $2 AND ($3 IS NULL OR (occurred_at, seq) < ($3, $4)) \
         ORDER BY occurred_at DESC, seq DESC LIMIT $5",
    )
    .bind::<SqlUuid, _>(token_id.as_uuid())
    .bind::<Text, _>(order_id)
    .bind::<Nullable<Timestamptz>, _>(after_at)
    .bind::<Nullable<BigInt>, _>(after_seq)
    .bind::<BigInt, _>(limit);
    Ok(found.load(conn).await?)
}
