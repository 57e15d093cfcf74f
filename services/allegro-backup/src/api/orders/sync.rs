//! Asking Allegro for one order again.

use actix_web::HttpResponse;
use actix_web::web::Data;
use domain::{TaskId, TokenId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use web::{Answer, ApiPath, ApiQuery, Caller, Idempotent, Problem, RequestId};

use super::super::problems::{NO_ACCOUNT, connected};
use super::path::OrderOfUser;
use crate::app::refetch;
use crate::state::State;

/// Which account's order.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Account {
    /// The account, where several of the user's have the order; else the one that changed last.
    #[param(example = "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f")]
    token_id: Option<TokenId>,
}

/// An order that will be asked for.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({ "task_id": "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398e" }))]
pub(crate) struct Asked {
    task_id: TaskId,
}

/// Asks Allegro for one order again, in its turn after the account's other tasks. Asking again before it was done gives
/// the same task.
#[utoipa::path(post, path = "/api/v1/orders/{user_id}/{order_id}/sync", tag = "orders", operation_id = "sync_order",
    params(OrderOfUser, Account),
    responses((status = 202, description = "Asked for", body = Asked),
              (status = 404, description = "order_not_found, no_account"),
              (status = 409, description = "needs_reauthorization")))]
pub(crate) async fn start(
    state: Data<State>,
    caller: Caller,
    request_id: RequestId,
    idempotent: Idempotent,
    path: ApiPath<OrderOfUser>,
    ApiQuery(account): ApiQuery<Account>,
) -> Result<HttpResponse, Problem> {
    // The account may be gone since.
    if let Some(answer) = idempotent.answered().await? {
        return Ok(answer);
    }
    let order = path.find(&state, &caller, account.token_id).await?;
    let account =
        refetch::account(&state, order.token_id()).await.map_err(|error| Problem::database(&error))?;
    let account = account.ok_or_else(|| Problem::new(&NO_ACCOUNT))?;
    connected(&account)?;
    idempotent
        .run(async |conn| {
            let by = (caller.subject.as_str(), request_id.as_str());
            let task = refetch::start(conn, &state, &account, &order.allegro_order_id, by).await;
            let task_id = task.map_err(|error| Problem::database(&error))?;
            Answer::accepted(&Asked { task_id })
        })
        .await
}
