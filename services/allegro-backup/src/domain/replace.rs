//! Which content may replace which: an order never goes back.

use time::OffsetDateTime;

use super::order::Order;

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
    /// It is older than what is stored: kept as a version only.
    Late,
}

/// Decides about an answer to a request started at `asked_at`.
///
/// `updatedAt` decides where it differs (it does not move with the fulfillment); then the moment the request was
/// started, as a slow answer must not undo a newer one. The revision has no order.
pub(crate) fn decide(stored: &Stored, order: &Order, asked_at: OffsetDateTime) -> Decision {
    if stored.content_hash == order.content_hash {
        return Decision::Unchanged;
    }
    let is_older = match (order.form.updated_at, stored.updated_at) {
        (Some(new), Some(old)) if new != old => new < old,
        _ => asked_at < stored.asked_at,
    };
    if is_older {
        return Decision::Late;
    }
    let fewer_lines = i32::try_from(order.line_items.len()).is_ok_and(|lines| lines < stored.line_items);
    Decision::Replace { loses_data: fewer_lines || (stored.has_buyer && order.form.buyer_login.is_none()) }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use time::{Duration, OffsetDateTime};

    use super::{Decision, Stored, decide};
    use crate::domain::order::Order;

    const T: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

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
            (order(r#""1970-01-01T11:00:00Z""#, "b"), T + second, Decision::Late),
            (order("null", "b"), T + second, replaced),
            (order("null", "b"), T - second, Decision::Late),
        ];
        for (number, (incoming, asked_at, expected)) in table.into_iter().enumerate() {
            let decided = decide(&stored(&order(noon, "a"), T), &incoming, asked_at);
            assert_eq!(decided, expected, "row {number}");
        }
    }

    #[test]
    fn content_that_says_less_is_flagged() {
        let incoming = order(r#""1970-01-01T13:00:00Z""#, "b");
        let fuller = Stored { line_items: 2, ..stored(&order("null", "a"), T) };
        assert_eq!(decide(&fuller, &incoming, T), Decision::Replace { loses_data: true });
    }
}
