//! Events of Allegro's order journal.

use serde_json_borrow::Value;
use time::OffsetDateTime;

use crate::note::Note;
use crate::read::Reader;

/// One event of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalEvent {
    /// `id`: the journal continues after it. `None`: absent, empty or neither text nor number.
    pub id: Option<String>,
    /// `type`.
    pub kind: Option<String>,
    /// `occurredAt`.
    pub occurred_at: Option<OffsetDateTime>,
    /// `order.checkoutForm.id`.
    pub order_id: Option<String>,
    /// The fields that could not be read.
    pub notes: Vec<Note>,
}

impl JournalEvent {
    /// Reads an event.
    pub fn read(content: &Value<'_>) -> Self {
        let mut notes = Vec::new();
        let mut event = Reader::new(&mut notes);
        let id = event.text(content, "id");
        let kind = event.text(content, "type");
        let occurred_at = event.timestamp(content, "occurredAt");
        let order = event.object(content, "order");
        let mut within = event.at("order");
        let form = within.object(order, "checkoutForm");
        let order_id = within.at("checkoutForm").text(form, "id");
        Self { id, kind, occurred_at, order_id, notes }
    }
}
