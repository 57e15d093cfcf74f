//! Accounts and how they are connected. No answer ever holds a token.

use actix_web::HttpResponse;
use actix_web::web::Data;
use domain::{AuthorizationId, TaskId, TokenId};
use serde::{Deserialize, Serialize};
use tasks::http::{TASK_NOT_FOUND, TaskView};
use time::OffsetDateTime;
use utoipa::ToSchema;
use web::{Answer, ApiJson, ApiPath, Caller, FieldErrors, Once, Problem, RequestId};

use super::problems::{self, AUTHORIZATION_NOT_FOUND, TOKEN_NOT_FOUND};
use crate::app::accounts::{self, Account, Authorization};
use crate::app::connect::{self, Begun};
use crate::state::State;

const MAX_CHARACTERS: usize = 255;

/// A connected Allegro account.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "id": "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f", "user_id": "sklep-zielony", "account_name": "Świece",
    "allegro_seller_id": "1000001", "allegro_login": "sklep-zielony-pl", "scopes": ["allegro:api:orders:read"],
    "expires_at": "2026-11-21T20:00:00Z", "last_refreshed_at": null, "is_active": true,
    "needs_reauthorization": false, "reauthorization_reason": null, "connected_at": "2026-11-21T08:00:00Z",
}))]
pub(crate) struct TokenView {
    id: TokenId,
    #[schema(example = "sklep-zielony")]
    user_id: String,
    account_name: Option<String>,
    #[schema(example = "1000001")]
    allegro_seller_id: String,
    allegro_login: String,
    scopes: Vec<String>,
    #[serde(with = "time::serde::rfc3339")]
    expires_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    last_refreshed_at: Option<OffsetDateTime>,
    is_active: bool,
    /// True when Allegro no longer takes the account's tokens: its owner must connect it again.
    needs_reauthorization: bool,
    reauthorization_reason: Option<String>,
    #[serde(with = "time::serde::rfc3339")]
    connected_at: OffsetDateTime,
}

impl From<&Account> for TokenView {
    fn from(account: &Account) -> Self {
        Self {
            id: account.id(),
            user_id: account.user_id.clone(),
            account_name: account.account_name.clone(),
            allegro_seller_id: account.allegro_seller_id.clone(),
            allegro_login: account.allegro_login.clone(),
            scopes: account.scopes.split_whitespace().map(str::to_owned).collect(),
            expires_at: account.expires_at,
            last_refreshed_at: account.last_refreshed_at,
            is_active: account.is_active,
            needs_reauthorization: account.needs_reauthorization,
            reauthorization_reason: account.reauthorization_reason.clone(),
            connected_at: account.connected_at,
        }
    }
}

/// The connected accounts.
#[derive(Serialize, ToSchema)]
pub(crate) struct TokenList {
    items: Vec<TokenView>,
}

/// Who connects an account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "user_id": "sklep-zielony", "account_name": "Świece" }))]
pub(crate) struct Initialize {
    /// The user the account will belong to; 1 to 255 characters.
    #[schema(example = "sklep-zielony", min_length = 1, max_length = 255)]
    user_id: String,
    /// How the user calls the account.
    #[schema(max_length = 255)]
    account_name: Option<String>,
}

/// What the account's owner does next: open the address, type the code, allow.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "authorization_id": "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398d", "task_id": "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398e",
    "user_code": "cbt3zdu4g", "verification_uri": "https://allegro.pl/skojarz-aplikacje",
    "verification_uri_complete": "https://allegro.pl/skojarz-aplikacje?code=cbt3zdu4g", "expires_in": 3600,
    "interval": 5,
}))]
pub(crate) struct Initialized {
    authorization_id: AuthorizationId,
    task_id: TaskId,
    #[schema(example = "cbt3zdu4g")]
    user_code: String,
    verification_uri: String,
    verification_uri_complete: String,
    /// Seconds the code lives.
    expires_in: u32,
    /// Seconds between two polls of Allegro.
    interval: u32,
}

impl From<Begun> for Initialized {
    fn from(begun: Begun) -> Self {
        Self {
            authorization_id: begun.id,
            task_id: begun.task_id,
            user_code: begun.user_code,
            verification_uri: begun.verification_uri,
            verification_uri_complete: begun.verification_uri_complete,
            expires_in: begun.expires_in,
            interval: begun.interval,
        }
    }
}

/// How connecting an account goes.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "authorization_id": "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398d", "task_id": "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398e",
    "user_id": "sklep-zielony", "account_name": "Świece", "status": "pending", "error": null, "token_id": null,
    "user_code": "cbt3zdu4g", "verification_uri": "https://allegro.pl/skojarz-aplikacje",
    "verification_uri_complete": "https://allegro.pl/skojarz-aplikacje?code=cbt3zdu4g",
    "expires_at": "2026-11-21T09:00:00Z",
}))]
pub(crate) struct AuthorizationView {
    authorization_id: AuthorizationId,
    task_id: TaskId,
    user_id: String,
    account_name: Option<String>,
    /// `pending`, `completed`, `denied`, `expired` or `failed`.
    #[schema(example = "pending")]
    status: String,
    /// Why it did not come to an account.
    error: Option<String>,
    /// The account, once completed.
    token_id: Option<TokenId>,
    user_code: String,
    verification_uri: String,
    verification_uri_complete: String,
    #[serde(with = "time::serde::rfc3339")]
    expires_at: OffsetDateTime,
}

impl From<Authorization> for AuthorizationView {
    fn from(authorization: Authorization) -> Self {
        Self {
            authorization_id: authorization.id(),
            task_id: authorization.task_id(),
            token_id: authorization.token_id(),
            user_id: authorization.user_id,
            account_name: authorization.account_name,
            status: authorization.status,
            error: authorization.error,
            user_code: authorization.user_code,
            verification_uri: authorization.verification_uri,
            verification_uri_complete: authorization.verification_uri_complete,
            expires_at: authorization.expires_at,
        }
    }
}

/// The task that polls, and what it polls for.
#[derive(Serialize, ToSchema)]
pub(crate) struct AuthorizationTaskView {
    #[serde(flatten)]
    task: TaskView,
    authorization: AuthorizationView,
}

/// Begins connecting an account.
///
/// The owner opens `verification_uri_complete` and allows; the account is then connected by itself, and its orders
/// are backed up.
#[utoipa::path(post, path = "/api/v1/tokens/auth/initialize", tag = "tokens", operation_id = "begin_authorization",
    request_body = Initialize,
    responses((status = 202, description = "Begun", body = Initialized), (status = 503, description = "allegro_refused")))]
pub(crate) async fn initialize(
    state: Data<State>,
    caller: Caller,
    request_id: RequestId,
    once: Once,
    ApiJson(wish): ApiJson<Initialize>,
) -> Result<HttpResponse, Problem> {
    let mut errors = FieldErrors::default();
    let is_well_sized = (1..=MAX_CHARACTERS).contains(&wish.user_id.chars().count());
    errors.check(is_well_sized, "/user_id", "wrong_length", "is 1 to 255 characters long");
    errors.check(!wish.user_id.contains('\0'), "/user_id", "nul_character", "must not hold U+0000");
    if let Some(name) = &wish.account_name {
        let is_well_sized = (1..=MAX_CHARACTERS).contains(&name.chars().count());
        errors.check(is_well_sized, "/account_name", "wrong_length", "is 1 to 255 characters long");
        errors.check(!name.contains('\0'), "/account_name", "nul_character", "must not hold U+0000");
    }
    errors.check(caller.sees(&wish.user_id), "/user_id", "foreign_user", "is another user");
    errors.finish()?;
    if let Some(answer) = once.answered().await? {
        return Ok(answer);
    }
    let code = connect::ask(&state).await.map_err(|error| problems::allegro(&error))?;
    let wish = connect::Wish {
        user_id: &wish.user_id,
        account_name: wish.account_name.as_deref(),
        requested_by: &caller.subject,
        correlation_id: request_id.as_str(),
    };
    once.run(async |conn| {
        let begun = connect::begin(conn, &state, &wish, code).await;
        let begun = begun.map_err(|error| problems::allegro(&error))?;
        Answer::accepted(&Initialized::from(begun))
    })
    .await
}

/// How connecting goes, by the authorization's id or by Allegro's device code.
#[utoipa::path(get, path = "/api/v1/tokens/auth/status/{key}", tag = "tokens", operation_id = "get_authorization",
    params(("key" = String, Path, description = "The authorization's id, or the device code",
            example = "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398d")),
    responses((status = 200, description = "How it goes", body = AuthorizationView),
              (status = 404, description = "authorization_not_found")))]
pub(crate) async fn authorization_status(
    state: Data<State>,
    caller: Caller,
    key: ApiPath<String>,
) -> Result<HttpResponse, Problem> {
    let found = accounts::authorization(&state, &key).await.map_err(|error| Problem::database(&error))?;
    let found = found.filter(|it| caller.sees(&it.user_id));
    let found = found.ok_or_else(|| Problem::new(&AUTHORIZATION_NOT_FOUND))?;
    Ok(HttpResponse::Ok().json(AuthorizationView::from(found)))
}

/// How the task that polls goes.
#[utoipa::path(get, path = "/api/v1/tokens/auth/task/{task_id}", tag = "tokens", operation_id = "get_authorization_task",
    params(("task_id" = TaskId, Path, description = "The task's id", example = "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398e")),
    responses((status = 200, description = "How it goes", body = AuthorizationTaskView),
              (status = 404, description = "task_not_found")))]
pub(crate) async fn authorization_task(
    state: Data<State>,
    caller: Caller,
    task_id: ApiPath<TaskId>,
) -> Result<HttpResponse, Problem> {
    let found = accounts::authorization_task(&state, *task_id).await;
    let found = found.map_err(|error| Problem::database(&error))?;
    let found = found.filter(|(_, authorization)| caller.sees(&authorization.user_id));
    let (task, authorization) = found.ok_or_else(|| Problem::new(&TASK_NOT_FOUND))?;
    Ok(HttpResponse::Ok()
        .json(AuthorizationTaskView { task: task.into(), authorization: authorization.into() }))
}

/// The connected accounts; a caller bound to a user sees that user's.
#[utoipa::path(get, path = "/api/v1/tokens", tag = "tokens", operation_id = "list_accounts",
    responses((status = 200, description = "The accounts", body = TokenList)))]
pub(crate) async fn list(state: Data<State>, caller: Caller) -> Result<HttpResponse, Problem> {
    answer_list(&state, caller.user_id.as_deref()).await
}

/// The connected accounts of one user.
#[utoipa::path(get, path = "/api/v1/tokens/user/{user_id}", tag = "tokens", operation_id = "list_accounts_of_user",
    params(("user_id" = String, Path, description = "The user whose accounts are meant", example = "sklep-zielony")),
    responses((status = 200, description = "The accounts", body = TokenList)))]
pub(crate) async fn of_user(
    state: Data<State>,
    caller: Caller,
    user_id: ApiPath<String>,
) -> Result<HttpResponse, Problem> {
    if !caller.sees(&user_id) {
        return Ok(HttpResponse::Ok().json(TokenList { items: Vec::new() }));
    }
    answer_list(&state, Some(&user_id)).await
}

async fn answer_list(state: &State, user_id: Option<&str>) -> Result<HttpResponse, Problem> {
    let found = accounts::list(state, user_id).await.map_err(|error| Problem::database(&error))?;
    Ok(HttpResponse::Ok().json(TokenList { items: found.iter().map(TokenView::from).collect() }))
}

/// One connected account.
#[utoipa::path(get, path = "/api/v1/tokens/{token_id}", tag = "tokens", operation_id = "get_account",
    params(("token_id" = TokenId, Path, description = "The account's id", example = "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f")),
    responses((status = 200, description = "The account", body = TokenView),
              (status = 404, description = "token_not_found")))]
pub(crate) async fn get(
    state: Data<State>,
    caller: Caller,
    token_id: ApiPath<TokenId>,
) -> Result<HttpResponse, Problem> {
    let found = visible(&state, &caller, *token_id).await?;
    Ok(HttpResponse::Ok().json(TokenView::from(&found)))
}

/// Removes an account: nothing is read for it any more. Its orders stay.
#[utoipa::path(delete, path = "/api/v1/tokens/{token_id}", tag = "tokens", operation_id = "remove_account",
    params(("token_id" = TokenId, Path, description = "The account's id", example = "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f")),
    responses((status = 204, description = "Removed"), (status = 404, description = "token_not_found")))]
pub(crate) async fn delete(
    state: Data<State>,
    caller: Caller,
    token_id: ApiPath<TokenId>,
) -> Result<HttpResponse, Problem> {
    let found = visible(&state, &caller, *token_id).await?;
    accounts::remove(&state, found.id(), &caller.subject).await.map_err(|error| Problem::database(&error))?;
    Ok(HttpResponse::NoContent().finish())
}

async fn visible(state: &State, caller: &Caller, id: TokenId) -> Result<Account, Problem> {
    let found = accounts::find(state, id).await.map_err(|error| Problem::database(&error))?;
    found.filter(|account| caller.sees(&account.user_id)).ok_or_else(|| Problem::new(&TOKEN_NOT_FOUND))
}
