//! Refreshing and checking an account's tokens when somebody asks for it.

use actix_web::HttpResponse;
use actix_web::web::Data;
use domain::TokenId;
use serde::Serialize;
use utoipa::ToSchema;
use web::{Answer, ApiPath, Caller, Idempotent, Problem};

use super::view::TokenView;
use super::visible;
use crate::api::problems;
use crate::app::access;
use crate::app::accounts;
use crate::state::State;

/// Whether Allegro takes an account's token.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({ "is_valid": true, "was_refreshed": false, "token": {
    "id": "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f", "user_id": "sklep-zielony", "account_name": "Świece",
    "allegro_seller_id": "1000001", "allegro_login": "sklep-zielony-pl", "scopes": ["allegro:api:orders:read"],
    "expires_at": "2026-11-21T20:00:00Z", "last_refreshed_at": null, "is_active": true,
    "needs_reauthorization": false, "reauthorization_reason": null, "connected_at": "2026-11-21T08:00:00Z",
} }))]
pub(crate) struct ValidationView {
    /// False when only the account's owner can connect it again.
    is_valid: bool,
    /// It had to be refreshed for that.
    was_refreshed: bool,
    token: TokenView,
}

/// Refreshes an account's tokens now.
#[utoipa::path(post, path = "/api/v1/tokens/{token_id}/refresh", tag = "tokens", operation_id = "refresh_account",
    params(("token_id" = TokenId, Path, description = "The account's id", example = "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f")),
    responses((status = 200, description = "Refreshed", body = TokenView),
              (status = 404, description = "token_not_found"),
              (status = 409, description = "account_removed, needs_reauthorization"),
              (status = 503, description = "allegro_refused")))]
pub(crate) async fn refresh(
    state: Data<State>,
    caller: Caller,
    idempotent: Idempotent,
    token_id: ApiPath<TokenId>,
) -> Result<HttpResponse, Problem> {
    let found = visible(&state, &caller, *token_id).await?;
    if let Some(answer) = idempotent.answered().await? {
        return Ok(answer);
    }
    let refreshed = access::refresh_now(&state, &found).await.map_err(|error| problems::allegro(&error))?;
    idempotent.run(async |_conn| Answer::ok(&TokenView::from(&refreshed))).await
}

/// Asks Allegro whether it takes the account's token, and refreshes it when it must be.
#[utoipa::path(post, path = "/api/v1/tokens/{token_id}/validate", tag = "tokens", operation_id = "validate_account",
    params(("token_id" = TokenId, Path, description = "The account's id", example = "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f")),
    responses((status = 200, description = "Checked", body = ValidationView),
              (status = 404, description = "token_not_found"), (status = 409, description = "account_removed"),
              (status = 503, description = "allegro_refused")))]
pub(crate) async fn validate(
    state: Data<State>,
    caller: Caller,
    idempotent: Idempotent,
    token_id: ApiPath<TokenId>,
) -> Result<HttpResponse, Problem> {
    let found = visible(&state, &caller, *token_id).await?;
    if let Some(answer) = idempotent.answered().await? {
        return Ok(answer);
    }
    let checked = accounts::validate(&state, &found).await.map_err(|error| problems::allegro(&error))?;
    let view = ValidationView {
        is_valid: checked.is_valid,
        was_refreshed: checked.was_refreshed,
        token: TokenView::from(&checked.account),
    };
    idempotent.run(async |_conn| Answer::ok(&view)).await
}
