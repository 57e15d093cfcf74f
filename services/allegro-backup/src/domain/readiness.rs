//! When an order is to be fulfilled, and which events say so.

use time::OffsetDateTime;

use super::order::Order;

/// What was known of an order before a content.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Before<'a> {
    /// The state published last is: ready.
    pub(crate) is_ready: bool,
    /// The state published last is: cancelled.
    pub(crate) is_cancelled: bool,
    /// When it first became ready.
    pub(crate) ready_at: Option<OffsetDateTime>,
    /// Sent, picked up or partly sent since it last became ready.
    pub(crate) was_shipped: bool,
    /// Of its lines.
    pub(crate) lines_hash: &'a [u8],
}

/// An event that follows from a new content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transition {
    /// `order.ready`.
    Ready,
    /// `order.cancelled`.
    Cancelled,
}

/// When an order first became ready: the first READY event (`event_at`), else when it was paid, else when a content
/// requested at `asked_at` first showed it ready, else when it was bought. Absent while it never was. A moment that is
/// known already only moves back: the journal may begin after the first event.
pub(crate) fn ready_at(
    order: &Order,
    before: Option<Before<'_>>,
    event_at: Option<OffsetDateTime>,
    asked_at: OffsetDateTime,
) -> Option<OffsetDateTime> {
    let known = before.and_then(|before| before.ready_at);
    if !order.form.is_ready() {
        return known;
    }
    // An order that is ready in its first content may have been ready for long.
    let first_shown = before.map(|_| asked_at);
    event_at
        .or(order.form.payment.finished_at)
        .or(known)
        .or(first_shown)
        .or(order.bought_at)
        .or(Some(asked_at))
        .map(|at| known.map_or(at, |known| known.min(at)))
}

/// Whether something was shipped since the order last became ready.
pub(crate) fn was_shipped(order: &Order, before: Before<'_>) -> bool {
    let became_ready = order.form.is_ready() && !before.is_ready;
    order.form.is_shipped() || (before.was_shipped && !became_ready)
}

/// A state that was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Published {
    pub(crate) is_ready: bool,
    pub(crate) is_cancelled: bool,
}

/// The state that is published once the events of a content are. A content whose status cannot be read changes nothing.
pub(crate) fn published(order: &Order, before: Before<'_>) -> Published {
    if is_unknown(order) {
        return Published { is_ready: before.is_ready, is_cancelled: before.is_cancelled };
    }
    let is_ready = order.form.is_ready();
    // Published too when an order that was ready is not ready any more.
    let is_cancelled = !is_ready && (order.form.is_cancelled() || before.is_ready || before.is_cancelled);
    Published { is_ready, is_cancelled }
}

/// Whether nothing says if the order is to be fulfilled.
fn is_unknown(order: &Order) -> bool {
    order.form.status.is_none() && !order.form.is_cancelled()
}

/// The event that a content brings, with the moment it made the order ready.
pub(crate) fn transition(
    order: &Order,
    ready_at: Option<OffsetDateTime>,
    before: Before<'_>,
) -> Option<Transition> {
    if order.form.is_ready() {
        let is_equal = before.lines_hash == order.lines_hash && before.ready_at == ready_at;
        return (!before.is_ready || !is_equal).then_some(Transition::Ready);
    }
    let is_cancelled = before.is_ready || (order.form.is_cancelled() && !before.is_cancelled);
    (is_cancelled && !is_unknown(order)).then_some(Transition::Cancelled)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use time::macros::datetime;
    use time::{Duration, OffsetDateTime};

    use super::{Before, Published, Transition, published, ready_at, transition, was_shipped};
    use crate::domain::order::Order;

    const NOON: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);

    fn order(status: &str, label: &str, quantity: u32) -> Order {
        let raw = format!(
            r#"{{"id":"a","status":"{status}","fulfillment":{{"status":"{label}"}},
                 "lineItems":[{{"id":"1","quantity":{quantity},"boughtAt":"2026-11-21T08:00:00Z"}}]}}"#
        );
        Order::read(&raw).unwrap()
    }

    const READY: &str = "READY_FOR_PROCESSING";

    #[test]
    fn each_transition_is_published_once_and_again() {
        let (mut is_ready, mut is_cancelled, mut moment) = (false, false, None);
        let mut lines_hash = Vec::new();
        for (step, (content, expected)) in [
            (order("FILLED_IN", "NEW", 1), None),
            (order("FILLED_IN", "CANCELLED", 1), Some(Transition::Cancelled)),
            (order("FILLED_IN", "CANCELLED", 2), None),
            (order(READY, "NEW", 2), Some(Transition::Ready)),
            (order(READY, "PROCESSING", 2), None),
            (order(READY, "PROCESSING", 3), Some(Transition::Ready)),
            (order(READY, "CANCELLED", 3), Some(Transition::Cancelled)),
            (order("CANCELLED", "CANCELLED", 3), None),
            (order(READY, "SENT", 3), Some(Transition::Ready)),
            (order(READY, "RETURNED", 3), None),
            (order("", "RETURNED", 3), None),
            (order(READY, "RETURNED", 3), None),
            (order("", "RETURNED", 3), None),
            (order("BOUGHT", "NEW", 3), Some(Transition::Cancelled)),
            (order("", "NEW", 3), None),
            (order("", "CANCELLED", 3), None),
        ]
        .into_iter()
        .enumerate()
        {
            let before = Before {
                is_ready,
                is_cancelled,
                ready_at: moment,
                was_shipped: false,
                lines_hash: &lines_hash,
            };
            let now = ready_at(&content, Some(before), None, NOON);
            assert_eq!(transition(&content, now, before), expected, "step {step}");
            Published { is_ready, is_cancelled } = published(&content, before);
            (moment, lines_hash) = (now, content.lines_hash.to_vec());
        }
    }

    #[test]
    fn ready_at_prefers_the_event_then_the_payment() {
        let (ready, hour) = (order(READY, "NEW", 1), Duration::HOUR);
        let mut paid = ready.clone();
        paid.form.payment.finished_at = Some(NOON - hour);
        let before = Before {
            is_ready: false,
            is_cancelled: false,
            ready_at: None,
            was_shipped: false,
            lines_hash: &[],
        };
        let known = Before { ready_at: Some(NOON - hour * 2), ..before };
        for (order, before, event_at, expected) in [
            (&paid, Some(known), Some(NOON - hour * 3), Some(NOON - hour * 3)),
            (&paid, Some(known), None, Some(NOON - hour * 2)),
            (&paid, Some(before), None, Some(NOON - hour)),
            (&paid, None, None, Some(NOON - hour)),
            (&ready, Some(known), None, Some(NOON - hour * 2)),
            (&ready, Some(before), None, Some(NOON)),
            (&ready, None, None, ready.bought_at),
            (&order(READY, "CANCELLED", 1), None, None, None),
        ] {
            assert_eq!(ready_at(order, before, event_at, NOON), expected, "{before:?} {event_at:?}");
        }
    }

    #[test]
    fn shipment_counts_since_the_order_last_became_ready() {
        let before = Before {
            is_ready: true,
            is_cancelled: false,
            ready_at: None,
            was_shipped: true,
            lines_hash: &[],
        };
        assert!(was_shipped(&order(READY, "CANCELLED", 1), before));
        assert!(!was_shipped(&order(READY, "NEW", 1), Before { is_ready: false, ..before }));
        assert!(was_shipped(&order(READY, "SENT", 1), Before { was_shipped: false, ..before }));
    }
}
