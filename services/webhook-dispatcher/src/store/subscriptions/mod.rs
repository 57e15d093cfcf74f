//! `webhook_subscriptions` and `webhook_credentials`, read.

pub(crate) mod changes;
mod rows;

use diesel::prelude::{
    BoolExpressionMethods, ExpressionMethods, OptionalExtension, QueryDsl, Queryable, Selectable,
    SelectableHelper,
};
use diesel_async::RunQueryDsl;
use domain::SubscriptionId;
use pg::sealed::{Keyring, SealError};
use secrecy::ExposeSecret;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use uuid::Uuid;

use self::rows::{CredentialsRow, SubscriptionRow};
use super::health::HealthRow;
use super::schema::{webhook_credentials, webhook_subscriptions};
use super::sealed::{self, PreviousKey};
use crate::domain::receiver_url;
use crate::domain::settings::{PayloadStyle, ReceiverHealth, Settings};
use crate::domain::signature::{Scheme, SigningKey};

/// The certificate authorities of a subscription and its sealed client certificate.
pub(crate) type SealedTls = (Option<String>, Option<Vec<u8>>);

/// A subscription. Its credentials stay sealed until they are asked for.
#[derive(Debug)]
pub(crate) struct Subscription {
    id: SubscriptionId,
    pub(crate) owner: Option<String>,
    name: Option<String>,
    description: Option<String>,
    origin: String,
    events: Vec<String>,
    filter: Option<Box<RawValue>>,
    api_version: String,
    pub(crate) retry_count: Option<i32>,
    pub(crate) retry_schedule: Option<Vec<i32>>,
    pub(crate) timeout_seconds: i32,
    rate_limit_per_second: Option<i32>,
    pub(crate) max_concurrency: Option<i32>,
    ordered: bool,
    ordering_key: Option<String>,
    pub(crate) payload_style: PayloadStyle,
    pub(crate) seed_signature: bool,
    pub(crate) is_active: bool,
    pub(crate) disabled_at: Option<OffsetDateTime>,
    pub(crate) disabled_reason: Option<String>,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) updated_at: OffsetDateTime,
    /// Parsed by [`Self::health`] only: a subscription whose health cannot be read is still sent to and shown.
    health: HealthRow,
    credentials: CredentialsRow,
}

/// Whose subscription it is, and whether it is sent anything.
#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = webhook_subscriptions, check_for_backend(diesel::pg::Pg))]
pub(crate) struct Ownership {
    pub(crate) owner: Option<String>,
    pub(crate) is_active: bool,
}

impl Subscription {
    pub(crate) const fn id(&self) -> SubscriptionId {
        self.id
    }

    /// The shortened URL of its receiver, which every reader may see.
    pub(crate) fn shown_url(&self) -> String {
        receiver_url::shown(&self.origin)
    }

    /// The whole URL of its receiver.
    pub(crate) fn url(&self, keyring: &Keyring) -> Result<String, SealError> {
        let path_and_query = sealed::open_path(keyring, self.id, &self.credentials.path_and_query)?;
        Ok(format!("{}{}", self.origin, path_and_query.expose_secret()))
    }

    /// The scheme of its key.
    pub(crate) fn scheme(&self, keyring: &Keyring) -> Result<Scheme, SealError> {
        Ok(sealed::open_key(keyring, self.id, &self.credentials.secret)?.scheme())
    }

    /// The keys that sign now: the present one, then replaced ones, the newest first.
    pub(crate) fn signing_keys(
        &self,
        keyring: &Keyring,
        now: OffsetDateTime,
    ) -> Result<Vec<SigningKey>, SealError> {
        let current = sealed::open_key(keyring, self.id, &self.credentials.secret)?;
        let previous = self.previous_keys(keyring)?.into_iter().filter(|it| it.expires_at > now);
        Ok(std::iter::once(current).chain(previous.map(|it| it.key)).collect())
    }

    /// Replaced keys, the newest first.
    pub(crate) fn previous_keys(&self, keyring: &Keyring) -> Result<Vec<PreviousKey>, SealError> {
        let Some(value) = &self.credentials.previous_secrets else { return Ok(Vec::new()) };
        sealed::open_previous(keyring, self.id, value)
    }

    /// Names and values of its custom headers.
    pub(crate) fn headers(&self, keyring: &Keyring) -> Result<Vec<(String, String)>, SealError> {
        let Some(value) = &self.credentials.headers else { return Ok(Vec::new()) };
        sealed::open_headers(keyring, self.id, value)
    }

    /// Its own TLS settings, sealed, if there are any: enough to see whether they have changed.
    pub(crate) fn sealed_tls(&self) -> Option<SealedTls> {
        let tls = (self.credentials.custom_ca.clone(), self.credentials.client_certificate.clone());
        (tls != (None, None)).then_some(tls)
    }

    /// Its TLS settings.
    pub(crate) fn tls(&self, keyring: &Keyring) -> Result<egress::Tls, SealError> {
        let open = |value: &Vec<u8>| sealed::open_certificate(keyring, self.id, value);
        let client_certificate = self.credentials.client_certificate.as_ref().map(open).transpose()?;
        Ok(egress::Tls { custom_ca: self.credentials.custom_ca.clone(), client_certificate })
    }

    pub(crate) const fn has_client_certificate(&self) -> bool {
        self.credentials.client_certificate.is_some()
    }

    /// The error of a column that cannot be read.
    pub(crate) fn corrupt(&self, column: &'static str) -> pg::Error {
        pg::Error::corrupt("webhook_subscriptions", self.id, column)
    }

    /// The owner's settings, without headers, client certificate and keys.
    pub(crate) fn settings(&self, keyring: &Keyring) -> Result<Settings, SealError> {
        Ok(Settings {
            name: self.name.clone(),
            description: self.description.clone(),
            url: self.url(keyring)?,
            events: self.events.clone(),
            filter: self.filter.clone(),
            api_version: self.api_version.clone(),
            retry_count: self.retry_count,
            retry_schedule: self.retry_schedule.clone(),
            timeout_seconds: self.timeout_seconds,
            is_active: self.is_active,
            rate_limit_per_second: self.rate_limit_per_second,
            max_concurrency: self.max_concurrency,
            ordered: self.ordered,
            ordering_key: self.ordering_key.clone(),
            payload_style: self.payload_style,
            seed_signature: self.seed_signature,
            custom_ca: self.credentials.custom_ca.clone(),
            headers: None,
            client_certificate: None,
            secret: None,
            secret_key: None,
            signature: None,
        })
    }

    /// How its receiver is doing.
    ///
    /// # Errors
    /// [`pg::Error::Corrupt`] when the stored circuit cannot be read.
    pub(crate) fn health(&self) -> Result<ReceiverHealth, pg::Error> {
        Ok((&self.health.read(self.id.as_uuid())?).into())
    }
}

type Rows = (SubscriptionRow, CredentialsRow);

/// A subscription that is not removed.
pub(crate) async fn find(
    conn: &mut pg::Connection,
    id: SubscriptionId,
) -> Result<Option<Subscription>, pg::Error> {
    let found = webhook_subscriptions::table
        .inner_join(webhook_credentials::table)
        .filter(webhook_subscriptions::id.eq(id.as_uuid()))
        .filter(webhook_subscriptions::deleted_at.is_null())
        .select((SubscriptionRow::as_select(), CredentialsRow::as_select()))
        .first(conn)
        .await;
    let rows: Option<Rows> = found.optional()?;
    rows.map(Subscription::try_from).transpose()
}

/// The subscription, both of its rows locked.
pub(crate) async fn lock(
    conn: &mut pg::Connection,
    id: SubscriptionId,
) -> Result<Option<Subscription>, pg::Error> {
    let found = webhook_subscriptions::table
        .inner_join(webhook_credentials::table)
        .filter(webhook_subscriptions::id.eq(id.as_uuid()))
        .filter(webhook_subscriptions::deleted_at.is_null())
        .select((SubscriptionRow::as_select(), CredentialsRow::as_select()))
        .for_update()
        .first(conn)
        .await;
    let rows: Option<Rows> = found.optional()?;
    rows.map(Subscription::try_from).transpose()
}

/// Whose subscription it is; none when it was removed. It needs no readable settings.
pub(crate) async fn ownership(
    conn: &mut pg::Connection,
    id: SubscriptionId,
) -> Result<Option<Ownership>, pg::Error> {
    let found = webhook_subscriptions::table
        .find(id.as_uuid())
        .filter(webhook_subscriptions::deleted_at.is_null())
        .select(Ownership::as_select())
        .first(conn)
        .await;
    Ok(found.optional()?)
}

/// Subscriptions of one owner, or of all, newest first.
pub(crate) async fn list(
    conn: &mut pg::Connection,
    owner: Option<&str>,
    after: Option<(OffsetDateTime, Uuid)>,
    limit: i64,
) -> Result<Vec<Subscription>, pg::Error> {
    use webhook_subscriptions::{created_at, id};
    let mut statement = webhook_subscriptions::table
        .inner_join(webhook_credentials::table)
        .filter(webhook_subscriptions::deleted_at.is_null())
        .select((SubscriptionRow::as_select(), CredentialsRow::as_select()))
        .order((created_at.desc(), id.desc()))
        .limit(limit)
        .into_boxed();
    if let Some(owner) = owner {
        statement = statement.filter(webhook_subscriptions::owner.eq(owner));
    }
    if let Some((time, last)) = after {
        statement = statement.filter(created_at.le(time)).filter(created_at.lt(time).or(id.lt(last)));
    }
    let rows: Vec<Rows> = statement.load(conn).await?;
    rows.into_iter().map(Subscription::try_from).collect()
}
