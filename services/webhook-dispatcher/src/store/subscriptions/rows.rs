//! Rows of `webhook_subscriptions` and `webhook_credentials`.

use diesel::pg::Pg;
use diesel::prelude::{Insertable, Queryable, Selectable};
use time::OffsetDateTime;
use uuid::Uuid;

use super::Subscription;
use crate::domain::settings::PayloadStyle;
use crate::store::health::HealthRow;
use crate::store::raw_json::RawJson;
use crate::store::schema::{webhook_credentials, webhook_subscriptions};

diesel::joinable!(webhook_credentials -> webhook_subscriptions (id));
diesel::allow_tables_to_appear_in_same_query!(webhook_credentials, webhook_subscriptions);

/// The settings and the health of a subscription.
#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = webhook_subscriptions, check_for_backend(Pg))]
pub(super) struct SubscriptionRow {
    id: Uuid,
    owner: Option<String>,
    name: Option<String>,
    description: Option<String>,
    origin: String,
    events: Vec<String>,
    filter: Option<RawJson>,
    api_version: String,
    retry_count: Option<i32>,
    retry_schedule: Option<Vec<i32>>,
    timeout_seconds: i32,
    rate_limit_per_second: Option<i32>,
    max_concurrency: Option<i32>,
    ordered: bool,
    ordering_key: Option<String>,
    payload_style: String,
    seed_signature: bool,
    is_active: bool,
    disabled_at: Option<OffsetDateTime>,
    disabled_reason: Option<String>,
    #[diesel(embed)]
    health: HealthRow,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
}

/// The credentials of a subscription, sealed but for `custom_ca`.
#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = webhook_credentials, check_for_backend(Pg))]
pub(super) struct CredentialsRow {
    pub(super) id: Uuid,
    pub(super) path_and_query: Vec<u8>,
    pub(super) secret: Vec<u8>,
    pub(super) previous_secrets: Option<Vec<u8>>,
    pub(super) headers: Option<Vec<u8>>,
    pub(super) client_certificate: Option<Vec<u8>>,
    pub(super) custom_ca: Option<String>,
}

impl TryFrom<(SubscriptionRow, CredentialsRow)> for Subscription {
    type Error = pg::Error;

    fn try_from((row, credentials): (SubscriptionRow, CredentialsRow)) -> Result<Self, pg::Error> {
        let payload_style = PayloadStyle::parse(&row.payload_style)
            .ok_or_else(|| pg::Error::corrupt("webhook_subscriptions", row.id, "payload_style"))?;
        Ok(Self {
            id: row.id.into(),
            owner: row.owner,
            name: row.name,
            description: row.description,
            origin: row.origin,
            events: row.events,
            filter: row.filter.map(|filter| filter.0),
            api_version: row.api_version,
            retry_count: row.retry_count,
            retry_schedule: row.retry_schedule,
            timeout_seconds: row.timeout_seconds,
            rate_limit_per_second: row.rate_limit_per_second,
            max_concurrency: row.max_concurrency,
            ordered: row.ordered,
            ordering_key: row.ordering_key,
            payload_style,
            seed_signature: row.seed_signature,
            is_active: row.is_active,
            disabled_at: row.disabled_at,
            disabled_reason: row.disabled_reason,
            created_at: row.created_at,
            updated_at: row.updated_at,
            health: row.health,
            credentials,
        })
    }
}
