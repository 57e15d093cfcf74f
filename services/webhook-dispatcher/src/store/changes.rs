//! `webhook_subscriptions`, written.

use diesel::sql_types::{Array, Bool, Bytea, Int4, Json, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, sql_query};
use diesel_async::RunQueryDsl;
use domain::SubscriptionId;
use time::OffsetDateTime;

use super::raw_json::RawJson;
use super::subscriptions::Subscription;
use crate::domain::receiver_url;
use crate::domain::settings::Settings;

/// The sealed settings. For headers and certificate, `None` keeps the stored value and `Some(None)` removes it.
#[derive(Debug)]
#[expect(clippy::option_option, reason = "left alone, taken away and replaced are three wishes")]
pub(crate) struct SealedSettings {
    pub(crate) path_and_query: Vec<u8>,
    pub(crate) headers: Option<Option<Vec<u8>>>,
    pub(crate) client_certificate: Option<Option<Vec<u8>>>,
}

/// Writes a new subscription, with nothing but its key; its settings follow in the same transaction.
pub(crate) async fn insert(
    conn: &mut pg::Connection,
    id: SubscriptionId,
    owner: Option<&str>,
    sealed_key: Vec<u8>,
    now: OffsetDateTime,
) -> Result<(), pg::Error> {
    sql_query(
        "INSERT INTO webhook_subscriptions \
             (id, owner, secret, origin, path_and_query, events, timeout_seconds, created_at, updated_at) \
         VALUES ($1, $2, $3, '', '', '{}', 1, $4, $4)",
    )
    .bind::<SqlUuid, _>(id.as_uuid())
    .bind::<Nullable<Text>, _>(owner)
    .bind::<Bytea, _>(sealed_key)
    .bind::<Timestamptz, _>(now)
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes a subscription's settings. Made active again it begins as if it had never failed.
pub(crate) async fn update(
    conn: &mut pg::Connection,
    id: SubscriptionId,
    settings: &Settings,
    sealed: SealedSettings,
    now: OffsetDateTime,
) -> Result<Option<Subscription>, pg::Error> {
    let statement = sql_query(
        "UPDATE webhook_subscriptions SET origin = $2, path_and_query = $24, events = $3, name = $4, \
             description = $5, api_version = $6, retry_count = $7, retry_schedule = $8, \
             timeout_seconds = $9, rate_limit_per_second = $10, \
             max_concurrency = $11, ordered = $12, ordering_key = $13, payload_style = $14, seed_signature = $15, \
             custom_ca = $16, headers = CASE WHEN $17 THEN $18 ELSE headers END, \
             client_certificate = CASE WHEN $19 THEN $20 ELSE client_certificate END, \
             is_active = $21, updated_at = $22, filter = $23, \
             disabled_at = CASE WHEN $21 THEN NULL ELSE disabled_at END, \
             disabled_reason = CASE WHEN $21 THEN NULL ELSE disabled_reason END, \
             consecutive_failures = CASE WHEN $21 AND NOT is_active THEN 0 ELSE consecutive_failures END, \
             first_failure_at = CASE WHEN $21 AND NOT is_active THEN NULL ELSE first_failure_at END, \
             circuit_state = CASE WHEN $21 AND NOT is_active THEN 'closed' ELSE circuit_state END, \
             circuit_until = CASE WHEN $21 AND NOT is_active THEN NULL ELSE circuit_until END, \
             circuit_openings = CASE WHEN $21 AND NOT is_active THEN 0 ELSE circuit_openings END \
         WHERE id = $1 AND deleted_at IS NULL RETURNING *",
    )
    .bind::<SqlUuid, _>(id.as_uuid())
    .bind::<Text, _>(receiver_url::split(&settings.url).0)
    .bind::<Array<Text>, _>(&settings.events)
    .bind::<Nullable<Text>, _>(&settings.name)
    .bind::<Nullable<Text>, _>(&settings.description)
    .bind::<Text, _>(&settings.api_version)
    .bind::<Nullable<Int4>, _>(settings.retry_count)
    .bind::<Nullable<Array<Int4>>, _>(&settings.retry_schedule)
    .bind::<Int4, _>(settings.timeout_seconds)
    .bind::<Nullable<Int4>, _>(settings.rate_limit_per_second)
    .bind::<Nullable<Int4>, _>(settings.max_concurrency)
    .bind::<Bool, _>(settings.ordered)
    .bind::<Nullable<Text>, _>(&settings.ordering_key)
    .bind::<Text, _>(settings.payload_style.as_str())
    .bind::<Bool, _>(settings.seed_signature)
    .bind::<Nullable<Text>, _>(&settings.custom_ca)
    .bind::<Bool, _>(sealed.headers.is_some())
    .bind::<Nullable<Bytea>, _>(sealed.headers.flatten())
    .bind::<Bool, _>(sealed.client_certificate.is_some())
    .bind::<Nullable<Bytea>, _>(sealed.client_certificate.flatten())
    .bind::<Bool, _>(settings.is_active)
    .bind::<Timestamptz, _>(now)
    .bind::<Nullable<Json>, _>(settings.filter.clone().map(RawJson))
    .bind::<Bytea, _>(sealed.path_and_query);
    Ok(statement.get_result(conn).await.optional()?)
}

/// Puts another key in the place of the present one; none when it is not there.
pub(crate) async fn replace_key(
    conn: &mut pg::Connection,
    id: SubscriptionId,
    sealed_key: Vec<u8>,
    sealed_previous: Vec<u8>,
    now: OffsetDateTime,
) -> Result<Option<Subscription>, pg::Error> {
    let statement = sql_query(
        "UPDATE webhook_subscriptions SET secret = $2, previous_secrets = $3, updated_at = $4 \
         WHERE id = $1 AND deleted_at IS NULL RETURNING *",
    )
    .bind::<SqlUuid, _>(id.as_uuid())
    .bind::<Bytea, _>(sealed_key)
    .bind::<Bytea, _>(sealed_previous)
    .bind::<Timestamptz, _>(now);
    Ok(statement.get_result(conn).await.optional()?)
}

/// Removes a subscription; its history stays, and what is on its way to it is called off in the background. False when
/// it is not there.
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
    Ok(deleted == 1)
}
