//! Subscriptions as callers see them.

use domain::SubscriptionId;
use serde::Serialize;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use utoipa::ToSchema;
use web::{Access, Caller, Problem};

use crate::app::subscriptions::{Scheme, SigningKey, Subscription};
use crate::domain::settings::{PayloadStyle, ReceiverHealth};
use crate::state::State;

/// A subscription. What is secret of it is not shown: of headers the names are.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "id": "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f", "owner": "sklep-zielony", "name": "Magazyn", "description": null,
    "url": "https://shop.example/hooks", "events": ["order.created", "order.cancelled"], "filter": null, "api_version": "v1",
    "retry_count": null, "retry_schedule": null, "timeout_seconds": 10, "rate_limit_per_second": 20,
    "max_concurrency": null, "ordered": false, "ordering_key": null, "payload_style": "standard",
    "seed_signature": false, "signature": "v1a", "public_key": "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=",
    "public_keys": ["whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="], "custom_ca": null,
    "header_names": ["X-Tenant"], "has_client_certificate": false, "is_active": true,
    "disabled_at": null, "disabled_reason": null, "health": {
        "consecutive_failures": 0, "last_success_at": "2026-11-21T08:00:01Z", "first_failure_at": null,
        "circuit_state": "closed", "circuit_until": null,
    }, "created_at": "2026-11-21T08:00:00Z", "updated_at": "2026-11-21T08:00:00Z",
}))]
#[expect(clippy::struct_excessive_bools, reason = "named after the wire's fields")]
pub(crate) struct WebhookView {
    id: SubscriptionId,
    owner: Option<String>,
    name: Option<String>,
    description: Option<String>,
    /// The whole URL for credentials that may write. Others get scheme, host and port, and `/…` instead of path and query.
    url: String,
    events: Vec<String>,
    #[schema(value_type = Option<Object>)]
    filter: Option<Box<RawValue>>,
    api_version: String,
    retry_count: Option<i32>,
    retry_schedule: Option<Vec<i32>>,
    timeout_seconds: i32,
    rate_limit_per_second: Option<i32>,
    max_concurrency: Option<i32>,
    ordered: bool,
    ordering_key: Option<String>,
    payload_style: PayloadStyle,
    seed_signature: bool,
    /// How the secret signs: `v1` by HMAC-SHA256, `v1a` by ed25519.
    signature: Scheme,
    /// `whpk_` and base64: what receivers verify `v1a` with; null with `v1`.
    public_key: Option<String>,
    /// The same of every secret that signs now, the present one's first: those that were replaced sign for a while yet. A
    /// receiver believes a signature of any of them.
    public_keys: Vec<String>,
    custom_ca: Option<String>,
    header_names: Vec<String>,
    has_client_certificate: bool,
    is_active: bool,
    #[serde(with = "time::serde::rfc3339::option")]
    disabled_at: Option<OffsetDateTime>,
    disabled_reason: Option<String>,
    health: ReceiverHealth,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    updated_at: OffsetDateTime,
}

/// A subscription just made, with the secret, which is shown only now.
#[derive(Serialize, ToSchema)]
pub(crate) struct CreatedWebhook {
    #[serde(flatten)]
    pub(super) webhook: WebhookView,
    /// `whsec_` or `whsk_` and base64.
    #[schema(
        example = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
    )]
    pub(super) secret: String,
}

/// What there is to know of the secrets that sign now.
pub(super) struct Signing {
    pub(super) signature: Scheme,
    pub(super) public_key: Option<String>,
    pub(super) public_keys: Vec<String>,
}

impl Signing {
    /// # Errors
    /// 503 when this process lacks the key of what is sealed, 500 when it cannot be opened otherwise.
    pub(super) fn of(state: &State, subscription: &Subscription) -> Result<Self, Problem> {
        let keys = subscription.signing_keys(&state.keyring, state.now());
        let keys = keys.map_err(|error| Problem::sealed(&error))?;
        let present = keys.first();
        Ok(Self {
            signature: present.map_or(Scheme::V1, SigningKey::scheme),
            public_key: present.and_then(SigningKey::public),
            public_keys: keys.iter().filter_map(SigningKey::public).collect(),
        })
    }
}

/// A page of subscriptions.
#[derive(Serialize, ToSchema)]
pub(crate) struct WebhookPage {
    pub(super) items: Vec<WebhookView>,
    pub(super) next_cursor: Option<String>,
}

impl WebhookView {
    /// # Errors
    /// 503 when this process lacks the key of what is sealed, 500 when it cannot be opened otherwise.
    pub(super) fn of(state: &State, caller: &Caller, subscription: Subscription) -> Result<Self, Problem> {
        let headers = subscription.headers(&state.keyring).map_err(|error| Problem::sealed(&error))?;
        let Signing { signature, public_key, public_keys } = Signing::of(state, &subscription)?;
        let health = subscription.health().map_err(|error| Problem::database(&error))?;
        let settings = subscription.settings(&state.keyring);
        let settings = settings.map_err(|error| Problem::sealed(&error))?;
        let url = if caller.may(Access::Write) { settings.url } else { subscription.shown_url() };
        Ok(Self {
            id: subscription.id(),
            name: settings.name,
            description: settings.description,
            url,
            events: settings.events,
            filter: settings.filter,
            api_version: settings.api_version,
            retry_count: settings.retry_count,
            retry_schedule: settings.retry_schedule,
            timeout_seconds: settings.timeout_seconds,
            rate_limit_per_second: settings.rate_limit_per_second,
            max_concurrency: settings.max_concurrency,
            ordered: settings.ordered,
            ordering_key: settings.ordering_key,
            payload_style: settings.payload_style,
            seed_signature: settings.seed_signature,
            signature,
            public_key,
            public_keys,
            custom_ca: settings.custom_ca,
            header_names: headers.into_iter().map(|(name, _)| name).collect(),
            has_client_certificate: subscription.has_client_certificate(),
            is_active: settings.is_active,
            disabled_at: subscription.disabled_at,
            disabled_reason: subscription.disabled_reason.clone(),
            health,
            created_at: subscription.created_at,
            updated_at: subscription.updated_at,
            owner: subscription.owner,
        })
    }
}
