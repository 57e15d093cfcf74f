//! The current state of an order, as one account shows it.

use clients::StoredOrder;
use domain::events::{LineItem, OrderEvent};
use domain::{AllegroOrderId, Sku, TokenId};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::words;

/// Far above any order, far below what a sum of lines could overflow.
pub(crate) const MOST_UNITS: i64 = 1_000_000_000;

/// Allegro as the one who ships what a seller has in Allegro's own warehouse.
const ALLEGRO: &str = "ALLEGRO";

/// What an order's state means for the stock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OrderStatus {
    /// To be fulfilled.
    Ready,
    /// Cancelled, or not to be fulfilled any more.
    Cancelled,
    /// Returned by the buyer; not a cancellation.
    Returned,
    /// Deleted at Allegro: merged into another order, or vanished.
    Gone,
    /// Allegro's status of the order cannot be read.
    Unknown,
}

words!(OrderStatus {
    Ready = "ready",
    Cancelled = "cancelled",
    Returned = "returned",
    Gone = "gone",
    Unknown = "unknown",
});

/// An order as an account shows it, or as it was submitted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each says something of its own, as the columns do")]
pub(crate) struct OrderView {
    pub(crate) order_id: AllegroOrderId,
    /// The account. An order without one has no flag at allegro-backup.
    pub(crate) token_id: Option<TokenId>,
    pub(crate) user_id: Option<String>,
    pub(crate) status: OrderStatus,
    /// The version at allegro-backup. Absent for a submitted order, which decides only while no other view is known.
    pub(crate) sequence: Option<i64>,
    /// When the content was requested from Allegro.
    pub(crate) read_at: Option<OffsetDateTime>,
    /// When it was first stored. Absent only before the view is recorded.
    pub(crate) first_stored_at: Option<OffsetDateTime>,
    pub(crate) ready_at: Option<OffsetDateTime>,
    pub(crate) was_shipped: bool,
    pub(crate) is_fulfilled_by_allegro: bool,
    /// It was returned when this account first showed it.
    pub(crate) is_first_returned: bool,
    /// The stock flag that allegro-backup must have.
    pub(crate) is_out: bool,
    pub(crate) lines: Vec<Line>,
}

/// One line of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) line_item_id: String,
    /// Absent when the offer has none, or none that names anything in a warehouse.
    pub(crate) sku: Option<Sku>,
    /// Absent when it is unreadable, less than 1 or more than [`MOST_UNITS`].
    pub(crate) quantity: Option<i64>,
}

/// A line across all orders that name it. Allegro keeps a line's id when orders are merged.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct LineKey(String);

impl LineKey {
    /// The line's id where it is a UUID, else the order's id and the line's.
    pub(crate) fn of(order_id: &AllegroOrderId, line_item_id: &str) -> Self {
        Self(match Uuid::try_parse(line_item_id) {
            Ok(id) => id.to_string(),
            Err(_) => format!("{order_id}/{line_item_id}"),
        })
    }

    /// As it is stored.
    pub(crate) const fn stored(key: String) -> Self {
        Self(key)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Two lines of an order cannot be told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {0} of the order has the id of an earlier line")]
pub(crate) struct SameLine(pub(crate) usize);

impl OrderView {
    /// Reads an event of allegro-backup. `is_cancelled`: the order is not to be fulfilled any more.
    pub(crate) fn of_event(event: &OrderEvent, is_cancelled: bool) -> Self {
        let status = if event.merged_into.is_some() {
            OrderStatus::Gone
        } else if is_cancelled {
            OrderStatus::Cancelled
        } else if event.fulfillment_status.as_deref() == Some("RETURNED") {
            OrderStatus::Returned
        } else {
            OrderStatus::Ready
        };
        Self {
            order_id: event.order_id.clone(),
            token_id: Some(event.token_id),
            user_id: Some(event.user_id.clone()),
            status,
            sequence: Some(event.version),
            read_at: event.read_at,
            first_stored_at: event.first_stored_at,
            ready_at: event.ready_at.or(event.order_date),
            was_shipped: event.was_shipped,
            is_fulfilled_by_allegro: is_allegro(event.fulfillment_provider.as_deref()),
            is_first_returned: false,
            is_out: false,
            lines: event.line_items.iter().map(Line::read).collect(),
        }
    }

    /// Reads an order as allegro-backup keeps it, for an account of a user.
    pub(crate) fn of_stored(order: &StoredOrder, (user_id, token_id): (&str, TokenId)) -> Self {
        let fulfillment = order.fulfillment_status.as_deref();
        let status = match (order.status.as_deref(), fulfillment) {
            (_, _) if order.is_deleted => OrderStatus::Gone,
            (_, Some("CANCELLED")) => OrderStatus::Cancelled,
            (None, _) => OrderStatus::Unknown,
            (Some("READY_FOR_PROCESSING"), Some("RETURNED")) => OrderStatus::Returned,
            (Some("READY_FOR_PROCESSING"), _) => OrderStatus::Ready,
            (Some(_), _) => OrderStatus::Cancelled,
        };
        Self {
            order_id: order.allegro_order_id.clone(),
            token_id: Some(token_id),
            user_id: Some(user_id.to_owned()),
            status,
            sequence: order.version,
            read_at: order.read_at,
            first_stored_at: order.first_stored_at,
            ready_at: order.ready_at.or(Some(order.order_date)),
            was_shipped: order.was_shipped,
            is_fulfilled_by_allegro: is_allegro(order.fulfillment_provider.as_deref()),
            is_first_returned: false,
            is_out: false,
            lines: order.line_items.iter().map(Line::read).collect(),
        }
    }

    /// The keys of its lines.
    pub(crate) fn keys(&self) -> impl Iterator<Item = LineKey> + '_ {
        self.lines.iter().map(|line| LineKey::of(&self.order_id, &line.line_item_id))
    }

    /// # Errors
    /// When two lines have the same key.
    pub(crate) fn check(&self) -> Result<(), SameLine> {
        let keys: Vec<LineKey> = self.keys().collect();
        let is_repeated = |at: &usize| keys.iter().take(*at).any(|key| keys.get(*at) == Some(key));
        (0..keys.len()).find(is_repeated).map_or(Ok(()), |at| Err(SameLine(at)))
    }
}

/// Whether this provider ships from Allegro's own warehouse.
pub(crate) fn is_allegro(provider: Option<&str>) -> bool {
    provider == Some(ALLEGRO)
}

impl Line {
    /// Reads a line of allegro-backup.
    pub(crate) fn read(item: &LineItem) -> Self {
        let sku = item.sku.as_deref().and_then(|text| Sku::parse(text).ok());
        let quantity = item.quantity.filter(|it| (1..=MOST_UNITS).contains(it));
        Self { line_item_id: item.id.clone(), sku, quantity }
    }

    /// What is deducted for it; none while SKU or quantity is missing.
    pub(crate) fn wanted(&self) -> Option<(&Sku, i64)> {
        self.sku.as_ref().zip(self.quantity)
    }

    /// Why nothing can be deducted for it.
    pub(crate) fn fault(&self) -> Option<String> {
        match (&self.sku, self.quantity) {
            (None, _) => Some("the line has no SKU: nothing can be taken for it".to_owned()),
            (Some(_), None) => Some(format!("the line's quantity must be from 1 to {MOST_UNITS}")),
            (Some(_), Some(_)) => None,
        }
    }
}
