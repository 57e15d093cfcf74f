//! Subscriptions.

use actix_web::HttpResponse;
use actix_web::web::Data;
use domain::SubscriptionId;
use secrecy::ExposeSecret;
use serde::{Deserialize, Deserializer, Serialize};
use time::OffsetDateTime;
use url::Url;
use utoipa::{IntoParams, ToSchema};
use web::{Answer, ApiJson, ApiPath, ApiQuery, Caller, Cursor, FieldErrors, Limit, Once, Page, Problem};

use super::problems::{self, WEBHOOK_NOT_FOUND};
use crate::app::subscriptions::{self, Settings, Subscription};
use crate::domain::pattern;
use crate::domain::signature::SigningKey;
use crate::state::State;

const DEFAULT_TIMEOUT: i32 = 10;
const MAX_URL: usize = 2048;
const MAX_EVENTS: usize = 100;
const MAX_DESCRIPTION: usize = 1000;
const MAX_RETRIES: i32 = 9;

/// A wish to be told of events.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({
    "url": "https://shop.example/hooks", "events": ["order.created", "order.cancelled"], "description": "Magazyn",
}))]
#[serde(deny_unknown_fields)]
pub(crate) struct NewWebhook {
    /// Where the receiver listens.
    #[schema(example = "https://shop.example/hooks")]
    url: String,
    /// Event types, `<noun>.*`, or `*`.
    #[schema(example = json!(["order.created", "order.cancelled"]))]
    events: Vec<String>,
    description: Option<String>,
    /// `whsec_` and base64 of 24 to 64 bytes; made for you when absent.
    secret: Option<String>,
    /// The same as `secret`.
    secret_key: Option<String>,
    /// Retries after the first attempt, 0 to 9; all nine when absent.
    retry_count: Option<i32>,
    /// How long an attempt may take, 1 to 30.
    #[schema(default = 10)]
    timeout_seconds: Option<i32>,
    #[schema(default = true)]
    is_active: Option<bool>,
}

/// What to change; what is absent stays. `null` takes a description or a retry count away.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({ "events": ["*"], "description": null }))]
#[serde(deny_unknown_fields)]
#[expect(clippy::option_option, reason = "absent, null and a value are three wishes")]
pub(crate) struct ChangeWebhook {
    url: Option<String>,
    events: Option<Vec<String>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    description: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<i32>)]
    retry_count: Option<Option<i32>>,
    timeout_seconds: Option<i32>,
    is_active: Option<bool>,
}

/// Tells `null` from absent.
#[expect(clippy::option_option, reason = "absent, null and a value are three wishes")]
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// A subscription.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "id": "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f", "owner": "sklep-zielony", "url": "https://shop.example/hooks",
    "events": ["order.created", "order.cancelled"], "description": "Magazyn", "retry_count": null, "timeout_seconds": 10,
    "is_active": true, "disabled_at": null, "disabled_reason": null, "created_at": "2026-11-21T08:00:00Z",
    "updated_at": "2026-11-21T08:00:00Z",
}))]
pub(crate) struct WebhookView {
    id: SubscriptionId,
    owner: Option<String>,
    url: String,
    events: Vec<String>,
    description: Option<String>,
    retry_count: Option<i32>,
    timeout_seconds: i32,
    is_active: bool,
    #[serde(with = "time::serde::rfc3339::option")]
    disabled_at: Option<OffsetDateTime>,
    disabled_reason: Option<String>,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    updated_at: OffsetDateTime,
}

/// A subscription just made, with the secret, which is shown only now.
#[derive(Serialize, ToSchema)]
pub(crate) struct CreatedWebhook {
    #[serde(flatten)]
    webhook: WebhookView,
    #[schema(example = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    secret: String,
}

/// A page of subscriptions.
#[derive(Serialize, ToSchema)]
pub(crate) struct WebhookPage {
    items: Vec<WebhookView>,
    next_cursor: Option<String>,
}

/// Which page.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// At most so many, 1 to 200.
    #[serde(default)]
    #[param(value_type = Option<u16>, default = 50, minimum = 1, maximum = 200)]
    limit: Limit,
    /// Where the page before ended: its `next_cursor`.
    #[param(
        example = "eyJ2IjoxLCJ0IjoxNzk1MjQ4MDAwMDAwMDAwLCJpIjoiMDE5MGM1YTQtNmY3ZS03Y2MzLTk4YzQtZGMwYzBjMDczOThmIn0"
    )]
    cursor: Option<String>,
}

impl From<Subscription> for WebhookView {
    fn from(subscription: Subscription) -> Self {
        Self {
            id: subscription.id(),
            owner: subscription.owner,
            url: subscription.url,
            events: subscription.events,
            description: subscription.description,
            retry_count: subscription.retry_count,
            timeout_seconds: subscription.timeout_seconds,
            is_active: subscription.is_active,
            disabled_at: subscription.disabled_at,
            disabled_reason: subscription.disabled_reason,
            created_at: subscription.created_at,
            updated_at: subscription.updated_at,
        }
    }
}

fn check_url(errors: &mut FieldErrors, state: &State, text: &str) {
    errors.check(text.len() <= MAX_URL, "/url", "too_long", "is at most 2048 bytes long");
    match text.parse::<Url>() {
        Err(_no_url) => errors.push("/url", "malformed", "is not an absolute URL"),
        Ok(url) => {
            if let Err(refused) = state.guard.check_url(&url) {
                errors.push("/url", "address_refused", refused.to_string());
            }
        }
    }
}

fn check_events(errors: &mut FieldErrors, events: &[String]) {
    let is_well_sized = (1..=MAX_EVENTS).contains(&events.len());
    errors.check(is_well_sized, "/events", "wrong_length", "holds 1 to 100 event types");
    for (at, event) in events.iter().enumerate() {
        if !pattern::is_known(event) {
            let message = "is no event type; GET /api/v1/event-types lists them; noun.* and * are understood";
            errors.push(format!("/events/{at}"), "unknown_event_type", message);
        }
    }
}

fn check_limits(errors: &mut FieldErrors, settings: &Settings) {
    let timeout = (1..=30).contains(&settings.timeout_seconds);
    errors.check(timeout, "/timeout_seconds", "out_of_range", "is between 1 and 30");
    let retries = settings.retry_count.is_none_or(|count| (0..=MAX_RETRIES).contains(&count));
    errors.check(retries, "/retry_count", "out_of_range", "is between 0 and 9");
    if let Some(description) = &settings.description {
        let is_short = description.chars().count() <= MAX_DESCRIPTION;
        errors.check(is_short, "/description", "too_long", "is at most 1000 characters long");
        errors.check(!description.contains('\0'), "/description", "nul_character", "must not hold U+0000");
    }
}

/// Subscribes. The secret in the answer is shown only now.
#[utoipa::path(post, path = "/api/v1/webhooks", tag = "webhooks", operation_id = "create_webhook",
    request_body = NewWebhook, responses((status = 201, description = "Made", body = CreatedWebhook)))]
pub(crate) async fn create(
    state: Data<State>,
    caller: Caller,
    once: Once,
    ApiJson(wish): ApiJson<NewWebhook>,
) -> Result<HttpResponse, Problem> {
    let settings = Settings {
        url: wish.url,
        events: wish.events,
        description: wish.description,
        retry_count: wish.retry_count,
        timeout_seconds: wish.timeout_seconds.unwrap_or(DEFAULT_TIMEOUT),
        is_active: wish.is_active.unwrap_or(true),
    };
    let mut errors = FieldErrors::default();
    check_url(&mut errors, &state, &settings.url);
    check_events(&mut errors, &settings.events);
    check_limits(&mut errors, &settings);
    let key = match (&wish.secret, &wish.secret_key) {
        (Some(_), Some(_)) => {
            errors.push("/secret_key", "ambiguous", "is the same as secret; give one of them");
            None
        }
        (Some(secret), None) => read_key(&mut errors, "/secret", secret),
        (None, Some(secret)) => read_key(&mut errors, "/secret_key", secret),
        (None, None) => Some(SigningKey::fresh()),
    };
    errors.finish()?;
    let Some(key) = key else { return Err(Problem::new(&web::problem::INVALID_CONTENT)) };
    once.run(async |conn| {
        let made = subscriptions::create(conn, &state, caller.user_id.as_deref(), &settings, &key).await;
        let (webhook, secret) = made.map_err(|error| problems::subscribe(&error))?;
        tracing::info!(webhook = %webhook.id(), "a webhook was made");
        let secret = secret.expose_secret().to_owned();
        Answer::created(&CreatedWebhook { webhook: webhook.into(), secret })
    })
    .await
}

fn read_key(errors: &mut FieldErrors, pointer: &str, secret: &str) -> Option<SigningKey> {
    let key = SigningKey::read(secret);
    if key.is_none() {
        errors.push(pointer, "weak_secret", "is whsec_ and the base64 of 24 to 64 bytes");
    }
    key
}

/// The subscriptions, newest first; a caller bound to a user sees that user's.
#[utoipa::path(get, path = "/api/v1/webhooks", tag = "webhooks", operation_id = "list_webhooks", params(Wanted),
    responses((status = 200, description = "A page", body = WebhookPage)))]
pub(crate) async fn list(
    state: Data<State>,
    caller: Caller,
    ApiQuery(wanted): ApiQuery<Wanted>,
) -> Result<HttpResponse, Problem> {
    let after = wanted.cursor.as_deref().map(Cursor::decode).transpose()?.map(|it| (it.time, it.id));
    let owner = caller.user_id.as_deref();
    let found = subscriptions::list(&state, owner, after, wanted.limit.with_probe()).await;
    let found = found.map_err(|error| Problem::database(&error))?;
    let page =
        Page::new(found, wanted.limit, |last| Cursor { time: last.created_at, id: last.id().as_uuid() });
    Ok(HttpResponse::Ok().json(page.map(WebhookView::from)))
}

/// One subscription.
#[utoipa::path(get, path = "/api/v1/webhooks/{id}", tag = "webhooks", operation_id = "get_webhook",
    params(("id" = SubscriptionId, Path, description = "The subscription's id", example = "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f")),
    responses((status = 200, description = "The subscription", body = WebhookView),
              (status = 404, description = "webhook_not_found")))]
pub(crate) async fn get(
    state: Data<State>,
    caller: Caller,
    id: ApiPath<SubscriptionId>,
) -> Result<HttpResponse, Problem> {
    Ok(HttpResponse::Ok().json(WebhookView::from(visible(&state, &caller, *id).await?)))
}

/// Changes a subscription. Making it active again forgets why it was disabled.
#[utoipa::path(patch, path = "/api/v1/webhooks/{id}", tag = "webhooks", operation_id = "change_webhook",
    params(("id" = SubscriptionId, Path, description = "The subscription's id", example = "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f")),
    request_body = ChangeWebhook,
    responses((status = 200, description = "As it is now", body = WebhookView),
              (status = 404, description = "webhook_not_found")))]
pub(crate) async fn change(
    state: Data<State>,
    caller: Caller,
    id: ApiPath<SubscriptionId>,
    ApiJson(wish): ApiJson<ChangeWebhook>,
) -> Result<HttpResponse, Problem> {
    let current = visible(&state, &caller, *id).await?;
    let mut errors = FieldErrors::default();
    if let Some(url) = &wish.url {
        check_url(&mut errors, &state, url);
    }
    if let Some(events) = &wish.events {
        check_events(&mut errors, events);
    }
    let wished = Settings {
        description: wish.description.clone().flatten(),
        retry_count: wish.retry_count.flatten(),
        timeout_seconds: wish.timeout_seconds.unwrap_or(DEFAULT_TIMEOUT),
        ..current.settings()
    };
    check_limits(&mut errors, &wished);
    errors.finish()?;
    let edit = move |settings: Settings| Settings {
        url: wish.url.unwrap_or(settings.url),
        events: wish.events.unwrap_or(settings.events),
        description: wish.description.unwrap_or(settings.description),
        retry_count: wish.retry_count.unwrap_or(settings.retry_count),
        timeout_seconds: wish.timeout_seconds.unwrap_or(settings.timeout_seconds),
        is_active: wish.is_active.unwrap_or(settings.is_active),
    };
    let changed = subscriptions::change(&state, *id, edit).await;
    let changed = changed.map_err(|error| Problem::database(&error))?;
    let changed = changed.ok_or_else(|| Problem::new(&WEBHOOK_NOT_FOUND))?;
    Ok(HttpResponse::Ok().json(WebhookView::from(changed)))
}

/// Removes a subscription; what is on its way to it is called off.
#[utoipa::path(delete, path = "/api/v1/webhooks/{id}", tag = "webhooks", operation_id = "remove_webhook",
    params(("id" = SubscriptionId, Path, description = "The subscription's id", example = "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f")),
    responses((status = 204, description = "Removed"), (status = 404, description = "webhook_not_found")))]
pub(crate) async fn delete(
    state: Data<State>,
    caller: Caller,
    id: ApiPath<SubscriptionId>,
) -> Result<HttpResponse, Problem> {
    visible(&state, &caller, *id).await?;
    let deleted = subscriptions::delete(&state, *id).await.map_err(|error| Problem::database(&error))?;
    if !deleted {
        return Err(Problem::new(&WEBHOOK_NOT_FOUND));
    }
    Ok(HttpResponse::NoContent().finish())
}

/// The subscription, where the caller may see it: one bound to a user sees that user's, others all.
pub(super) async fn visible(
    state: &State,
    caller: &Caller,
    id: SubscriptionId,
) -> Result<Subscription, Problem> {
    let found = subscriptions::find(state, id).await.map_err(|error| Problem::database(&error))?;
    let found = found.filter(|it| is_visible(caller, it.owner.as_deref()));
    found.ok_or_else(|| Problem::new(&WEBHOOK_NOT_FOUND))
}

pub(super) fn is_visible(caller: &Caller, owner: Option<&str>) -> bool {
    caller.user_id.is_none() || caller.user_id.as_deref() == owner
}
