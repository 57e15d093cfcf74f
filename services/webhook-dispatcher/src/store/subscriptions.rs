//! `webhook_subscriptions`, read.

use diesel::sql_types::{
    Array, BigInt, Bool, Bytea, Int4, Json, Nullable, Text, Timestamptz, Uuid as SqlUuid,
};
use diesel::{OptionalExtension, QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use domain::SubscriptionId;
use pg::sealed::{Keyring, SealError};
use secrecy::ExposeSecret;
use time::OffsetDateTime;
use uuid::Uuid;

use super::raw_json::RawJson;
use super::sealed::{self, PreviousKey};
use crate::domain::receiver_url;
use crate::domain::settings::{PayloadStyle, ReceiverHealth, Settings};
use crate::domain::signature::{Scheme, SigningKey};

/// Authorities, and a certificate that lies sealed.
pub(crate) type SealedTls = (Option<String>, Option<Vec<u8>>);

/// A subscription.
#[derive(Debug, Clone, QueryableByName)]
pub(crate) struct Subscription {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) owner: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) name: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) description: Option<String>,
    #[diesel(sql_type = Text)]
    origin: String,
    #[diesel(sql_type = Bytea)]
    path_and_query: Vec<u8>,
    #[diesel(sql_type = Array<Text>)]
    pub(crate) events: Vec<String>,
    #[diesel(sql_type = Nullable<Json>)]
    filter: Option<RawJson>,
    #[diesel(sql_type = Text)]
    pub(crate) api_version: String,
    #[diesel(sql_type = Bytea)]
    secret: Vec<u8>,
    #[diesel(sql_type = Nullable<Bytea>)]
    previous_secrets: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Bytea>)]
    headers: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Bytea>)]
    client_certificate: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) custom_ca: Option<String>,
    #[diesel(sql_type = Nullable<Int4>)]
    pub(crate) retry_count: Option<i32>,
    #[diesel(sql_type = Nullable<Array<Int4>>)]
    pub(crate) retry_schedule: Option<Vec<i32>>,
    #[diesel(sql_type = Int4)]
    pub(crate) timeout_seconds: i32,
    #[diesel(sql_type = Nullable<Int4>)]
    pub(crate) rate_limit_per_second: Option<i32>,
    #[diesel(sql_type = Nullable<Int4>)]
    pub(crate) max_concurrency: Option<i32>,
    #[diesel(sql_type = Bool)]
    pub(crate) ordered: bool,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) ordering_key: Option<String>,
    #[diesel(sql_type = Text)]
    payload_style: String,
    #[diesel(sql_type = Bool)]
    pub(crate) seed_signature: bool,
    #[diesel(sql_type = Bool)]
    pub(crate) is_active: bool,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub(crate) disabled_at: Option<OffsetDateTime>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) disabled_reason: Option<String>,
    #[diesel(sql_type = Int4)]
    pub(crate) consecutive_failures: i32,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub(crate) last_success_at: Option<OffsetDateTime>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub(crate) first_failure_at: Option<OffsetDateTime>,
    #[diesel(sql_type = Text)]
    pub(crate) circuit_state: String,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub(crate) circuit_until: Option<OffsetDateTime>,
    #[diesel(sql_type = Timestamptz)]
    pub(crate) created_at: OffsetDateTime,
    #[diesel(sql_type = Timestamptz)]
    pub(crate) updated_at: OffsetDateTime,
}

impl Subscription {
    pub(crate) fn id(&self) -> SubscriptionId {
        self.id.into()
    }

    /// The shortened URL of its receiver, which every reader may see.
    pub(crate) fn shown_url(&self) -> String {
        receiver_url::shown(&self.origin)
    }

    /// The whole URL of its receiver.
    pub(crate) fn url(&self, keyring: &Keyring) -> Result<String, SealError> {
        let path_and_query = sealed::open_path(keyring, self.id(), &self.path_and_query)?;
        Ok(format!("{}{}", self.origin, path_and_query.expose_secret()))
    }

    /// How it signs.
    pub(crate) fn scheme(&self, keyring: &Keyring) -> Result<Scheme, SealError> {
        Ok(sealed::open_key(keyring, self.id(), &self.secret)?.scheme())
    }

    /// What signs now: its key, then those replaced not long ago, the newest first.
    pub(crate) fn signing_keys(
        &self,
        keyring: &Keyring,
        now: OffsetDateTime,
    ) -> Result<Vec<SigningKey>, SealError> {
        let current = sealed::open_key(keyring, self.id(), &self.secret)?;
        let previous = self.previous_keys(keyring)?.into_iter().filter(|it| it.expires_at > now);
        Ok(std::iter::once(current).chain(previous.map(|it| it.key)).collect())
    }

    /// Keys that were replaced, the newest first.
    pub(crate) fn previous_keys(&self, keyring: &Keyring) -> Result<Vec<PreviousKey>, SealError> {
        let Some(value) = &self.previous_secrets else { return Ok(Vec::new()) };
        sealed::open_previous(keyring, self.id(), value)
    }

    /// Names and values of the headers sent along.
    pub(crate) fn headers(&self, keyring: &Keyring) -> Result<Vec<(String, String)>, SealError> {
        let Some(value) = &self.headers else { return Ok(Vec::new()) };
        sealed::open_headers(keyring, self.id(), value)
    }

    /// Whom its client is to believe and who it is, if not the usual, as it lies sealed: to see whether it has changed.
    pub(crate) fn sealed_tls(&self) -> Option<SealedTls> {
        let tls = (self.custom_ca.clone(), self.client_certificate.clone());
        (tls != (None, None)).then_some(tls)
    }

    /// The same, opened.
    pub(crate) fn tls(&self, keyring: &Keyring) -> Result<egress::Tls, SealError> {
        let open = |value: &Vec<u8>| sealed::open_certificate(keyring, self.id(), value);
        let client_certificate = self.client_certificate.as_ref().map(open).transpose()?;
        Ok(egress::Tls { custom_ca: self.custom_ca.clone(), client_certificate })
    }

    pub(crate) const fn has_client_certificate(&self) -> bool {
        self.client_certificate.is_some()
    }

    /// How its bodies are written.
    pub(crate) fn payload_style(&self) -> Result<PayloadStyle, pg::Error> {
        PayloadStyle::parse(&self.payload_style).ok_or_else(|| self.corrupt("payload_style"))
    }

    /// A column of it cannot be read.
    pub(crate) fn corrupt(&self, column: &'static str) -> pg::Error {
        pg::Error::corrupt("webhook_subscriptions", self.id, column)
    }

    /// The owner's settings with [`Self::payload_style`], without headers, client certificate and keys.
    pub(crate) fn settings(
        &self,
        keyring: &Keyring,
        payload_style: PayloadStyle,
    ) -> Result<Settings, SealError> {
        Ok(Settings {
            name: self.name.clone(),
            description: self.description.clone(),
            url: self.url(keyring)?,
            events: self.events.clone(),
            filter: self.filter.clone().map(|filter| filter.0),
            api_version: self.api_version.clone(),
            retry_count: self.retry_count,
            retry_schedule: self.retry_schedule.clone(),
            timeout_seconds: self.timeout_seconds,
            is_active: self.is_active,
            rate_limit_per_second: self.rate_limit_per_second,
            max_concurrency: self.max_concurrency,
            ordered: self.ordered,
            ordering_key: self.ordering_key.clone(),
            payload_style,
            seed_signature: self.seed_signature,
            custom_ca: self.custom_ca.clone(),
            headers: None,
            client_certificate: None,
            secret: None,
            secret_key: None,
            signature: None,
        })
    }

    /// How its receiver has been lately.
    pub(crate) fn health(&self) -> ReceiverHealth {
        ReceiverHealth {
            consecutive_failures: self.consecutive_failures,
            last_success_at: self.last_success_at,
            first_failure_at: self.first_failure_at,
            circuit_state: self.circuit_state.clone(),
            circuit_until: self.circuit_until,
        }
    }
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
