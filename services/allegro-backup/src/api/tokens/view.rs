//! Accounts as callers see them. No answer ever holds a token.

use domain::TokenId;
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::app::accounts::Account;

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
    pub(super) items: Vec<TokenView>,
}
