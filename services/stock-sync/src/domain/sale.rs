//! An order as far as the warehouse is concerned.

use domain::events::{LineItem, OrderEvent};
use domain::{AllegroOrderId, Sku, TokenId};
use time::OffsetDateTime;

/// Far above any order, far below what a sum of lines could overflow.
const MOST_UNITS: i64 = 1_000_000_000;

/// Who ships what a seller has in Allegro's own warehouse.
const ALLEGRO: &str = "ALLEGRO";

/// An order that is ready to be taken from the shelf.
#[derive(Debug, Clone)]
pub(crate) struct Sale {
    /// The account it was seen through; without one nobody is told that its stock is taken.
    pub(crate) token_id: Option<TokenId>,
    pub(crate) user_id: Option<String>,
    pub(crate) order_id: AllegroOrderId,
    pub(crate) bought_at: Option<OffsetDateTime>,
    /// Bought before the account was connected.
    pub(crate) backfill: bool,
    pub(crate) fulfilled_by_allegro: bool,
    pub(crate) lines: Vec<Line>,
}

/// One line of it.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) line_item_id: String,
    pub(crate) sku: Option<Sku>,
    pub(crate) quantity: i64,
}

/// Why an order cannot be read as a sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SaleError {
    /// Less than one, or more than anybody sells.
    #[error("a line's quantity must be from 1 to {MOST_UNITS}")]
    Quantity,
    /// Two lines cannot be told apart.
    #[error("a line stands in the order twice")]
    SameLine,
}

impl Sale {
    /// Reads what allegro-backup tells.
    pub(crate) fn read(fact: &OrderEvent) -> Result<Self, SaleError> {
        let sale = Self {
            token_id: Some(fact.token_id),
            user_id: Some(fact.user_id.clone()),
            order_id: fact.order_id.clone(),
            bought_at: fact.order_date,
            backfill: fact.backfill,
            fulfilled_by_allegro: fact.fulfillment_provider.as_deref() == Some(ALLEGRO),
            lines: fact.line_items.iter().map(Line::read).collect(),
        };
        match sale.faults().first() {
            Some((_, fault)) => Err(*fault),
            None => Ok(sale),
        }
    }

    /// What keeps lines from being counted and told apart, by their places in the order.
    pub(crate) fn faults(&self) -> Vec<(usize, SaleError)> {
        let mut faults = Vec::new();
        for (at, line) in self.lines.iter().enumerate() {
            if !(1..=MOST_UNITS).contains(&line.quantity) {
                faults.push((at, SaleError::Quantity));
            }
            if self.lines.iter().take(at).any(|other| other.line_item_id == line.line_item_id) {
                faults.push((at, SaleError::SameLine));
            }
        }
        faults
    }
}

impl Line {
    /// Reads a line of Allegro's.
    pub(crate) fn read(item: &LineItem) -> Self {
        // What Allegro would not take as a SKU names nothing on the shelf.
        let sku = item.sku.as_deref().and_then(|text| Sku::parse(text).ok());
        Self { line_item_id: item.id.clone(), sku, quantity: item.quantity.unwrap_or_default() }
    }
}
