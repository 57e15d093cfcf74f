//! Allegro's journal.

use serde_json::Value;
use time::OffsetDateTime;

/// The kind of an event of which nothing but its id could be read.
pub(crate) const UNREADABLE: &str = "UNREADABLE";

/// One line of the journal. Only its id must be there: one odd event must not hold up the others.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    /// Allegro's id of the event.
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
