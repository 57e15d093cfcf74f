//! Accounts with a pair of tokens that stands somewhere already, and changes of accounts.

use actix_web::HttpResponse;
use actix_web::web::Data;
use domain::{TokenId, UserId};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;
use web::{Answer, ApiJson, ApiPath, Caller, FieldErrors, Idempotent, Problem, RequestId};

use super::view::TokenView;
use super::{check_name, read_user_id, visible};
use crate::api::problems::{self, ACCOUNT_REMOVED};
use crate::app::accounts::{self, Asked, Change, Identity};
use crate::app::pair::{self, Brought, Pair, PairError};
use crate::clients::allegro::Me;
use crate::state::State;

/// Far more than any token of Allegro's.
const MAX_TOKEN: usize = 16 * 1024;

/// An account whose tokens its user has from elsewhere. Both must be of this application; from then on nobody else may
/// refresh them.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "user_id": "sklep-zielony", "account_name": "Świece", "access_token": "eyJhbGciOiJSUzI1NiJ9.e30.c2ln", "refresh_token": "eyJhbGciOiJSUzI1NiJ9.e30.c2ln",
    "expires_in": 43199,
}))]
pub(crate) struct NewToken {
    /// The user the account will belong to; 1 to 255 characters.
    #[schema(value_type = UserId)]
    user_id: String,
    /// How the user calls the account.
    #[schema(min_length = 1, max_length = 255)]
    account_name: Option<String>,
    /// Allegro must accept it now.
    #[schema(value_type = String, example = "eyJhbGciOiJSUzI1NiJ9", min_length = 1, max_length = 16384, pattern = "^[!-~]+$")]
    access_token: SecretString,
    /// The one that was given with it.
    #[schema(value_type = String, example = "eyJhbGciOiJSUzI1NiJ9", min_length = 1, max_length = 16384, pattern = "^[!-~]+$")]
    refresh_token: SecretString,
    /// Seconds the access token still lives; it says so itself, where it is a JWT.
    #[schema(example = 43_199)]
    expires_in: Option<u32>,
}

/// What to change; what is absent stays. `null` takes the name away. Tokens come as a pair, of the same seller.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "account_name": "Świece i wosk" }))]
#[expect(clippy::option_option, reason = "absent, null and a value are three wishes")]
pub(crate) struct ChangeToken {
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 255)]
    account_name: Option<Option<String>>,
    #[schema(value_type = Option<String>, example = "eyJhbGciOiJSUzI1NiJ9", min_length = 1, max_length = 16384, pattern = "^[!-~]+$")]
    access_token: Option<SecretString>,
    #[schema(value_type = Option<String>, example = "eyJhbGciOiJSUzI1NiJ9", min_length = 1, max_length = 16384, pattern = "^[!-~]+$")]
    refresh_token: Option<SecretString>,
    #[schema(example = 43_199)]
    expires_in: Option<u32>,
}

/// Tells `null` from absent.
#[expect(clippy::option_option, reason = "absent and null are two wishes")]
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Connects an account with a pair of tokens; a seller the user had connected before is the same account again.
///
/// Allegro is asked whose tokens they are; the refresh token is kept as it is.
#[utoipa::path(post, path = "/api/v1/tokens", tag = "tokens", operation_id = "add_account",
    request_body = NewToken,
    responses((status = 201, description = "Connected", body = TokenView), (status = 503, description = "allegro_refused")))]
pub(crate) async fn create(
    state: Data<State>,
    caller: Caller,
    request_id: RequestId,
    idempotent: Idempotent,
    ApiJson(wish): ApiJson<NewToken>,
) -> Result<HttpResponse, Problem> {
    let mut errors = FieldErrors::default();
    let user_id = read_user_id(&mut errors, &caller, &wish.user_id);
    check_name(&mut errors, wish.account_name.as_deref());
    check_tokens(&mut errors, Some(&wish.access_token), Some(&wish.refresh_token));
    errors.finish()?;
    let user_id = user_id.map_err(|error| Problem::internal(&error))?;
    if let Some(answer) = idempotent.answered().await? {
        return Ok(answer);
    }
    let NewToken { access_token, refresh_token, expires_in, .. } = wish;
    let (me, pair) = checked(&state, access_token, refresh_token, expires_in).await?;
    let identity = Identity {
        user_id: &user_id,
        account_name: wish.account_name.as_deref(),
        allegro_seller_id: &me.id,
        allegro_login: &me.login,
    };
    idempotent
        .run(async |conn| {
            let asked = asked(&caller, &request_id);
            let account = accounts::connect(conn, &state, &identity, &pair, asked).await;
            let account = account.map_err(|error| problems::allegro(&error.into()))?;
            Answer::created(&TokenView::from(&account))
        })
        .await
}

/// Changes an account: its name, its tokens, or both.
#[utoipa::path(put, path = "/api/v1/tokens/{token_id}", tag = "tokens", operation_id = "change_account",
    params(("token_id" = TokenId, Path, description = "The account's id", example = "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f")),
    request_body = ChangeToken,
    responses((status = 200, description = "Changed", body = TokenView),
              (status = 404, description = "token_not_found"), (status = 409, description = "account_removed"),
              (status = 503, description = "allegro_refused")))]
pub(crate) async fn change(
    state: Data<State>,
    caller: Caller,
    request_id: RequestId,
    token_id: ApiPath<TokenId>,
    ApiJson(wish): ApiJson<ChangeToken>,
) -> Result<HttpResponse, Problem> {
    let mut errors = FieldErrors::default();
    check_name(&mut errors, wish.account_name.as_ref().and_then(Option::as_deref));
    check_tokens(&mut errors, wish.access_token.as_ref(), wish.refresh_token.as_ref());
    let is_used = wish.expires_in.is_none() || wish.access_token.is_some();
    errors.check(is_used, "/expires_in", "unused", "comes with tokens");
    errors.finish()?;
    let found = visible(&state, &caller, *token_id).await?;
    let ChangeToken { account_name, access_token, refresh_token, expires_in } = wish;
    let brought = match access_token.zip(refresh_token) {
        Some((access, refresh)) => {
            let (me, pair) = checked(&state, access, refresh, expires_in).await?;
            let mut errors = FieldErrors::default();
            let is_same = me.id == found.allegro_seller_id;
            errors.check(is_same, "/access_token", "another_seller", "is another seller's");
            errors.finish()?;
            Some((me.login, pair))
        }
        None if found.is_active => None,
        None => return Err(Problem::new(&ACCOUNT_REMOVED)),
    };
    let change = Change { account_name, brought };
    let changed = accounts::change(&state, &found, change, asked(&caller, &request_id)).await;
    let changed = changed.map_err(|error| problems::allegro(&error.into()))?;
    Ok(HttpResponse::Ok().json(TokenView::from(&changed)))
}

fn asked<'a>(caller: &'a Caller, request_id: &'a RequestId) -> Asked<'a> {
    Asked { requested_by: Some(&caller.subject), correlation_id: Some(request_id.as_str()) }
}

/// Tokens are sent in a header: visible ASCII, both or neither.
fn check_tokens(errors: &mut FieldErrors, access: Option<&SecretString>, refresh: Option<&SecretString>) {
    let both = [("/access_token", access, refresh), ("/refresh_token", refresh, access)];
    for (pointer, token, other) in both {
        errors.check(token.is_some() || other.is_none(), pointer, "missing", "comes with the other token");
        let Some(token) = token.map(ExposeSecret::expose_secret) else { continue };
        let is_well_sized = (1..=MAX_TOKEN).contains(&token.len());
        errors.check(is_well_sized, pointer, "wrong_length", "is 1 to 16384 characters long");
        let is_visible = token.bytes().all(|byte| byte.is_ascii_graphic());
        errors.check(is_visible, pointer, "invalid_value", "holds visible ASCII characters only");
    }
}

/// Whose pair it is, or the answer that names the token at fault.
async fn checked(
    state: &State,
    access: SecretString,
    refresh: SecretString,
    expires_in: Option<u32>,
) -> Result<(Me, Pair), Problem> {
    let at_fault = |pointer: &str, code: &str, error: &PairError| {
        let mut errors = FieldErrors::default();
        errors.push(pointer, code, error.to_string());
        errors.finish().err()
    };
    pair::check(state, Brought { access, refresh, expires_in }).await.map_err(|error| {
        let problem = match &error {
            PairError::Refused => at_fault("/access_token", "refused", &error),
            PairError::AnotherApplication => at_fault("/access_token", "another_application", &error),
            PairError::NoPair => at_fault("/refresh_token", "no_pair", &error),
            PairError::Expired => at_fault("/refresh_token", "expired", &error),
            PairError::Call(error) => Some(problems::allegro(error)),
        };
        problem.unwrap_or_else(|| Problem::internal(&error))
    })
}
