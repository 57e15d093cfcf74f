//! Where things lie.

use actix_web::HttpResponse;
use actix_web::web::Data;
use domain::WarehouseName;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;
use web::{Answer, ApiJson, ApiPath, Caller, Idempotent, Problem};

use super::inventory::shop;
use super::problems::{WAREHOUSE_EXISTS, WAREHOUSE_IN_USE, WAREHOUSE_NOT_FOUND};
use crate::app::warehouses::{self, Error, Warehouse, Wish};
use crate::state::State;

/// A place where things lie.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "name": "Ирина", "is_active": true, "allows_negative": false, "is_default": true,
    "created_at": "2026-11-21T08:00:00Z", "updated_at": "2026-11-21T08:00:00Z",
}))]
pub(crate) struct WarehouseView {
    name: String,
    /// False when nothing is put there any more.
    is_active: bool,
    /// Whether its levels may go below zero.
    allows_negative: bool,
    /// Sales are taken from it unless an account names another.
    is_default: bool,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    updated_at: OffsetDateTime,
}

impl WarehouseView {
    fn of(state: &State, warehouse: Warehouse) -> Self {
        Self {
            is_default: warehouse.name == state.settings.default_warehouse,
            name: warehouse.name,
            is_active: warehouse.is_active,
            allows_negative: warehouse.allows_negative,
            created_at: warehouse.created_at,
            updated_at: warehouse.updated_at,
        }
    }
}

/// Every warehouse.
#[derive(Serialize, ToSchema)]
pub(crate) struct Warehouses {
    items: Vec<WarehouseView>,
}

/// A warehouse to be.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({ "name": "Łódź", "allows_negative": false }))]
#[serde(deny_unknown_fields)]
pub(crate) struct NewWarehouse {
    name: WarehouseName,
    #[serde(default)]
    allows_negative: bool,
}

/// What is to be different.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({ "is_active": false }))]
#[serde(deny_unknown_fields)]
pub(crate) struct WarehouseChange {
    is_active: Option<bool>,
    allows_negative: Option<bool>,
}

/// Every warehouse, by name.
#[utoipa::path(get, path = "/api/v1/warehouses", tag = "warehouses", operation_id = "list_warehouses",
    responses((status = 200, description = "All of them", body = Warehouses),
              (status = 403, description = "not_of_one_user")))]
pub(crate) async fn list(state: Data<State>, caller: Caller) -> Result<HttpResponse, Problem> {
    shop(&caller)?;
    warehouses::ensure_default(&state).await.map_err(|error| Problem::database(&error))?;
    let found = warehouses::list(&state).await.map_err(|error| Problem::database(&error))?;
    let items = found.into_iter().map(|it| WarehouseView::of(&state, it)).collect();
    Ok(HttpResponse::Ok().json(Warehouses { items }))
}

/// Adds a warehouse.
#[utoipa::path(post, path = "/api/v1/warehouses", tag = "warehouses", operation_id = "add_warehouse",
    request_body = NewWarehouse,
    responses((status = 201, description = "It is there", body = WarehouseView),
              (status = 403, description = "not_of_one_user"),
              (status = 409, description = "warehouse_exists")))]
pub(crate) async fn add(
    state: Data<State>,
    caller: Caller,
    idempotent: Idempotent,
    ApiJson(wanted): ApiJson<NewWarehouse>,
) -> Result<HttpResponse, Problem> {
    shop(&caller)?;
    idempotent
        .run(async |conn| {
            let added =
                warehouses::add(&state, conn, &wanted.name, wanted.allows_negative).await.map_err(problem)?;
            Answer::created(&WarehouseView::of(&state, added))
        })
        .await
}

/// Puts a warehouse out of use or back, or changes its rule.
#[utoipa::path(patch, path = "/api/v1/warehouses/{name}", tag = "warehouses", operation_id = "change_warehouse",
    params(("name" = inline(WarehouseName), Path, description = "Its name", example = "Warszawa")), request_body = WarehouseChange,
    responses((status = 200, description = "As it is now", body = WarehouseView),
              (status = 403, description = "not_of_one_user"), (status = 404, description = "warehouse_not_found"),
              (status = 409, description = "warehouse_in_use")))]
pub(crate) async fn change(
    state: Data<State>,
    caller: Caller,
    name: ApiPath<WarehouseName>,
    ApiJson(wanted): ApiJson<WarehouseChange>,
) -> Result<HttpResponse, Problem> {
    shop(&caller)?;
    let wish = Wish { is_active: wanted.is_active, allows_negative: wanted.allows_negative };
    let changed =
        state.pool.transaction(async |conn| warehouses::change(&state, conn, &name, wish).await).await;
    Ok(HttpResponse::Ok().json(WarehouseView::of(&state, changed.map_err(problem)?)))
}

/// Removes a warehouse nothing ever was in.
#[utoipa::path(delete, path = "/api/v1/warehouses/{name}", tag = "warehouses", operation_id = "remove_warehouse",
    params(("name" = inline(WarehouseName), Path, description = "Its name", example = "Warszawa")),
    responses((status = 204, description = "It is gone"),
              (status = 403, description = "not_of_one_user"), (status = 404, description = "warehouse_not_found"),
              (status = 409, description = "warehouse_in_use")))]
pub(crate) async fn remove(
    state: Data<State>,
    caller: Caller,
    name: ApiPath<WarehouseName>,
) -> Result<HttpResponse, Problem> {
    shop(&caller)?;
    let removed = state.pool.transaction(async |conn| warehouses::remove(&state, conn, &name).await).await;
    removed.map_err(problem)?;
    Ok(HttpResponse::NoContent().finish())
}

fn problem(error: Error) -> Problem {
    match error {
        Error::NotFound => Problem::new(&WAREHOUSE_NOT_FOUND),
        Error::Exists => Problem::new(&WAREHOUSE_EXISTS),
        Error::InUse(why) => Problem::new(&WAREHOUSE_IN_USE).detail(why),
        Error::Database(error) => Problem::database(&error),
    }
}
