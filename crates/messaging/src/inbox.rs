//! What the inbox remembers, and for how long.

use std::time::Duration;

use pg::RetentionPolicy;

/// The inbox remembers for 14 days: an event told no longer ago than this is still known after a day on its way.
pub(crate) const CERTAIN: Duration = Duration::from_hours(13 * 24);

/// Events applied so long ago that they are not expected to come again; one that does is taken for new.
pub const RETAIN_EVENTS: RetentionPolicy = RetentionPolicy {
    what: "inbox",
    sql: "DELETE FROM inbox WHERE (consumer, event_id) IN ( \
              SELECT consumer, event_id FROM inbox WHERE received_at < now() - $1 \
              ORDER BY received_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
    keep: Duration::from_hours(14 * 24),
};
