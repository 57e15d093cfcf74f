//! The HTTP interface, prefix `/api/v1`.

mod accounts;
mod findings;
mod goods;
mod import;
mod inventory;
mod movements;
mod operations;
mod orders;
mod problems;
mod reconcile;
mod status;
mod stock;
mod warehouses;

use actix_web::web::{ServiceConfig, delete, get, patch, post, put, resource};
use utoipa::OpenApi;
use web::openapi::to_json;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "stock-sync",
        description = "Stock follows sales: each sold unit leaves the warehouse once and comes back once."
    ),
    paths(
        status::get,
        reconcile::start,
        findings::runs,
        findings::list,
        accounts::list,
        accounts::change,
        goods::list,
        goods::add,
        goods::remove,
        operations::list,
        operations::get,
        operations::retry,
        operations::cancel,
        orders::process,
        stock::list,
        stock::explain,
        stock::set,
        movements::list,
        movements::adjust,
        import::import,
        warehouses::list,
        warehouses::add,
        warehouses::change,
        warehouses::remove,
    )
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
        .service(resource("/stock-sync/status").route(get().to(status::get)))
        .service(resource("/stock-sync/reconcile").route(post().to(reconcile::start)))
        .service(resource("/stock-sync/reconciliations").route(get().to(findings::runs)))
        .service(resource("/stock-sync/discrepancies").route(get().to(findings::list)))
        .service(resource("/stock-sync/accounts").route(get().to(accounts::list)))
        .service(resource("/stock-sync/accounts/{token_id}").route(patch().to(accounts::change)))
        .service(resource("/stock-sync/goods").get(goods::list).post(goods::add))
        .service(resource("/stock-sync/goods/{id}").route(delete().to(goods::remove)))
        .service(resource("/stock-sync/pending").route(get().to(operations::list)))
        .service(resource("/stock-sync/operations/{id}").route(get().to(operations::get)))
        .service(resource("/stock-sync/retry/{id}").route(post().to(operations::retry)))
        .service(resource("/stock-sync/cancel/{id}").route(delete().to(operations::cancel)))
        .service(resource("/orders/process").route(post().to(orders::process)))
        .service(resource("/stock").route(get().to(stock::list)))
        .service(resource("/stock/movements").route(get().to(movements::list)))
        .service(resource("/stock/adjustments").route(post().to(movements::adjust)))
        .service(resource("/stock/import").route(post().to(import::import)))
        .service(resource("/warehouses").get(warehouses::list).post(warehouses::add))
        .service(resource("/warehouses/{name}").patch(warehouses::change).delete(warehouses::remove))
        .service(resource("/stock/{sku}").route(get().to(stock::explain)))
        .service(resource("/stock/{sku}/{warehouse}").route(put().to(stock::set)));
}
