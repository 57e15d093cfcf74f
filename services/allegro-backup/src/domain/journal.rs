//! Allegro's journal.

use serde_json::Value;
use time::OffsetDateTime;

/// The kind of an event of which nothing but its id could be read.
pub(crate) const UNREADABLE: &str = "UNREADABLE";

/// The beginning of the name of an event without an id.
pub(crate) const NAMELESS: &str = "nameless-";

/// One line of the journal. No field must be readable: one event must not hold up the others.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    /// Allegro's id of the event, or [`NAMELESS`] and the hash of the event.
    pub(crate) id: String,
    /// What happened.
    pub(crate) kind: String,
    /// When it happened; the epoch where it does not say.
    pub(crate) occurred_at: OffsetDateTime,
    /// The order it happened to, where the event names it: Allegro's document does not promise that.
    pub(crate) order_id: Option<String>,
    /// As it was sent, but for what Postgres cannot hold.
    pub(crate) content: Value,
}

impl Event {
    /// Whether Allegro gave it an id: the journal can be read after it.
    pub(crate) fn is_named(&self) -> bool {
        !self.id.starts_with(NAMELESS)
    }
}
