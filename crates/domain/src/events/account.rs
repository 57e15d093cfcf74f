//! Events of connected Allegro accounts.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::Event;
use crate::ids::TokenId;

/// An Allegro account was connected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AccountConnected {
    /// Our id of the connected account.
    pub token_id: TokenId,
    /// The user of this system who connected it.
    pub user_id: String,
    /// The user's name for the account.
    pub account_name: Option<String>,
    /// Allegro's id of the seller.
    pub allegro_seller_id: String,
    /// The seller's login at Allegro.
    pub allegro_login: String,
    /// When it was connected.
    #[serde(with = "crate::instant")]
    pub connected_at: OffsetDateTime,
    /// Grows with each change of the account's tokens.
    pub generation: i64,
}

impl Event for AccountConnected {
    const TYPE: &'static str = "account.connected";
    const SOURCE: &'static str = "/allegro-backup";

    fn subject(&self) -> String {
        self.token_id.to_string()
    }

    fn partition_key(&self) -> String {
        self.token_id.to_string()
    }

    fn sequence(&self) -> i64 {
        self.generation
    }
}

/// Allegro refused the account's refresh token; only its owner can connect it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AccountReauthorizationNeeded {
    /// Our id of the account.
    pub token_id: TokenId,
    /// The user of this system who owns it.
    pub user_id: String,
    /// Allegro's id of the seller.
    pub allegro_seller_id: String,
    /// Why, as a stable word such as `invalid_grant`.
    pub reason: String,
    /// Since when.
    #[serde(with = "crate::instant")]
    pub since: OffsetDateTime,
    /// Grows with each change of the account's tokens.
    pub generation: i64,
}

impl Event for AccountReauthorizationNeeded {
    const TYPE: &'static str = "account.reauthorization_needed";
    const SOURCE: &'static str = "/allegro-backup";

    fn subject(&self) -> String {
        self.token_id.to_string()
    }

    fn partition_key(&self) -> String {
        self.token_id.to_string()
    }

    fn sequence(&self) -> i64 {
        self.generation
    }
}
