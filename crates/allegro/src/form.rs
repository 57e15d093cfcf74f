//! The checkout form: an order as Allegro sends it.

use domain::Money;
use serde_json_borrow::Value;
use time::OffsetDateTime;

use crate::note::{Fault, Note};
use crate::read::Reader;
use crate::status::{FormStatus, FulfillmentStatus, LineItemsSent};

/// The fields of a checkout form that Zaplecze uses. Any of them but the id may be absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckoutForm {
    /// `id`.
    pub id: String,
    /// `status`.
    pub status: Option<FormStatus>,
    /// `fulfillment.status`.
    pub fulfillment_status: Option<FulfillmentStatus>,
    /// `fulfillment.provider.id`: `SELLER` or `ALLEGRO`.
    pub fulfillment_provider: Option<String>,
    /// `fulfillment.shipmentSummary.lineItemsSent`.
    pub line_items_sent: Option<LineItemsSent>,
    /// `payment`.
    pub payment: Payment,
    /// `revision`. Revisions can be compared for equality only.
    pub revision: Option<String>,
    /// `updatedAt`.
    pub updated_at: Option<OffsetDateTime>,
    /// `buyer.login`.
    pub buyer_login: Option<String>,
    /// `summary.totalToPay`.
    pub total: Option<Money>,
    /// `lineItems`.
    pub line_items: Vec<LineItem>,
    /// The fields that could not be read.
    pub notes: Vec<Note>,
}

/// The payment of a form.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Payment {
    /// `payment.type`: `CASH_ON_DELIVERY`, `WIRE_TRANSFER`, `ONLINE`, `SPLIT_PAYMENT`, `EXTENDED_TERM` …
    pub kind: Option<String>,
    /// `payment.finishedAt`: when the buyer paid.
    pub finished_at: Option<OffsetDateTime>,
}

/// One line of a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineItem {
    /// `id`; it stays the same when forms are merged. A line without one cannot be told from others.
    pub id: Option<String>,
    /// `offer.id`.
    pub offer_id: Option<String>,
    /// `offer.external.id`: the seller's SKU.
    pub sku: Option<String>,
    /// Units bought.
    pub quantity: Option<i64>,
    /// Price of one unit.
    pub price: Option<Money>,
    /// `boughtAt`.
    pub bought_at: Option<OffsetDateTime>,
}

/// A document without an id: nothing names the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("has no id")]
pub struct NoId;

impl CheckoutForm {
    /// Reads a form.
    ///
    /// # Errors
    /// [`NoId`]: the id is absent, empty or neither text nor number.
    pub fn read(content: &Value<'_>) -> Result<Self, NoId> {
        let mut notes = Vec::new();
        let mut form = Reader::new(&mut notes);
        let id = form.text(content, "id").ok_or(NoId)?;
        let status = form.text(content, "status").map(|text| FormStatus::from(text.as_str()));
        if status.is_none() && content.get("status").is_null() {
            form.note("status", Fault::Missing);
        }
        if status.as_ref().is_some_and(FormStatus::is_unknown) {
            form.note("status", Fault::UnknownValue);
        }
        let fulfillment = form.object(content, "fulfillment");
        let mut within = form.at("fulfillment");
        let fulfillment_status =
            within.text(fulfillment, "status").map(|text| FulfillmentStatus::from(text.as_str()));
        if fulfillment_status.as_ref().is_some_and(FulfillmentStatus::is_unknown) {
            within.note("status", Fault::UnknownValue);
        }
        let provider = within.object(fulfillment, "provider");
        let fulfillment_provider = within.at("provider").text(provider, "id");
        let summary = within.object(fulfillment, "shipmentSummary");
        let mut sent = within.at("shipmentSummary");
        let line_items_sent =
            sent.text(summary, "lineItemsSent").map(|text| LineItemsSent::from(text.as_str()));
        if line_items_sent.as_ref().is_some_and(LineItemsSent::is_unknown) {
            sent.note("lineItemsSent", Fault::UnknownValue);
        }
        let payment = form.object(content, "payment");
        let mut within = form.at("payment");
        let payment = Payment {
            kind: within.text(payment, "type"),
            finished_at: within.timestamp(payment, "finishedAt"),
        };
        let buyer = form.object(content, "buyer");
        let buyer_login = form.at("buyer").text(buyer, "login");
        let summary = form.object(content, "summary");
        let total = form.at("summary").money(summary, "totalToPay");
        let (revision, updated_at) = (form.text(content, "revision"), form.timestamp(content, "updatedAt"));
        let lines = form.array(content, "lineItems");
        let mut within = form.at("lineItems");
        let line_items =
            lines.iter().enumerate().map(|(at, line)| LineItem::read(line, &mut within.at(at))).collect();
        Ok(Self {
            id,
            status,
            fulfillment_status,
            fulfillment_provider,
            line_items_sent,
            payment,
            revision,
            updated_at,
            buyer_login,
            total,
            line_items,
            notes,
        })
    }

    /// When the latest line was bought.
    pub fn bought_at(&self) -> Option<OffsetDateTime> {
        self.line_items.iter().filter_map(|line| line.bought_at).max()
    }

    /// True when the form is cancelled, or labelled as cancelled by the seller.
    pub fn is_cancelled(&self) -> bool {
        self.status == Some(FormStatus::Cancelled)
            || self.fulfillment_status == Some(FulfillmentStatus::Cancelled)
    }

    /// True when the order is to be fulfilled: paid, or paid on delivery, and not cancelled.
    pub fn is_ready(&self) -> bool {
        self.status == Some(FormStatus::ReadyForProcessing) && !self.is_cancelled()
    }

    /// True when the seller or Allegro says that at least one line was shipped.
    pub fn is_shipped(&self) -> bool {
        matches!(self.fulfillment_status, Some(FulfillmentStatus::Sent | FulfillmentStatus::PickedUp))
            || matches!(self.line_items_sent, Some(LineItemsSent::Some | LineItemsSent::All))
    }
}

impl LineItem {
    fn read(content: &Value<'_>, line: &mut Reader<'_>) -> Self {
        let offer = line.object(content, "offer");
        let mut within = line.at("offer");
        let external = within.object(offer, "external");
        let read = Self {
            offer_id: within.text(offer, "id"),
            sku: within.at("external").text(external, "id"),
            id: line.text(content, "id"),
            quantity: line.whole_number(content, "quantity"),
            price: line.money(content, "price"),
            bought_at: line.timestamp(content, "boughtAt"),
        };
        for field in ["id", "quantity"] {
            if content.get(field).is_null() {
                line.note(field, Fault::Missing);
            }
        }
        read
    }
}
