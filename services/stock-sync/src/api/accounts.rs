//! Accounts: from when on their sales count, and where they are taken from.

use actix_web::HttpResponse;
use actix_web::web::Data;
use domain::{TokenId, WarehouseName};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;
use web::{ApiJson, ApiPath, Caller, Problem};

use super::problems::{ACCOUNT_NOT_FOUND, WAREHOUSE_NOT_FOUND};
use crate::app::accounts::{self, Account, Change, Error};
use crate::domain::wish::Wish;
use crate::state::State;

/// A connected account.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "token_id": "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f", "user_id": "sklep-zielony", "allegro_seller_id": "44332211",
    "connected_at": "2026-11-20T18:00:00Z", "stock_from": "2026-11-20T18:00:00Z", "warehouse": null,
}))]
pub(crate) struct AccountView {
    token_id: Uuid,
    user_id: String,
    allegro_seller_id: String,
    #[serde(with = "time::serde::rfc3339")]
    connected_at: OffsetDateTime,
    /// Only what was bought from then on is taken from the shelf.
    #[serde(with = "time::serde::rfc3339")]
    stock_from: OffsetDateTime,
    /// Where its sales are taken from; null for the default warehouse.
    warehouse: Option<String>,
}

/// Accounts.
#[derive(Serialize, ToSchema)]
pub(crate) struct Accounts {
    items: Vec<AccountView>,
}

/// What is to be different.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({ "stock_from": "2026-11-21T00:00:00Z", "warehouse": "Łódź" }))]
#[serde(deny_unknown_fields)]
pub(crate) struct AccountChange {
    #[serde(default, with = "domain::instant::option")]
    stock_from: Option<OffsetDateTime>,
    /// As it was when absent; null for the default warehouse.
    #[serde(default)]
    #[schema(value_type = Option<WarehouseName>)]
    warehouse: Wish<WarehouseName>,
}

/// The connected accounts; of a caller bound to a user, that user's.
#[utoipa::path(get, path = "/api/v1/stock-sync/accounts", tag = "accounts", operation_id = "list_accounts",
    responses((status = 200, description = "All of them", body = Accounts)))]
pub(crate) async fn list(state: Data<State>, caller: Caller) -> Result<HttpResponse, Problem> {
    let found = accounts::list(&state, caller.user_id.as_deref()).await;
    let found = found.map_err(|error| Problem::database(&error))?;
    Ok(HttpResponse::Ok().json(Accounts { items: found.into_iter().map(AccountView::from).collect() }))
}

/// Says from when on an account's sales count, and where they are taken from. What was taken before stays taken.
#[utoipa::path(patch, path = "/api/v1/stock-sync/accounts/{token_id}", tag = "accounts",
    operation_id = "change_account", request_body = AccountChange,
    params(("token_id" = Uuid, Path, description = "The account", example = "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f")),
    responses((status = 200, description = "As it is now", body = AccountView),
              (status = 404, description = "account_not_found, warehouse_not_found")))]
pub(crate) async fn change(
    state: Data<State>,
    caller: Caller,
    token_id: ApiPath<TokenId>,
    ApiJson(wanted): ApiJson<AccountChange>,
) -> Result<HttpResponse, Problem> {
    let wish = Change { stock_from: wanted.stock_from, warehouse: wanted.warehouse.map(String::from) };
    let changed = state.pool.transaction(async |conn| {
        accounts::change(&state, conn, *token_id, wish.clone(), |user_id| caller.may_see(Some(user_id))).await
    });
    let account = changed.await.map_err(|error| match error {
        Error::NotFound => Problem::new(&ACCOUNT_NOT_FOUND),
        Error::NoWarehouse => Problem::new(&WAREHOUSE_NOT_FOUND),
        Error::Database(error) => Problem::database(&error),
    })?;
    Ok(HttpResponse::Ok().json(AccountView::from(account)))
}

impl From<Account> for AccountView {
    fn from(account: Account) -> Self {
        Self {
            token_id: account.token_id,
            user_id: account.user_id,
            allegro_seller_id: account.allegro_seller_id,
            connected_at: account.connected_at,
            stock_from: account.stock_from,
            warehouse: account.warehouse,
        }
    }
}
