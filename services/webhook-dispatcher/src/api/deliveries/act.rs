//! A delivery sent again, or called off.

use actix_web::HttpResponse;
use actix_web::web::Data;
use domain::DeliveryId;
use web::{Answer, ApiPath, Caller, Idempotent, Problem};

use super::super::problems::{self, DELIVERY_NOT_FOUND};
use super::view::DeliveryView;
use crate::app::deliveries::{self, Action};
use crate::state::State;

/// Sends a delivery now: one that waits, without waiting any longer; one that ended, with the whole schedule before it.
#[utoipa::path(post, path = "/api/v1/deliveries/{id}/retry", tag = "deliveries", operation_id = "retry_delivery",
    params(("id" = DeliveryId, Path, description = "The delivery's id", example = "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398a")),
    responses((status = 202, description = "It is on its way", body = DeliveryView),
              (status = 404, description = "delivery_not_found"),
              (status = 409, description = "delivery_state, webhook_inactive, payload_expired")))]
pub(crate) async fn retry(
    state: Data<State>,
    caller: Caller,
    idempotent: Idempotent,
    id: ApiPath<DeliveryId>,
) -> Result<HttpResponse, Problem> {
    act(&state, &caller, idempotent, *id, Action::Retry).await
}

/// Calls a delivery off that has not ended. An attempt under way may still arrive; it is the last.
#[utoipa::path(post, path = "/api/v1/deliveries/{id}/cancel", tag = "deliveries", operation_id = "cancel_delivery",
    params(("id" = DeliveryId, Path, description = "The delivery's id", example = "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398a")),
    responses((status = 200, description = "It is called off", body = DeliveryView),
              (status = 404, description = "delivery_not_found"),
              (status = 409, description = "delivery_state")))]
pub(crate) async fn cancel(
    state: Data<State>,
    caller: Caller,
    idempotent: Idempotent,
    id: ApiPath<DeliveryId>,
) -> Result<HttpResponse, Problem> {
    act(&state, &caller, idempotent, *id, Action::Cancel).await
}

async fn act(
    state: &State,
    caller: &Caller,
    idempotent: Idempotent,
    id: DeliveryId,
    action: Action,
) -> Result<HttpResponse, Problem> {
    let found = deliveries::find(state, id).await.map_err(|error| Problem::database(&error))?;
    let found = found.filter(|(_, _, ownership)| caller.may_see(ownership.owner.as_deref()));
    found.ok_or_else(|| Problem::new(&DELIVERY_NOT_FOUND))?;
    let answer = idempotent
        .run(async |conn| {
            let acted = deliveries::act(conn, id, action, state.now()).await;
            let acted = acted.map_err(|error| Problem::database(&error))?;
            let delivery = DeliveryView::from(acted.map_err(problems::refused)?);
            match action {
                Action::Retry => Answer::accepted(&delivery),
                Action::Cancel => Answer::ok(&delivery),
            }
        })
        .await;
    state.load.nudge();
    answer
}
