//! Starting a sync, and looking at how it goes.

use actix_web::HttpResponse;
use actix_web::web::Data;
use domain::{TaskId, TokenId, UserId};
use serde::{Deserialize, Serialize};
use tasks::http::TaskView;
use time::OffsetDateTime;
use utoipa::ToSchema;
use web::{Answer, ApiPath, Caller, FieldErrors, Idempotent, OptionalJson, Problem, RequestId};

use super::problems::{NO_ACCOUNT, SEVERAL_ACCOUNTS, TOKEN_NOT_FOUND, connected};
use crate::app::accounts::{self, Account};
use crate::app::syncs::{self, Asker, OnDuplicate, Standing, Wanted};
use crate::state::State;

/// What is to be read. Everything may be left out, the body too.
#[derive(Deserialize, ToSchema, Default)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "token_id": "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f", "from": "2026-11-01T00:00:00Z", "to": "2026-11-08T00:00:00Z",
    "on_duplicate": "update",
}))]
pub(crate) struct Start {
    /// Needed where the user has several accounts.
    token_id: Option<TokenId>,
    /// Orders bought from this moment on; twelve months back, as far as Allegro lists, when left out or earlier.
    #[serde(default, with = "domain::instant::option")]
    from: Option<OffsetDateTime>,
    /// Orders bought until this moment, within the last twelve months; until now when left out.
    #[serde(default, with = "domain::instant::option")]
    to: Option<OffsetDateTime>,
    /// True reads the whole list, and then what Allegro's journal still holds and we have not; without `from` and `to`.
    #[serde(default)]
    full: bool,
    /// What becomes of orders that are stored already.
    #[serde(default)]
    on_duplicate: OnDuplicate,
}

impl Start {
    fn wanted(&self, now: OffsetDateTime) -> Result<Wanted, Problem> {
        let Self { from, to, full, on_duplicate, .. } = *self;
        let wanted = Wanted { from, to, full, on_duplicate };
        let mut errors = FieldErrors::default();
        for fault in wanted.faults(now) {
            errors.push(format!("/{}", fault.field), fault.code, fault.text);
        }
        errors.finish()?;
        Ok(wanted)
    }
}

/// From when on.
#[derive(Deserialize, ToSchema, Default)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "from_date": "2026-11-20T00:00:00Z" }))]
pub(crate) struct StartEvents {
    /// Needed for one of several accounts; all of the user's when left out.
    token_id: Option<TokenId>,
    /// Reads again what was told from this moment on, and every order that is named; from where the journal was read to
    /// when left out. Allegro keeps 60 days.
    #[serde(default, with = "domain::instant::option")]
    from_date: Option<OffsetDateTime>,
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

/// Reads an account's list. Asking for the same again while it runs gives the same task.
#[utoipa::path(post, path = "/api/v1/sync/manual/{user_id}", tag = "sync", operation_id = "start_sync",
    params(("user_id" = inline(UserId), Path, description = "The user whose accounts are meant", example = "sklep-zielony")),
    request_body = Start,
    responses((status = 202, description = "Asked for", body = Started),
              (status = 404, description = "no_account, token_not_found"),
              (status = 409, description = "several_accounts, needs_reauthorization")))]
pub(crate) async fn start(
    state: Data<State>,
    caller: Caller,
    request_id: RequestId,
    idempotent: Idempotent,
    user_id: ApiPath<UserId>,
    OptionalJson(wish): OptionalJson<Start>,
) -> Result<HttpResponse, Problem> {
    // The account may be gone since.
    if let Some(answer) = idempotent.answered().await? {
        return Ok(answer);
    }
    let wanted = wish.wanted(state.now())?;
    let accounts = accounts_of(&state, &caller, &user_id).await?;
    let account = match (wish.token_id, accounts.as_slice()) {
        (Some(id), accounts) => accounts.iter().find(|account| account.id() == id),
        (None, [account]) => Some(account),
        (None, _) => return Err(Problem::new(&SEVERAL_ACCOUNTS)),
    };
    let account = account.ok_or_else(|| Problem::new(&TOKEN_NOT_FOUND))?;
    connected(account)?;
    let asker = Asker { subject: &caller.subject, correlation_id: request_id.as_str() };
    idempotent
        .run(async |conn| {
            let task = syncs::start(conn, &state, account, asker, wanted).await;
            let task_id = task.map_err(|error| Problem::database(&error))?;
            Answer::accepted(&Started { task_id })
        })
        .await
}

/// Reads the journals of a user's accounts now: the task's result names those that read, one for each account.
#[utoipa::path(post, path = "/api/v1/sync/events/{user_id}", tag = "sync", operation_id = "start_events",
    params(("user_id" = inline(UserId), Path, description = "The user whose accounts are meant", example = "sklep-zielony")),
    request_body = StartEvents,
    responses((status = 202, description = "Asked for", body = Started),
              (status = 404, description = "no_account, token_not_found"),
              (status = 409, description = "needs_reauthorization")))]
pub(crate) async fn start_events(
    state: Data<State>,
    caller: Caller,
    request_id: RequestId,
    idempotent: Idempotent,
    user_id: ApiPath<UserId>,
    OptionalJson(wish): OptionalJson<StartEvents>,
) -> Result<HttpResponse, Problem> {
    if let Some(answer) = idempotent.answered().await? {
        return Ok(answer);
    }
    let mut errors = FieldErrors::default();
    let is_past = wish.from_date.is_none_or(|from| from <= state.now());
    errors.check(is_past, "/from_date", "in_the_future", "is not in the future");
    errors.finish()?;
    let mut accounts = accounts_of(&state, &caller, &user_id).await?;
    accounts.retain(|account| wish.token_id.is_none_or(|wanted| wanted == account.id()));
    if accounts.is_empty() {
        return Err(Problem::new(&TOKEN_NOT_FOUND));
    }
    // Of several, those that can be read are.
    if let [account, ..] = accounts.as_slice()
        && accounts.iter().all(|it| it.needs_reauthorization)
    {
        connected(account)?;
    }
    accounts.retain(|account| !account.needs_reauthorization);
    let asker = Asker { subject: &caller.subject, correlation_id: request_id.as_str() };
    idempotent
        .run(async |conn| {
            let task = syncs::start_events(conn, &state, (&user_id, &accounts), asker, wish.from_date).await;
            let task_id = task.map_err(|error| Problem::database(&error))?;
            Answer::accepted(&Started { task_id })
        })
        .await
}

/// The accounts of a user that the caller may see: one at least.
async fn accounts_of(state: &State, caller: &Caller, user_id: &str) -> Result<Vec<Account>, Problem> {
    let accounts = if caller.may_see(Some(user_id)) {
        accounts::list(state, Some(user_id)).await.map_err(|error| Problem::database(&error))?
    } else {
        Vec::new()
    };
    if accounts.is_empty() { Err(Problem::new(&NO_ACCOUNT)) } else { Ok(accounts) }
}

/// How the syncs of a user's accounts go.
#[utoipa::path(get, path = "/api/v1/sync/status/{user_id}", tag = "sync", operation_id = "get_sync_status",
    params(("user_id" = inline(UserId), Path, description = "The user whose accounts are meant", example = "sklep-zielony")),
    responses((status = 200, description = "How they go", body = StandingList)))]
pub(crate) async fn status(
    state: Data<State>,
    caller: Caller,
    user_id: ApiPath<UserId>,
) -> Result<HttpResponse, Problem> {
    let standings = if caller.may_see(Some(&user_id)) {
        syncs::standing(&state, &user_id).await.map_err(|error| Problem::database(&error))?
    } else {
        Vec::new()
    };
    let accounts = standings.into_iter().map(StandingView::from).collect();
    Ok(HttpResponse::Ok().json(StandingList { user_id: user_id.to_string(), accounts }))
}
