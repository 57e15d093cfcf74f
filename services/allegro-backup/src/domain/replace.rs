//! Which content may replace which: an order never goes back.

use time::{Duration, OffsetDateTime};

use super::order::Order;

/// How far Allegro's clock may be ahead of ours before its `updatedAt` counts as absent.
const CLOCK_TOLERANCE: Duration = Duration::minutes(1);
/// Two answers with an older `updatedAt` outweigh the stored content when they were requested at least so far apart.
pub(crate) const AGREEMENT_GAP: Duration = Duration::seconds(20);

/// What is stored of an order, as far as the decision needs it.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    /// The current content's hash.
    pub(crate) content_hash: Vec<u8>,
    /// Its `updatedAt`.
    pub(crate) updated_at: Option<OffsetDateTime>,
    /// When the request that brought it was started.
    pub(crate) asked_at: OffsetDateTime,
    /// How many lines it has.
    pub(crate) line_items: i32,
    /// Whether it names its buyer.
    pub(crate) has_buyer: bool,
}

/// What becomes of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Nothing new.
    Unchanged,
    /// It becomes the current content; the one before is kept as a version.
    Replace {
        /// It says less than the one before.
        loses_data: bool,
    },
    /// It was requested before what is stored: kept as a version only.
    Late,
    /// It was requested later, and its `updatedAt` is older: kept as a version, unless a second answer agrees or a person
    /// requested it. Allegro's clock may have gone back.
    Older {
        /// It says less than the stored content.
        loses_data: bool,
    },
}

/// Decides about an answer to a request started at `asked_at`.
///
/// `updatedAt` decides where it differs (it does not move with the fulfillment); then the moment the request was
/// started, as a slow answer must not undo a newer one. The revision has no order. An `updatedAt` in the future of its
/// request counts as absent.
pub(crate) fn decide(stored: &Stored, order: &Order, asked_at: OffsetDateTime) -> Decision {
    if stored.content_hash == order.content_hash {
        return Decision::Unchanged;
    }
    let fewer_lines = i32::try_from(order.line_items.len()).is_ok_and(|lines| lines < stored.line_items);
    let loses_data = fewer_lines || (stored.has_buyer && order.form.buyer_login.is_none());
    let (new, old) = (past(order.form.updated_at, asked_at), past(stored.updated_at, stored.asked_at));
    let by_clock = new.zip(old).filter(|(new, old)| new != old).map(|(new, old)| new < old);
    match (by_clock, asked_at < stored.asked_at) {
        (Some(true), false) => Decision::Older { loses_data },
        (Some(true) | None, true) => Decision::Late,
        (Some(false), true | false) | (None, false) => Decision::Replace { loses_data },
    }
}

/// A moment that Allegro wrote, unless it was in the future of the request.
fn past(at: Option<OffsetDateTime>, asked_at: OffsetDateTime) -> Option<OffsetDateTime> {
    at.filter(|at| *at - CLOCK_TOLERANCE <= asked_at)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use time::macros::datetime;
    use time::{Duration, OffsetDateTime};

    use super::{Decision, Stored, decide};
    use crate::domain::order::Order;

    const T: OffsetDateTime = datetime!(1970-01-02 00:00 UTC);

    fn order(updated_at: &str, note: &str) -> Order {
        let raw = format!(
            r#"{{"id":"a","status":"BOUGHT","updatedAt":{updated_at},"note":"{note}","buyer":{{"login":"b"}},
                 "lineItems":[{{"id":"1","offer":{{"id":"7"}},"quantity":1}}]}}"#
        );
        Order::read(&raw).unwrap()
    }

    fn stored(order: &Order, asked_at: OffsetDateTime) -> Stored {
        Stored {
            content_hash: order.content_hash.to_vec(),
            updated_at: order.form.updated_at,
            asked_at,
            line_items: 1,
            has_buyer: true,
        }
    }

    #[test]
    fn an_order_never_goes_back() {
        let (noon, later) = (r#""1970-01-01T12:00:00Z""#, r#""1970-01-01T13:00:00Z""#);
        let replaced = Decision::Replace { loses_data: false };
        let second = Duration::SECOND;
        let table = [
            // stored at noon by a request of moment T; what comes, asked when, what becomes of it
            (order(noon, "a"), T - second, Decision::Unchanged),
            (order(noon, "b"), T + second, replaced),
            (order(noon, "b"), T - second, Decision::Late),
            (order(later, "b"), T - second, replaced),
            (order(r#""1970-01-01T11:00:00Z""#, "b"), T - second, Decision::Late),
            (order(r#""1970-01-01T11:00:00Z""#, "b"), T + second, Decision::Older { loses_data: false }),
            // In the future of its request.
            (order(r#""1970-01-03T11:00:00Z""#, "b"), T + second, replaced),
            (order(r#""1970-01-03T11:00:00Z""#, "b"), T - second, Decision::Late),
            (order("null", "b"), T + second, replaced),
            (order("null", "b"), T - second, Decision::Late),
        ];
        for (number, (incoming, asked_at, expected)) in table.into_iter().enumerate() {
            let decided = decide(&stored(&order(noon, "a"), T), &incoming, asked_at);
            assert_eq!(decided, expected, "row {number}");
        }
    }

    #[test]
    fn a_stored_moment_in_the_future_does_not_block_updates() {
        let ahead = order(r#""1999-01-01T00:00:00Z""#, "a");
        let incoming = order(r#""1970-01-02T00:00:01Z""#, "b");
        let decided = decide(&stored(&ahead, T), &incoming, T + Duration::SECOND);
        assert_eq!(decided, Decision::Replace { loses_data: false });
    }

    #[test]
    fn content_that_says_less_is_flagged() {
        let incoming = order(r#""1970-01-01T13:00:00Z""#, "b");
        let fuller = Stored { line_items: 2, ..stored(&order("null", "a"), T) };
        assert_eq!(decide(&fuller, &incoming, T), Decision::Replace { loses_data: true });
    }
}
