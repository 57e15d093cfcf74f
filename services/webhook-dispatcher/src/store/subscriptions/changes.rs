//! `webhook_subscriptions` and `webhook_credentials`, written.
//!
//! Both rows of a subscription are written in one transaction. Every change but the first holds the row of
//! `webhook_subscriptions` locked.

use diesel::prelude::{AsChangeset, ExpressionMethods, Insertable, QueryDsl, SelectableHelper};
use diesel_async::RunQueryDsl;
use domain::SubscriptionId;
use time::OffsetDateTime;

use super::Subscription;
use super::rows::{CredentialsRow, SubscriptionRow};
use crate::domain::health::CircuitState;
use crate::domain::receiver_url;
use crate::domain::settings::Settings;
use crate::store::raw_json::RawJson;
use crate::store::schema::{webhook_credentials, webhook_subscriptions};

/// The sealed settings. For headers and certificate, `None` keeps the stored value and `Some(None)` removes it.
#[derive(Debug, AsChangeset)]
#[diesel(table_name = webhook_credentials)]
#[expect(clippy::option_option, reason = "a patch keeps, removes or replaces a value")]
pub(crate) struct SealedSettings {
    pub(crate) path_and_query: Vec<u8>,
    pub(crate) headers: Option<Option<Vec<u8>>>,
    pub(crate) client_certificate: Option<Option<Vec<u8>>>,
}

/// The settings in clear.
#[derive(AsChangeset, Insertable)]
#[diesel(table_name = webhook_subscriptions, treat_none_as_null = true)]
struct SettingsRow<'a> {
    origin: &'a str,
    events: &'a [String],
    name: Option<String>,
    description: Option<String>,
    filter: Option<RawJson>,
    api_version: &'a str,
    retry_count: Option<i32>,
    retry_schedule: Option<Vec<i32>>,
    timeout_seconds: i32,
    rate_limit_per_second: Option<i32>,
    max_concurrency: Option<i32>,
    ordered: bool,
    ordering_key: Option<String>,
    payload_style: &'a str,
    seed_signature: bool,
    is_active: bool,
    updated_at: OffsetDateTime,
}

impl<'a> SettingsRow<'a> {
    fn new(settings: &'a Settings, now: OffsetDateTime) -> Self {
        Self {
            origin: receiver_url::split(&settings.url).0,
            events: &settings.events,
            name: settings.name.clone(),
            description: settings.description.clone(),
            filter: settings.filter.clone().map(RawJson),
            api_version: &settings.api_version,
            retry_count: settings.retry_count,
            retry_schedule: settings.retry_schedule.clone(),
            timeout_seconds: settings.timeout_seconds,
            rate_limit_per_second: settings.rate_limit_per_second,
            max_concurrency: settings.max_concurrency,
            ordered: settings.ordered,
            ordering_key: settings.ordering_key.clone(),
            payload_style: settings.payload_style.as_str(),
            seed_signature: settings.seed_signature,
            is_active: settings.is_active,
            updated_at: now,
        }
    }
}

/// Inserts a subscription.
pub(crate) async fn insert(
    conn: &mut pg::Connection,
    id: SubscriptionId,
    owner: Option<&str>,
    settings: &Settings,
    sealed_key: Vec<u8>,
    sealed: SealedSettings,
    now: OffsetDateTime,
) -> Result<Subscription, pg::Error> {
    use webhook_subscriptions::{created_at, id as row_id, owner as row_owner};
    let id = id.as_uuid();
    let row: SubscriptionRow = diesel::insert_into(webhook_subscriptions::table)
        .values((row_id.eq(id), row_owner.eq(owner), created_at.eq(now), SettingsRow::new(settings, now)))
        .returning(SubscriptionRow::as_returning())
        .get_result(conn)
        .await?;
    let credentials = CredentialsRow {
        id,
        path_and_query: sealed.path_and_query,
        secret: sealed_key,
        previous_secrets: None,
        headers: sealed.headers.flatten(),
        client_certificate: sealed.client_certificate.flatten(),
        custom_ca: settings.custom_ca.clone(),
    };
    diesel::insert_into(webhook_credentials::table).values(credentials.clone()).execute(conn).await?;
    Subscription::try_from((row, credentials))
}

/// Updates the settings of a locked subscription. An inactive one that becomes active starts without failures and with a
/// closed circuit.
pub(crate) async fn update(
    conn: &mut pg::Connection,
    current: &Subscription,
    settings: &Settings,
    sealed: SealedSettings,
    now: OffsetDateTime,
) -> Result<Subscription, pg::Error> {
    use webhook_subscriptions::{
        circuit_openings, circuit_state, circuit_until, consecutive_failures, disabled_at, disabled_reason,
        first_failure_at,
    };
    let id = current.id().as_uuid();
    let nothing = None::<OffsetDateTime>;
    let enabled = settings.is_active.then(|| (disabled_at.eq(nothing), disabled_reason.eq(None::<String>)));
    let healthy = (settings.is_active && !current.is_active).then(|| {
        (
            consecutive_failures.eq(0),
            first_failure_at.eq(nothing),
            circuit_state.eq(CircuitState::Closed.as_str()),
            circuit_until.eq(nothing),
            circuit_openings.eq(0),
        )
    });
    let row: SubscriptionRow = diesel::update(webhook_subscriptions::table.find(id))
        .set((SettingsRow::new(settings, now), enabled, healthy))
        .returning(SubscriptionRow::as_returning())
        .get_result(conn)
        .await?;
    let credentials: CredentialsRow = diesel::update(webhook_credentials::table.find(id))
        .set((sealed, webhook_credentials::custom_ca.eq(settings.custom_ca.as_deref())))
        .returning(CredentialsRow::as_returning())
        .get_result(conn)
        .await?;
    Subscription::try_from((row, credentials))
}

/// Replaces the key of a locked subscription.
pub(crate) async fn replace_key(
    conn: &mut pg::Connection,
    id: SubscriptionId,
    sealed_key: Vec<u8>,
    sealed_previous: Vec<u8>,
    now: OffsetDateTime,
) -> Result<Subscription, pg::Error> {
    use webhook_credentials::{previous_secrets, secret};
    let id = id.as_uuid();
    let row: SubscriptionRow = diesel::update(webhook_subscriptions::table.find(id))
        .set(webhook_subscriptions::updated_at.eq(now))
        .returning(SubscriptionRow::as_returning())
        .get_result(conn)
        .await?;
    let credentials: CredentialsRow = diesel::update(webhook_credentials::table.find(id))
        .set((secret.eq(sealed_key), previous_secrets.eq(sealed_previous)))
        .returning(CredentialsRow::as_returning())
        .get_result(conn)
        .await?;
    Subscription::try_from((row, credentials))
}

/// Marks a subscription as removed; its history stays. Returns false if there is none.
pub(crate) async fn delete(
    conn: &mut pg::Connection,
    id: SubscriptionId,
    now: OffsetDateTime,
) -> Result<bool, pg::Error> {
    use webhook_subscriptions::{deleted_at, is_active, updated_at};
    let deleted = diesel::update(webhook_subscriptions::table.find(id.as_uuid()))
        .filter(deleted_at.is_null())
        .set((deleted_at.eq(now), is_active.eq(false), updated_at.eq(now)))
        .execute(conn)
        .await?;
    Ok(deleted == 1)
}
