//! Deliveries and their attempts.

pub(super) mod act;
pub(super) mod stats;
mod view;

use actix_web::HttpResponse;
use actix_web::web::Data;
use domain::{DeliveryId, SubscriptionId};
use serde::Deserialize;
use time::OffsetDateTime;
use utoipa::IntoParams;
use uuid::Uuid;
use web::{ApiPath, ApiQuery, Caller, Cursor, FieldErrors, Limit, Page, Problem};

use self::view::{AttemptView, DeliveryPage, DeliveryView, FullDeliveryView};
use super::problems::DELIVERY_NOT_FOUND;
use super::webhooks::require_visible;
use crate::app::deliveries::{self, Filter, Status};
use crate::state::State;

/// Which deliveries.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// Only with this status; those that are blocked are pending.
    #[param(value_type = Option<Status>, example = "failed")]
    status: Option<String>,
    /// Only of this event type.
    #[serde(rename = "type")]
    #[param(rename = "type", example = "order.created")]
    event_type: Option<String>,
    /// Only those made at this moment or later.
    #[serde(default, with = "domain::instant::option")]
    #[param(example = "2026-11-21T08:00:00Z")]
    from: Option<OffsetDateTime>,
    /// Only those made before this moment.
    #[serde(default, with = "domain::instant::option")]
    #[param(example = "2026-11-22T08:00:00Z")]
    to: Option<OffsetDateTime>,
    /// Only of this event.
    #[param(example = "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398b")]
    message: Option<Uuid>,
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

/// A subscription's deliveries, newest first.
#[utoipa::path(get, path = "/api/v1/webhooks/{id}/deliveries", tag = "deliveries", operation_id = "list_deliveries",
    params(("id" = SubscriptionId, Path, description = "The subscription's id", example = "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f"), Wanted),
    responses((status = 200, description = "A page", body = DeliveryPage),
              (status = 400, description = "invalid_content"), (status = 404, description = "webhook_not_found")))]
pub(crate) async fn list(
    state: Data<State>,
    caller: Caller,
    id: ApiPath<SubscriptionId>,
    ApiQuery(wanted): ApiQuery<Wanted>,
) -> Result<HttpResponse, Problem> {
    let after = wanted.cursor.as_deref().map(Cursor::decode).transpose()?;
    web::page::check_span(wanted.from, wanted.to)?;
    let mut errors = FieldErrors::default();
    let status = wanted.status.as_deref().and_then(Status::parse);
    let is_known = wanted.status.is_none() || status.is_some();
    let names = Status::ALL.map(Status::as_str).join(", ");
    errors.check(is_known, "/status", "unknown_status", &format!("is one of {names}"));
    errors.finish()?;
    require_visible(&state, &caller, *id).await?;
    let filter = Filter {
        status,
        event_type: wanted.event_type,
        from: wanted.from,
        to: wanted.to,
        message: wanted.message,
    };
    let after = after.map(|cursor| (cursor.time, cursor.id));
    let found = deliveries::list(&state, *id, &filter, after, wanted.limit.with_probe()).await;
    let found = found.map_err(|error| Problem::database(&error))?;
    let page = Page::new(found, wanted.limit, |last| Cursor { time: last.created_at, id: last.id });
    Ok(HttpResponse::Ok().json(page.map(DeliveryView::from)))
}

/// One delivery with its tries.
#[utoipa::path(get, path = "/api/v1/deliveries/{id}", tag = "deliveries", operation_id = "get_delivery",
    params(("id" = DeliveryId, Path, description = "The delivery's id", example = "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398a")),
    responses((status = 200, description = "The delivery", body = FullDeliveryView),
              (status = 404, description = "delivery_not_found")))]
pub(crate) async fn get(
    state: Data<State>,
    caller: Caller,
    id: ApiPath<DeliveryId>,
) -> Result<HttpResponse, Problem> {
    let found = deliveries::find(&state, *id).await.map_err(|error| Problem::database(&error))?;
    let found = found.filter(|(_, _, ownership)| caller.may_see(ownership.owner.as_deref()));
    let (delivery, attempts, _) = found.ok_or_else(|| Problem::new(&DELIVERY_NOT_FOUND))?;
    let tries = attempts.into_iter().map(AttemptView::from).collect();
    Ok(HttpResponse::Ok().json(FullDeliveryView { delivery: delivery.into(), tries }))
}
