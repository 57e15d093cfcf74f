//! The HTTP interface, prefix `/api/v1`.

mod deliveries;
mod problems;
mod webhooks;

use actix_web::web::{ServiceConfig, get, post, resource};
use utoipa::OpenApi;
use web::openapi::to_json;

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
        deliveries::list,
        deliveries::get,
        deliveries::event_types,
    )
)]
struct Document;

/// The OpenAPI document.
pub(crate) fn openapi() -> String {
    to_json(Document::openapi(), problems::CODES)
}

/// Registers the routes.
pub(crate) fn routes(config: &mut ServiceConfig) {
    config
        .service(resource("/webhooks").get(webhooks::list).post(webhooks::create))
        .service(
            resource("/webhooks/{id}").get(webhooks::get).patch(webhooks::change).delete(webhooks::delete),
        )
        .service(resource("/webhooks/{id}/rotate-secret").route(post().to(webhooks::rotate::rotate)))
        .service(resource("/webhooks/{id}/deliveries").route(get().to(deliveries::list)))
        .service(resource("/deliveries/{id}").route(get().to(deliveries::get)))
        .service(resource("/event-types").route(get().to(deliveries::event_types)));
}
