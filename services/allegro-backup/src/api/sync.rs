//! Starting a sync, and looking at how it goes.

use actix_web::HttpResponse;
use actix_web::web::Data;
use domain::{TaskId, TokenId};
use serde::{Deserialize, Serialize};
use tasks::http::TaskView;
use time::OffsetDateTime;
use utoipa::ToSchema;
use web::{Answer, ApiJson, ApiPath, Caller, Once, Problem, RequestId};

use super::problems::{NO_ACCOUNT, SEVERAL_ACCOUNTS, TOKEN_NOT_FOUND};
use crate::app::accounts;
use crate::app::syncs::{self, Standing};
use crate::state::State;

/// Which account.
#[derive(Deserialize, ToSchema, Default)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "token_id": "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f" }))]
pub(crate) struct Start {
    /// Needed where the user has several accounts.
    token_id: Option<TokenId>,
}

/// A sync that was asked for.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({ "task_id": "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398e" }))]
pub(crate) struct Started {
    task_id: TaskId,
}

/// How an account's sync goes.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "token_id": "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f", "account_name": "Świece", "allegro_login": "sklep-zielony-pl",
    "state": "following_events", "orders_read": 2060, "orders_total": 2060, "last_event_id": "1674115432119",
    "last_complete_list_sync": "2026-11-21T08:00:31Z", "last_events_sync": "2026-11-21T08:03:00Z", "task": null,
}))]
pub(crate) struct StandingView {
    token_id: TokenId,
    account_name: Option<String>,
    allegro_login: String,
    /// `waiting` (no list read yet), `reading_list`, `following_events` or `needs_reauthorization`.
    #[schema(example = "following_events")]
    state: &'static str,
    /// Orders of the list read so far, and in all.
    orders_read: i64,
    orders_total: i64,
    last_event_id: Option<String>,
    #[serde(with = "time::serde::rfc3339::option")]
    last_complete_list_sync: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    last_events_sync: Option<OffsetDateTime>,
    /// The latest reading of the list.
    task: Option<TaskView>,
}

impl From<Standing> for StandingView {
    fn from(Standing { account, cursor, task }: Standing) -> Self {
        let is_reading = task.as_ref().is_some_and(|task| !task.status.is_final());
        let state = if account.needs_reauthorization {
            "needs_reauthorization"
        } else if is_reading && cursor.pass_task_id.is_some() {
            "reading_list"
        } else if cursor.last_complete_list_sync.is_some() {
            "following_events"
        } else {
            "waiting"
        };
        Self {
            token_id: account.id(),
            account_name: account.account_name,
            allegro_login: account.allegro_login,
            state,
            orders_read: cursor.pass_done,
            orders_total: cursor.pass_total,
            last_event_id: cursor.last_event_id,
            last_complete_list_sync: cursor.last_complete_list_sync,
            last_events_sync: cursor.last_events_sync,
            task: task.map(TaskView::from),
        }
    }
}

/// How the syncs of a user's accounts go.
#[derive(Serialize, ToSchema)]
pub(crate) struct StandingList {
    #[schema(example = "sklep-zielony")]
    user_id: String,
    accounts: Vec<StandingView>,
}

/// Reads an account's whole list again. Asking again while it runs gives the same task.
#[utoipa::path(post, path = "/api/v1/sync/manual/{user_id}", tag = "sync", operation_id = "start_sync",
    params(("user_id" = String, Path, description = "The user whose accounts are meant", example = "sklep-zielony")),
    request_body = Start,
    responses((status = 202, description = "Asked for", body = Started),
              (status = 404, description = "no_account, token_not_found"),
              (status = 409, description = "several_accounts")))]
pub(crate) async fn start(
    state: Data<State>,
    caller: Caller,
    request_id: RequestId,
    once: Once,
    user_id: ApiPath<String>,
    ApiJson(wish): ApiJson<Start>,
) -> Result<HttpResponse, Problem> {
    // The account may be gone since.
    if let Some(answer) = once.answered().await? {
        return Ok(answer);
    }
    let accounts = if caller.sees(&user_id) {
        accounts::list(&state, Some(&user_id)).await.map_err(|error| Problem::database(&error))?
    } else {
        Vec::new()
    };
    let account = match (wish.token_id, accounts.as_slice()) {
        (_, []) => return Err(Problem::new(&NO_ACCOUNT)),
        (Some(id), accounts) => accounts.iter().find(|account| account.id() == id),
        (None, [account]) => Some(account),
        (None, _) => return Err(Problem::new(&SEVERAL_ACCOUNTS)),
    };
    let account = account.ok_or_else(|| Problem::new(&TOKEN_NOT_FOUND))?;
    once.run(async |conn| {
        let task = syncs::start(conn, &state, account, &caller.subject, request_id.as_str()).await;
        let task_id = task.map_err(|error| Problem::database(&error))?;
        Answer::accepted(&Started { task_id })
    })
    .await
}

/// How the syncs of a user's accounts go.
#[utoipa::path(get, path = "/api/v1/sync/status/{user_id}", tag = "sync", operation_id = "get_sync_status",
    params(("user_id" = String, Path, description = "The user whose accounts are meant", example = "sklep-zielony")),
    responses((status = 200, description = "How they go", body = StandingList)))]
pub(crate) async fn status(
    state: Data<State>,
    caller: Caller,
    user_id: ApiPath<String>,
) -> Result<HttpResponse, Problem> {
    let standings = if caller.sees(&user_id) {
        syncs::standing(&state, &user_id).await.map_err(|error| Problem::database(&error))?
    } else {
        Vec::new()
    };
    let accounts = standings.into_iter().map(StandingView::from).collect();
    Ok(HttpResponse::Ok().json(StandingList { user_id: user_id.clone(), accounts }))
}
