//! What the inbox remembers, and for how long.

use std::time::Duration;

use pg::Forget;

/// The inbox remembers for 14 days: a fact told no longer ago than this is still known after a day on its way.
pub(crate) const CERTAIN: Duration = Duration::from_hours(13 * 24);

/// Facts applied so long ago that they are not expected to come again; one that does is taken for new.
pub const FORGET_FACTS: Forget = Forget {
    what: "inbox",
    sql: "DELETE FROM inbox WHERE (consumer, event_id) IN ( \
              SELECT consumer, event_id FROM inbox WHERE received_at < now() - $1 \
              ORDER BY received_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
    keep: Duration::from_hours(14 * 24),
};
