//! Accounts: listed, looked at, removed; what else is done with them is beside. No answer ever holds a token.

pub(super) mod authorization;
pub(super) mod check;
mod view;
pub(super) mod write;

use actix_web::HttpResponse;
use actix_web::web::Data;
use domain::{NameError, TokenId, UserId};
use web::{ApiPath, Caller, FieldErrors, Problem};

use self::view::{TokenList, TokenView};
use super::problems::TOKEN_NOT_FOUND;
use crate::app::accounts::{self, Account};
use crate::state::State;

const MAX_CHARACTERS: usize = 255;

/// The user's id in a body; its errors are noted too.
fn read_user_id(errors: &mut FieldErrors, caller: &Caller, text: &str) -> Result<UserId, NameError> {
    let user_id = UserId::parse(text);
    match &user_id {
        Ok(user_id) => {
            errors.check(caller.may_see(Some(user_id)), "/user_id", "foreign_user", "is another user");
        }
        Err(error) => errors.push("/user_id", error.code(), error.to_string()),
    }
    user_id
}

/// The rule of an account's name, where one is given.
fn check_name(errors: &mut FieldErrors, name: Option<&str>) {
    let is_well_sized = name.is_none_or(|name| (1..=MAX_CHARACTERS).contains(&name.chars().count()));
    errors.check(is_well_sized, "/account_name", "wrong_length", "is 1 to 255 characters long");
}

/// The connected accounts; a caller bound to a user sees that user's.
#[utoipa::path(get, path = "/api/v1/tokens", tag = "tokens", operation_id = "list_accounts",
    responses((status = 200, description = "The accounts", body = TokenList)))]
pub(crate) async fn list(state: Data<State>, caller: Caller) -> Result<HttpResponse, Problem> {
    answer_list(&state, caller.user_id.as_deref()).await
}

/// The connected accounts of one user.
#[utoipa::path(get, path = "/api/v1/tokens/user/{user_id}", tag = "tokens", operation_id = "list_accounts_of_user",
    params(("user_id" = inline(UserId), Path, description = "The user whose accounts are meant", example = "sklep-zielony")),
    responses((status = 200, description = "The accounts", body = TokenList)))]
pub(crate) async fn of_user(
    state: Data<State>,
    caller: Caller,
    user_id: ApiPath<UserId>,
) -> Result<HttpResponse, Problem> {
    if !caller.may_see(Some(&user_id)) {
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
    found
        .filter(|account| caller.may_see(Some(&account.user_id)))
        .ok_or_else(|| Problem::new(&TOKEN_NOT_FOUND))
}
