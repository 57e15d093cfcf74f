//! The HTTP interface, prefix `/api/v1`.

mod following;
mod orders;
mod problems;
mod readings;
mod sync;
mod tokens;

use actix_web::web::{ServiceConfig, resource};
use utoipa::OpenApi;
use web::openapi::to_json;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "allegro-backup",
        description = "Every order of every connected Allegro account, kept for ever.",
    ),
    paths(
        tokens::authorization::initialize,
        tokens::authorization::authorization_status,
        tokens::authorization::authorization_task,
        tokens::list,
        tokens::write::create,
        tokens::get,
        tokens::write::change,
        tokens::of_user,
        tokens::delete,
        tokens::check::refresh,
        tokens::check::validate,
        orders::list,
        orders::get,
        orders::history::versions,
        orders::history::difference,
        orders::history::events,
        orders::sync::start,
        orders::statistics::get,
        orders::export::get,
        orders::flags::get,
        orders::flags::set_stock,
        orders::flags::set_invoice,
        sync::start,
        sync::status,
        sync::start_events,
        following::activate,
        following::deactivate,
        following::active,
        readings::list,
        readings::gaps,
    )
)]
struct Document;

/// The OpenAPI document.
pub(crate) fn openapi() -> String {
    let document = Document::openapi().nest("/api/v1/sync", tasks::http::openapi());
    to_json(document, &[problems::CODES, tasks::http::CODES].concat())
}

/// Registers the routes.
pub(crate) fn routes(config: &mut ServiceConfig, pool: &pg::Pool) {
    use actix_web::web::{get, patch, post};
    use tokens::{authorization, check, write};
    tasks::http::routes(config, "/sync", pool);
    config
        .service(resource("/tokens").get(tokens::list).post(write::create))
        .service(resource("/tokens/auth/initialize").route(post().to(authorization::initialize)))
        .service(resource("/tokens/auth/status/{key}").route(get().to(authorization::authorization_status)))
        .service(resource("/tokens/auth/task/{task_id}").route(get().to(authorization::authorization_task)))
        .service(resource("/tokens/user/{user_id}").route(get().to(tokens::of_user)))
        .service(resource("/tokens/{token_id}").get(tokens::get).put(write::change).delete(tokens::delete))
        .service(resource("/tokens/{token_id}/refresh").route(post().to(check::refresh)))
        .service(resource("/tokens/{token_id}/validate").route(post().to(check::validate)))
        .service(resource("/sync/manual/{user_id}").route(post().to(sync::start)))
        .service(resource("/sync/events/{user_id}").route(post().to(sync::start_events)))
        .service(resource("/sync/activate").route(post().to(following::activate)))
        .service(resource("/sync/deactivate").route(post().to(following::deactivate)))
        .service(resource("/sync/active").route(get().to(following::active)))
        .service(resource("/sync/history/{user_id}").route(get().to(readings::list)))
        .service(resource("/sync/gaps/{token_id}").route(get().to(readings::gaps)))
        .service(resource("/sync/status/{user_id}").route(get().to(sync::status)))
        .service(resource("/orders/{user_id}").route(get().to(orders::list)))
        .service(resource("/orders/{user_id}/export").route(get().to(orders::export::get)))
        .service(resource("/orders/{user_id}/statistics").route(get().to(orders::statistics::get)))
        .service(resource("/orders/{user_id}/{order_id}").route(get().to(orders::get)))
        .service(resource("/orders/{user_id}/{order_id}/versions").route(get().to(orders::history::versions)))
        .service(
            resource("/orders/{user_id}/{order_id}/versions/diff")
                .route(get().to(orders::history::difference)),
        )
        .service(resource("/orders/{user_id}/{order_id}/events").route(get().to(orders::history::events)))
        .service(resource("/orders/{user_id}/{order_id}/sync").route(post().to(orders::sync::start)))
        .service(
            resource("/orders/{token_id}/{order_id}/technical-flags").route(get().to(orders::flags::get)),
        )
        .service(
            resource("/orders/{token_id}/{order_id}/stock-status")
                .route(patch().to(orders::flags::set_stock)),
        )
        .service(
            resource("/orders/{token_id}/{order_id}/invoice-status")
                .route(patch().to(orders::flags::set_invoice)),
        );
}
