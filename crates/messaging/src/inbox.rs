//! Retention of the inbox.

use std::time::Duration;

use pg::RetentionPolicy;

/// An event that is published no longer ago is still in the inbox: 14 days of retention, less a day on its way.
pub(crate) const CERTAIN: Duration = Duration::from_hours(13 * 24);

/// Deletes records of events that are not expected to be delivered again. A later delivery would be applied again.
pub const RETAIN_EVENTS: RetentionPolicy = RetentionPolicy {
    what: "inbox",
    sql: "DELETE FROM inbox WHERE (consumer, event_id) IN ( \
              SELECT consumer, event_id FROM inbox WHERE received_at < now() - $1 \
              ORDER BY received_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
    keep: Duration::from_hours(14 * 24),
};
