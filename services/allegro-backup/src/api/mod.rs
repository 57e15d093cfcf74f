//! The HTTP interface, prefix `/api/v1`.

mod orders;
mod problems;
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
        tokens::initialize,
        tokens::authorization_status,
        tokens::authorization_task,
        tokens::list,
        tokens::get,
        tokens::of_user,
        tokens::delete,
        orders::list,
        orders::get,
        sync::start,
        sync::status,
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
    use actix_web::web::{get, post};
    tasks::http::routes(config, "/sync", pool);
    config
        .service(resource("/tokens").route(get().to(tokens::list)))
        .service(resource("/tokens/auth/initialize").route(post().to(tokens::initialize)))
        .service(resource("/tokens/auth/status/{key}").route(get().to(tokens::authorization_status)))
        .service(resource("/tokens/auth/task/{task_id}").route(get().to(tokens::authorization_task)))
        .service(resource("/tokens/user/{user_id}").route(get().to(tokens::of_user)))
        .service(resource("/tokens/{token_id}").get(tokens::get).delete(tokens::delete))
        .service(resource("/sync/manual/{user_id}").route(post().to(sync::start)))
        .service(resource("/sync/status/{user_id}").route(get().to(sync::status)))
        .service(resource("/orders/{user_id}").route(get().to(orders::list)))
        .service(resource("/orders/{user_id}/{order_id}").route(get().to(orders::get)));
}
