//! The events of all services: one struct per event type, wrapped in a CloudEvents 1.0 envelope.
//!
//! A breaking change does not edit a type here: it adds `<type>.v2` beside the old one. The golden files under
//! `tests/golden` check that published events can still be parsed.

mod account;
mod batch;
mod envelope;
mod order;
mod stock;
mod sync;
mod webhook;

use serde::Serialize;
use serde::de::DeserializeOwned;
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

pub use account::{AccountConnected, AccountReauthorizationNeeded};
pub use batch::{BatchClosed, BatchStatistics};
pub use envelope::{AttributeRule, Envelope, EnvelopeError, NewEvent};
pub use order::{LineItem, OrderCancelled, OrderCreated, OrderEvent, OrderReady, OrderUpdated};
pub use stock::{
    DiscrepancyFound, MissingUnits, MovedLine, OperationEvent, OrderStock, StockAdjusted, StockDeducted,
    StockDiscrepancyFound, StockIsLow, StockLow, StockOperationCompleted, StockOperationFailed,
    StockRanShort, StockRefunded, StockShortage, StockWasAdjusted,
};
pub use sync::{OrderSyncCompleted, OrderSyncFailed, SyncEvent};
pub use webhook::{WebhookDeliveryExhausted, WebhookSubscriptionDisabled};

/// An event type: the data of its events.
pub trait Event: Serialize + DeserializeOwned + ToSchema {
    /// The CloudEvents `type` and the routing key: `<noun>.<past verb>`.
    const TYPE: &'static str;
    /// The CloudEvents `source`: the producer.
    const SOURCE: &'static str;

    /// The affected object (CloudEvents `subject`): an order id, a token id …
    fn subject(&self) -> String;

    /// Events with the same key are published in order (CloudEvents `partitionkey`).
    fn partition_key(&self) -> String;

    /// The version of the subject. It grows with each change of the subject.
    fn sequence(&self) -> i64;
}

/// An event type of the catalogue.
#[derive(Debug, Clone, Copy)]
pub struct EventType {
    /// The CloudEvents `type`.
    pub name: &'static str,
    /// The CloudEvents `source`.
    pub source: &'static str,
    /// Its meaning, in one sentence.
    pub meaning: &'static str,
    /// The name and the JSON Schema of its data.
    pub schema: fn() -> (String, RefOr<Schema>),
    /// Adds the schemas that its own schema refers to.
    pub add_schemas: fn(&mut Vec<(String, RefOr<Schema>)>),
}

const fn entry<E: Event>(meaning: &'static str) -> EventType {
    EventType {
        name: E::TYPE,
        source: E::SOURCE,
        meaning,
        schema: || (E::name().into_owned(), E::schema()),
        add_schemas: E::schemas,
    }
}

/// Every published event type.
pub const CATALOGUE: &[EventType] = &[
    entry::<AccountConnected>("An Allegro account was connected and its orders will be backed up."),
    entry::<AccountReauthorizationNeeded>(
        "Allegro no longer accepts the account's tokens; its owner must connect it again.",
    ),
    entry::<OrderCreated>("An order was stored for the first time."),
    entry::<OrderUpdated>("A stored order changed."),
    entry::<OrderReady>(
        "An order is to be fulfilled. Published again when its lines or `ready_at` change, and after a cancellation that was undone.",
    ),
    entry::<OrderCancelled>(
        "An order is not to be fulfilled any more: cancelled by the buyer, by Allegro or by the seller. `order.ready` may follow.",
    ),
    entry::<OrderSyncCompleted>(
        "A sync run of an account's orders completed. Runs that only follow the journal publish no event.",
    ),
    entry::<OrderSyncFailed>("A sync run of an account's orders failed."),
    entry::<StockDeducted>("All units of an order left the warehouse."),
    entry::<StockRefunded>("Units of an order returned to the warehouse."),
    entry::<StockRanShort>("A line of an order is short, so no line was deducted."),
    entry::<StockWasAdjusted>("A level was set, adjusted, imported or received."),
    entry::<StockIsLow>(
        "A level fell to its threshold or below. Published once until the level is above the threshold again.",
    ),
    entry::<StockDiscrepancyFound>(
        "The stock and another record of it differ. Published once until they agree again.",
    ),
    entry::<StockOperationCompleted>("A line's units moved and the order is flagged at allegro-backup."),
    entry::<StockOperationFailed>("A line's operation failed and needs a person."),
    entry::<BatchClosed>("A production batch was closed: nothing can be added to it."),
    entry::<WebhookDeliveryExhausted>("A delivery failed and is not retried automatically."),
    entry::<WebhookSubscriptionDisabled>(
        "A subscription was disabled: its receiver answered 410, or every attempt failed for five days.",
    ),
];
