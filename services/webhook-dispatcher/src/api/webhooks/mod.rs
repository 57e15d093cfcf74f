//! Subscriptions.

pub(super) mod rotate;
mod rules;
mod view;
mod wish;

use actix_web::HttpResponse;
use actix_web::web::Data;
use domain::SubscriptionId;
use secrecy::ExposeSecret;
use web::{
    Answer, ApiJson, ApiPath, ApiQuery, Caller, Cursor, FieldErrors, Idempotent, Page, Paging, Problem,
};

use self::view::{CreatedWebhook, WebhookPage, WebhookView};
use self::wish::ChangeWebhook;
use super::problems::{self, WEBHOOK_NOT_FOUND};
use crate::app::subscriptions::{self, Scheme, Settings, SigningKey, Subscription};
use crate::state::State;

/// Subscribes. The secret in the answer is shown only now.
#[utoipa::path(post, path = "/api/v1/webhooks", tag = "webhooks", operation_id = "create_webhook",
    request_body = Settings, responses((status = 201, description = "Made", body = CreatedWebhook)))]
pub(crate) async fn create(
    state: Data<State>,
    caller: Caller,
    idempotent: Idempotent,
    ApiJson(mut settings): ApiJson<Settings>,
) -> Result<HttpResponse, Problem> {
    let mut errors = FieldErrors::default();
    let Settings { secret, secret_key, signature, .. } = &settings;
    let key = rules::key(&mut errors, secret.as_ref(), secret_key.as_ref(), *signature);
    let key = key.map(|key| key.made(Scheme::V1));
    let scheme = key.as_ref().map_or(Scheme::V1, SigningKey::scheme);
    rules::check(&mut errors, &state, &mut settings, scheme);
    errors.finish()?;
    let Some(key) = key else { return Err(Problem::new(&web::problem::INVALID_CONTENT)) };
    let answered = idempotent.run_with_effects(async |conn| {
        let made =
            subscriptions::create(conn, &state, caller.user_id.as_deref(), settings.clone(), &key).await;
        let (webhook, secret) = made.map_err(problems::of_write(|()| Problem::new(&WEBHOOK_NOT_FOUND)))?;
        let (id, secret) = (webhook.id(), secret.expose_secret().to_owned());
        let webhook = WebhookView::of(&state, &caller, webhook)?;
        Ok((Answer::created(&CreatedWebhook { webhook, secret })?, id))
    });
    let (answer, created) = answered.await?;
    if let Some(webhook) = created {
        tracing::info!(%webhook, "subscription created");
    }
    Ok(answer)
}

/// The subscriptions, newest first; a caller bound to a user sees that user's.
#[utoipa::path(get, path = "/api/v1/webhooks", tag = "webhooks", operation_id = "list_webhooks", params(Paging),
    responses((status = 200, description = "A page", body = WebhookPage)))]
pub(crate) async fn list(
    state: Data<State>,
    caller: Caller,
    ApiQuery(wanted): ApiQuery<Paging>,
) -> Result<HttpResponse, Problem> {
    let after = Cursor::after(wanted.cursor.as_deref())?;
    let owner = caller.user_id.as_deref();
    let found = subscriptions::list(&state, owner, after, wanted.limit.with_probe()).await;
    let found = found.map_err(|error| Problem::database(&error))?;
    let page =
        Page::new(found, wanted.limit, |last| Cursor { time: last.created_at, id: last.id().as_uuid() });
    let items: Result<Vec<_>, Problem> =
        page.items.into_iter().map(|found| WebhookView::of(&state, &caller, found)).collect();
    Ok(HttpResponse::Ok().json(WebhookPage { items: items?, next_cursor: page.next_cursor }))
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
    let found = visible(&state, &caller, *id).await?;
    Ok(HttpResponse::Ok().json(WebhookView::of(&state, &caller, found)?))
}

/// Changes a subscription: what is named replaces what was there, `null` takes it away. Made active again it begins as
/// if it had never failed.
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
    require_visible(&state, &caller, *id).await?;
    let edit = |current: &Settings, scheme: Scheme| {
        let mut change = wish.apply(current)?;
        let mut errors = FieldErrors::default();
        rules::check(&mut errors, &state, &mut change.settings, scheme);
        errors.finish().map(|()| change)
    };
    let changed = subscriptions::change(&state, *id, edit).await;
    let changed = changed.map_err(problems::of_write(|problem| problem))?;
    Ok(HttpResponse::Ok().json(WebhookView::of(&state, &caller, changed)?))
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
    require_visible(&state, &caller, *id).await?;
    let deleted = subscriptions::delete(&state, *id).await.map_err(|error| Problem::database(&error))?;
    if !deleted {
        return Err(Problem::new(&WEBHOOK_NOT_FOUND));
    }
    Ok(HttpResponse::NoContent().finish())
}

/// Answers 404 unless the caller may see the subscription.
pub(super) async fn require_visible(
    state: &State,
    caller: &Caller,
    id: SubscriptionId,
) -> Result<(), Problem> {
    let found = subscriptions::ownership(state, id).await.map_err(|error| Problem::database(&error))?;
    let is_visible = found.is_some_and(|it| caller.may_see(it.owner.as_deref()));
    if is_visible { Ok(()) } else { Err(Problem::new(&WEBHOOK_NOT_FOUND)) }
}

/// The subscription if the caller may see it: a caller bound to a user sees that user's, others all.
pub(super) async fn visible(
    state: &State,
    caller: &Caller,
    id: SubscriptionId,
) -> Result<Subscription, Problem> {
    let found = subscriptions::find(state, id).await.map_err(|error| Problem::database(&error))?;
    let found = found.filter(|it| caller.may_see(it.owner.as_deref()));
    found.ok_or_else(|| Problem::new(&WEBHOOK_NOT_FOUND))
}
