//! What an export in NDJSON is made of: a line for each account, followed by a line for each of its orders.
//!
//! Documented for operators in docs/EXPORT.md. Invariant: what is written can be read back without loss, and written
//! again from there it is the same, byte for byte.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use time::OffsetDateTime;
use uuid::Uuid;

/// The format written, and the only one read.
pub(crate) const FORMAT: u8 = 1;

/// A line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Line {
    /// An account; the orders after it are its.
    Account(AccountLine),
    /// An order.
    Order(Box<OrderLine>),
}

/// An account, without its tokens: they never leave the database.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccountLine {
    /// [`FORMAT`].
    pub(crate) format: u8,
    /// Our id of it.
    pub(crate) id: Uuid,
    /// Its user.
    pub(crate) user_id: String,
    /// How the user calls it.
    pub(crate) account_name: Option<String>,
    /// Allegro's id of the seller.
    pub(crate) allegro_seller_id: String,
    /// The seller's login.
    pub(crate) allegro_login: String,
    /// When it was connected first.
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) connected_at: OffsetDateTime,
    /// False once its user has removed it.
    pub(crate) is_active: bool,
}

/// An order with everything known of it.
#[derive(Debug, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each says something of its own, as the columns do")]
#[serde(deny_unknown_fields)]
pub(crate) struct OrderLine {
    /// Our id of it.
    pub(crate) id: Uuid,
    /// Its account.
    pub(crate) token_id: Uuid,
    /// Allegro's id.
    pub(crate) allegro_order_id: String,
    /// The current content's number.
    pub(crate) version: i64,
    /// When the request that brought the current content was started.
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) seen_at: OffsetDateTime,
    /// How it came.
    pub(crate) source: String,
    /// Some content said less than the one before.
    pub(crate) lost_data: bool,
    /// `order.ready` was told.
    pub(crate) ready_announced: bool,
    /// `order.cancelled` was told.
    pub(crate) cancel_announced: bool,
    /// Merged or vanished.
    pub(crate) is_deleted: bool,
    /// Into which order.
    pub(crate) merged_into: Option<String>,
    /// Its pieces have left the stock.
    pub(crate) is_stock_updated: bool,
    /// Since when.
    #[serde(with = "time::serde::rfc3339::option")]
    pub(crate) stock_updated_at: Option<OffsetDateTime>,
    /// An invoice was made.
    pub(crate) has_invoice_created: bool,
    /// Which.
    pub(crate) invoice_id: Option<String>,
    /// When it was first stored.
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) created_at: OffsetDateTime,
    /// When it last changed.
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) updated_at: OffsetDateTime,
    /// The current content's hash, in hex: of the answer as it came, whose numbers may have been written otherwise.
    pub(crate) content_hash: String,
    /// The current content.
    pub(crate) order_data: Box<RawValue>,
    /// The contents before: a list of [`VersionLine`].
    pub(crate) versions: Box<RawValue>,
}

/// A content of an order that was replaced, or came too late.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct VersionLine {
    /// Its number; none for one that came too late.
    pub(crate) version: Option<i64>,
    /// Allegro's version mark.
    pub(crate) revision: Option<String>,
    /// When the request that brought it was started.
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) seen_at: OffsetDateTime,
    /// How it came.
    pub(crate) source: String,
    /// Its hash, in hex.
    pub(crate) content_hash: String,
    /// The content.
    pub(crate) order_data: Box<RawValue>,
}
