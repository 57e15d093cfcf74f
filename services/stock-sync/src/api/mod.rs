//! The HTTP interface, prefix `/api/v1`.

mod accounts;
mod bundles;
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

use web::Routes;

/// The routes of the service, besides those of tasks and schedules.
pub(crate) const ROUTES: Routes = web::routes! {
    title: "stock-sync",
    description: "Stock follows sales: each sold unit leaves the warehouse once and comes back once.",
    codes: problems::CODES,
    "/stock-sync/status" => { get: status::get },
    "/stock-sync/reconcile" => { post: reconcile::start },
    "/stock-sync/reconciliations" => { get: findings::runs },
    "/stock-sync/discrepancies" => { get: findings::list },
    "/stock-sync/accounts" => { get: accounts::list },
    "/stock-sync/accounts/{token_id}" => { patch: accounts::change },
    "/stock-sync/goods" => { get: goods::list, post: goods::add },
    "/stock-sync/goods/{id}" => { delete: goods::remove },
    "/stock-sync/pending" => { get: operations::list },
    "/stock-sync/operations/{id}" => { get: operations::get },
    "/stock-sync/retry/{id}" => { post: operations::retry },
    "/stock-sync/cancel/{id}" => { delete: operations::cancel },
    "/orders/process" => { post: orders::process },
    "/stock" => { get: stock::list },
    "/stock/movements" => { get: movements::list },
    "/stock/adjustments" => { post: movements::adjust },
    "/stock/import" => { post: import::import },
    "/bundles" => { get: bundles::list },
    "/bundles/import" => { post: bundles::import },
    "/bundles/{sku}" => { put: bundles::set, delete: bundles::remove },
    "/warehouses" => { get: warehouses::list, post: warehouses::add },
    "/warehouses/{name}" => { patch: warehouses::change, delete: warehouses::remove },
    "/stock/{sku}" => { get: stock::explain },
    "/stock/{sku}/{warehouse}" => { put: stock::set },
};
