//! Whether accounts are followed, and how often.

use actix_web::HttpResponse;
use actix_web::web::Data;
use domain::TokenId;
use serde::{Deserialize, Serialize};
use tasks::schedules::Schedule;
use time::OffsetDateTime;
use utoipa::ToSchema;
use web::{Answer, ApiJson, Caller, FieldErrors, Idempotent, Problem};

use super::problems::{TOKEN_NOT_FOUND, connected};
use crate::app::accounts::{self, Account};
use crate::app::syncs;
use crate::state::State;

/// Which account, and how often.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "token_id": "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f", "interval_minutes": 5 }))]
pub(crate) struct Activate {
    token_id: TokenId,
    /// How often its journal is read.
    #[schema(minimum = 1, maximum = 1440)]
    interval_minutes: u32,
}

/// Which account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "token_id": "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f" }))]
pub(crate) struct Deactivate {
    token_id: TokenId,
}

/// Whether an account is followed.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({ "token_id": "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f", "is_active": true }))]
pub(crate) struct Switched {
    token_id: TokenId,
    is_active: bool,
}

/// An account that is followed.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "token_id": "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f", "user_id": "sklep-zielony", "account_name": "Świece",
    "interval_seconds": 180.0, "next_run_at": "2026-11-21T08:06:00Z", "last_run_at": "2026-11-21T08:03:00Z",
    "last_success_at": "2026-11-21T08:03:01Z", "last_error": null,
}))]
pub(crate) struct ActiveView {
    token_id: TokenId,
    user_id: String,
    account_name: Option<String>,
    /// How often its journal is read.
    interval_seconds: Option<f64>,
    #[serde(with = "time::serde::rfc3339")]
    next_run_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    last_run_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    last_success_at: Option<OffsetDateTime>,
    /// Error of the last run; null if it succeeded.
    last_error: Option<String>,
}

/// The accounts that are followed.
#[derive(Serialize, ToSchema)]
pub(crate) struct ActiveList {
    items: Vec<ActiveView>,
}

impl From<(Account, Schedule)> for ActiveView {
    fn from((account, schedule): (Account, Schedule)) -> Self {
        Self {
            token_id: account.id(),
            user_id: account.user_id,
            account_name: account.account_name,
            interval_seconds: schedule.every_seconds,
            next_run_at: schedule.next_run_at,
            last_run_at: schedule.last_run_at,
            last_success_at: schedule.last_success_at,
            last_error: schedule.last_error,
        }
    }
}

/// Follows an account: its journal at this interval, its open orders and its list at the service's.
#[utoipa::path(post, path = "/api/v1/sync/activate", tag = "sync", operation_id = "activate_sync",
    request_body = Activate,
    responses((status = 200, description = "It is followed", body = Switched),
              (status = 404, description = "token_not_found"),
              (status = 409, description = "needs_reauthorization")))]
pub(crate) async fn activate(
    state: Data<State>,
    caller: Caller,
    idempotent: Idempotent,
    ApiJson(wish): ApiJson<Activate>,
) -> Result<HttpResponse, Problem> {
    if let Some(answer) = idempotent.answered().await? {
        return Ok(answer);
    }
    let minutes = u16::try_from(wish.interval_minutes).ok().filter(|minutes| (1..=1440).contains(minutes));
    let mut errors = FieldErrors::default();
    errors.check(minutes.is_some(), "/interval_minutes", "out_of_range", "is a whole number from 1 to 1440");
    errors.finish()?;
    let account = account(&state, &caller, wish.token_id).await?;
    idempotent
        .run(async |conn| {
            let account = held(conn, &account).await?;
            connected(&account)?;
            let done = syncs::activate(conn, &state, &account, minutes.unwrap_or(1)).await;
            done.map_err(|error| Problem::database(&error))?;
            Answer::ok(&Switched { token_id: wish.token_id, is_active: true })
        })
        .await
}

/// Follows an account no longer, until it is activated; what runs goes on, and it can be read by hand.
#[utoipa::path(post, path = "/api/v1/sync/deactivate", tag = "sync", operation_id = "deactivate_sync",
    request_body = Deactivate,
    responses((status = 200, description = "It is not followed", body = Switched),
              (status = 404, description = "token_not_found")))]
pub(crate) async fn deactivate(
    state: Data<State>,
    caller: Caller,
    idempotent: Idempotent,
    ApiJson(wish): ApiJson<Deactivate>,
) -> Result<HttpResponse, Problem> {
    if let Some(answer) = idempotent.answered().await? {
        return Ok(answer);
    }
    let account = account(&state, &caller, wish.token_id).await?;
    idempotent
        .run(async |conn| {
            let account = held(conn, &account).await?;
            let done = syncs::deactivate(conn, &state, &account).await;
            done.map_err(|error| Problem::database(&error))?;
            Answer::ok(&Switched { token_id: wish.token_id, is_active: false })
        })
        .await
}

/// The accounts that are followed, and how that goes.
#[utoipa::path(get, path = "/api/v1/sync/active", tag = "sync", operation_id = "list_active_syncs",
    responses((status = 200, description = "The accounts", body = ActiveList)))]
pub(crate) async fn active(state: Data<State>, caller: Caller) -> Result<HttpResponse, Problem> {
    let active = syncs::active(&state, caller.user_id.as_deref()).await;
    let items =
        active.map_err(|error| Problem::database(&error))?.into_iter().map(ActiveView::from).collect();
    Ok(HttpResponse::Ok().json(ActiveList { items }))
}

/// The account as it is now, locked: nobody removes it, or finds that its owner is needed, meanwhile.
async fn held(conn: &mut pg::Connection, account: &Account) -> Result<Account, Problem> {
    let found = accounts::lock(conn, account.id()).await.map_err(|error| Problem::database(&error))?;
    found.filter(|account| account.is_active).ok_or_else(|| Problem::new(&TOKEN_NOT_FOUND))
}

async fn account(state: &State, caller: &Caller, id: TokenId) -> Result<Account, Problem> {
    let found = accounts::find(state, id).await.map_err(|error| Problem::database(&error))?;
    let ours = found.filter(|account| account.is_active && caller.may_see(Some(&account.user_id)));
    ours.ok_or_else(|| Problem::new(&TOKEN_NOT_FOUND))
}
