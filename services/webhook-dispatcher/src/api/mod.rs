//! The HTTP interface, prefix `/api/v1`.

#[cfg(test)]
mod at_once_tests;
mod deliveries;
mod events;
mod problems;
mod replays;
mod webhooks;

use actix_web::web::{ServiceConfig, get, post, resource};
use domain::DeliveryId;
use utoipa::OpenApi;
use web::openapi::to_json;

use crate::app::deliveries::Status;

#[derive(OpenApi)]
#[openapi(
    info(title = "webhook-dispatcher", description = "Signed webhooks that always arrive."),
    paths(
        webhooks::create,
        webhooks::list,
        webhooks::get,
        webhooks::change,
        webhooks::delete,
        webhooks::rotate::rotate,
        replays::test,
        replays::recover,
        replays::replay,
        deliveries::list,
        deliveries::get,
        deliveries::act::retry,
        deliveries::act::cancel,
        deliveries::stats::get,
        events::types,
        events::publish,
    ),
    components(schemas(DeliveryId, Status))
)]
struct Document;

/// The OpenAPI document.
pub(crate) fn openapi() -> String {
    let document = Document::openapi().nest("/api/v1", ::tasks::http::openapi());
    to_json(document, &[problems::CODES, ::tasks::http::CODES].concat())
}

/// Registers the routes.
pub(crate) fn routes(config: &mut ServiceConfig, pool: &pg::Pool) {
    ::tasks::http::routes(config, "", pool);
    config
        .service(resource("/webhooks").get(webhooks::list).post(webhooks::create))
        .service(
            resource("/webhooks/{id}").get(webhooks::get).patch(webhooks::change).delete(webhooks::delete),
        )
        .service(resource("/webhooks/{id}/rotate-secret").route(post().to(webhooks::rotate::rotate)))
        .service(resource("/webhooks/{id}/test").route(post().to(replays::test)))
        .service(resource("/webhooks/{id}/recover").route(post().to(replays::recover)))
        .service(resource("/webhooks/{id}/replay").route(post().to(replays::replay)))
        .service(resource("/webhooks/{id}/stats").route(get().to(deliveries::stats::get)))
        .service(resource("/webhooks/{id}/deliveries").route(get().to(deliveries::list)))
        .service(resource("/deliveries/{id}").route(get().to(deliveries::get)))
        .service(resource("/deliveries/{id}/retry").route(post().to(deliveries::act::retry)))
        .service(resource("/deliveries/{id}/cancel").route(post().to(deliveries::act::cancel)))
        .service(resource("/events").route(post().to(events::publish)))
        .service(resource("/event-types").route(get().to(events::types)));
}
