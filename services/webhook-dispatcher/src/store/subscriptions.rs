//! `webhook_subscriptions`.

use diesel::sql_types::{Array, BigInt, Bool, Bytea, Int4, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use domain::SubscriptionId;
use pg::SealedTable;
use pg::sealed::{Keyring, Place, SealError};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::signature::SigningKey;

/// A subscription.
#[derive(Debug, Clone, QueryableByName)]
pub(crate) struct Subscription {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) owner: Option<String>,
    #[diesel(sql_type = Text)]
    pub(crate) url: String,
    #[diesel(sql_type = Array<Text>)]
    pub(crate) events: Vec<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) description: Option<String>,
    #[diesel(sql_type = Bytea)]
    secret: Vec<u8>,
    #[diesel(sql_type = Nullable<Int4>)]
    pub(crate) retry_count: Option<i32>,
    #[diesel(sql_type = Int4)]
    pub(crate) timeout_seconds: i32,
    #[diesel(sql_type = Bool)]
    pub(crate) is_active: bool,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub(crate) disabled_at: Option<OffsetDateTime>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) disabled_reason: Option<String>,
    #[diesel(sql_type = Timestamptz)]
    pub(crate) created_at: OffsetDateTime,
    #[diesel(sql_type = Timestamptz)]
    pub(crate) updated_at: OffsetDateTime,
}

/// What its owner decides about a subscription.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) url: String,
    pub(crate) events: Vec<String>,
    pub(crate) description: Option<String>,
    pub(crate) retry_count: Option<i32>,
    pub(crate) timeout_seconds: i32,
    pub(crate) is_active: bool,
}

impl Subscription {
    pub(crate) fn id(&self) -> SubscriptionId {
        self.id.into()
    }

    pub(crate) fn signing_key(&self, keyring: &Keyring) -> Result<SigningKey, SealError> {
        Ok(SigningKey::from_bytes(keyring.open(&place(self.id), &self.secret)?))
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings {
            url: self.url.clone(),
            events: self.events.clone(),
            description: self.description.clone(),
            retry_count: self.retry_count,
            timeout_seconds: self.timeout_seconds,
            is_active: self.is_active,
        }
    }
}

/// What is sealed here.
pub(super) const SEALED: SealedTable = SealedTable { table: "webhook_subscriptions", columns: &["secret"] };

fn place(row: Uuid) -> Place {
    SEALED.place("secret", row)
}

/// Seals a subscription's key for its row.
pub(crate) fn seal(keyring: &Keyring, id: SubscriptionId, key: &SigningKey) -> Result<Vec<u8>, SealError> {
    keyring.seal(&place(id.as_uuid()), key.bytes())
}

pub(crate) async fn insert(
    conn: &mut pg::Connection,
    id: SubscriptionId,
    owner: Option<&str>,
    settings: &Settings,
    sealed_secret: Vec<u8>,
    now: OffsetDateTime,
) -> Result<Subscription, pg::Error> {
    let statement = sql_query(
        "INSERT INTO webhook_subscriptions (id, owner, url, events, description, secret, retry_count, \
             timeout_seconds, is_active, created_at, updated_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10) RETURNING *",
    )
    .bind::<SqlUuid, _>(id.as_uuid())
    .bind::<Nullable<Text>, _>(owner)
    .bind::<Text, _>(&settings.url)
    .bind::<Array<Text>, _>(&settings.events)
    .bind::<Nullable<Text>, _>(&settings.description)
    .bind::<Bytea, _>(sealed_secret)
    .bind::<Nullable<Int4>, _>(settings.retry_count)
    .bind::<Int4, _>(settings.timeout_seconds)
    .bind::<Bool, _>(settings.is_active)
    .bind::<Timestamptz, _>(now);
    Ok(statement.get_result(conn).await?)
}

/// Changes a subscription. Making it active again forgets why it was disabled.
pub(crate) async fn update(
    conn: &mut pg::Connection,
    id: SubscriptionId,
    settings: &Settings,
    now: OffsetDateTime,
) -> Result<Option<Subscription>, pg::Error> {
    let statement = sql_query(
        "UPDATE webhook_subscriptions SET url = $2, events = $3, description = $4, retry_count = $5, \
             timeout_seconds = $6, is_active = $7, updated_at = $8, \
             disabled_at = CASE WHEN $7 THEN NULL ELSE disabled_at END, \
             disabled_reason = CASE WHEN $7 THEN NULL ELSE disabled_reason END \
         WHERE id = $1 AND deleted_at IS NULL RETURNING *",
    )
    .bind::<SqlUuid, _>(id.as_uuid())
    .bind::<Text, _>(&settings.url)
    .bind::<Array<Text>, _>(&settings.events)
    .bind::<Nullable<Text>, _>(&settings.description)
    .bind::<Nullable<Int4>, _>(settings.retry_count)
    .bind::<Int4, _>(settings.timeout_seconds)
    .bind::<Bool, _>(settings.is_active)
    .bind::<Timestamptz, _>(now);
    Ok(statement.get_result(conn).await.optional()?)
}

pub(crate) async fn find(
    conn: &mut pg::Connection,
    id: SubscriptionId,
) -> Result<Option<Subscription>, pg::Error> {
    let statement = sql_query("SELECT * FROM webhook_subscriptions WHERE id = $1 AND deleted_at IS NULL")
        .bind::<SqlUuid, _>(id.as_uuid());
    Ok(statement.get_result(conn).await.optional()?)
}

/// The subscription, its row locked.
pub(crate) async fn lock(
    conn: &mut pg::Connection,
    id: SubscriptionId,
) -> Result<Option<Subscription>, pg::Error> {
    let statement =
        sql_query("SELECT * FROM webhook_subscriptions WHERE id = $1 AND deleted_at IS NULL FOR UPDATE")
            .bind::<SqlUuid, _>(id.as_uuid());
    Ok(statement.get_result(conn).await.optional()?)
}

/// Subscriptions of one owner, or of everybody, newest first.
pub(crate) async fn list(
    conn: &mut pg::Connection,
    owner: Option<&str>,
    after: Option<(OffsetDateTime, Uuid)>,
    limit: i64,
) -> Result<Vec<Subscription>, pg::Error> {
    let (after_date, after_id) = after.unzip();
    let statement = sql_query(
        "SELECT * FROM webhook_subscriptions WHERE deleted_at IS NULL AND ($1 IS NULL OR owner = $1) \
             AND ($2 IS NULL OR (created_at, id) < ($2, $3)) \
         ORDER BY created_at DESC, id DESC LIMIT $4",
    )
    .bind::<Nullable<Text>, _>(owner)
    .bind::<Nullable<Timestamptz>, _>(after_date)
    .bind::<Nullable<SqlUuid>, _>(after_id)
    .bind::<BigInt, _>(limit);
    Ok(statement.load(conn).await?)
}

/// Removes a subscription and calls off what is on its way to it; its history stays. False when it is not there.
pub(crate) async fn delete(
    conn: &mut pg::Connection,
    id: SubscriptionId,
    now: OffsetDateTime,
) -> Result<bool, pg::Error> {
    let deleted = sql_query(
        "UPDATE webhook_subscriptions SET deleted_at = $2, is_active = false, updated_at = $2 \
         WHERE id = $1 AND deleted_at IS NULL",
    )
    .bind::<SqlUuid, _>(id.as_uuid())
    .bind::<Timestamptz, _>(now)
    .execute(conn)
    .await?;
    sql_query(
        "UPDATE webhook_deliveries SET status = 'cancelled', next_attempt_at = NULL, claim = claim + 1, \
             error_message = 'the subscription was deleted', updated_at = $2 \
         WHERE subscription_id = $1 AND status IN ('pending', 'delivering')",
    )
    .bind::<SqlUuid, _>(id.as_uuid())
    .bind::<Timestamptz, _>(now)
    .execute(conn)
    .await?;
    Ok(deleted == 1)
}
