//! Connecting an account by device flow.

use actix_web::HttpResponse;
use actix_web::web::Data;
use domain::{AuthorizationId, TaskId, TokenId, UserId};
use serde::{Deserialize, Serialize};
use tasks::http::{TASK_NOT_FOUND, TaskView};
use time::OffsetDateTime;
use utoipa::ToSchema;
use web::{Answer, ApiJson, ApiPath, Caller, FieldErrors, Idempotent, Problem, RequestId};

use super::{check_name, read_user_id};
use crate::api::problems::{self, AUTHORIZATION_NOT_FOUND};
use crate::app::accounts::{self, Authorization};
use crate::app::connect::{self, Begun};
use crate::state::State;

/// Who connects an account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "user_id": "sklep-zielony", "account_name": "Świece" }))]
pub(crate) struct Initialize {
    /// The user the account will belong to; 1 to 255 characters.
    #[schema(value_type = UserId)]
    user_id: String,
    /// How the user calls the account.
    #[schema(min_length = 1, max_length = 255)]
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
    idempotent: Idempotent,
    ApiJson(wish): ApiJson<Initialize>,
) -> Result<HttpResponse, Problem> {
    let mut errors = FieldErrors::default();
    let user_id = read_user_id(&mut errors, &caller, &wish.user_id);
    check_name(&mut errors, wish.account_name.as_deref());
    errors.finish()?;
    let user_id = user_id.map_err(|error| Problem::internal(&error))?;
    if let Some(answer) = idempotent.answered().await? {
        return Ok(answer);
    }
    let code = connect::ask(&state).await.map_err(|error| problems::allegro(&error))?;
    let wish = connect::Wish {
        user_id: &user_id,
        account_name: wish.account_name.as_deref(),
        requested_by: &caller.subject,
        correlation_id: request_id.as_str(),
    };
    idempotent
        .run(async |conn| {
            let begun = connect::begin(conn, &state, &wish, code.clone()).await;
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
    let found = found.filter(|it| caller.may_see(Some(&it.user_id)));
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
    let found = found.filter(|(_, authorization)| caller.may_see(Some(&authorization.user_id)));
    let (task, authorization) = found.ok_or_else(|| Problem::new(&TASK_NOT_FOUND))?;
    Ok(HttpResponse::Ok()
        .json(AuthorizationTaskView { task: task.into(), authorization: authorization.into() }))
}
