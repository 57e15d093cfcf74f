//! Where the lines of an order shall be.

use time::OffsetDateTime;

use super::order_view::{OrderStatus, OrderView};

/// Where the lines of an order shall be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Desired {
    /// Out of the warehouse: it is to be fulfilled, and counts.
    Out,
    /// In the warehouse: it is cancelled.
    In,
    /// Where they are, and why.
    AsTheyAre(&'static str),
}

impl Desired {
    /// `starts`: for each account that shows the order, from when on its orders count; none for a submitted order.
    pub(crate) fn of(
        view: &OrderView,
        is_first_returned: bool,
        mut starts: impl Iterator<Item = Option<OffsetDateTime>>,
    ) -> Self {
        match view.status {
            OrderStatus::Cancelled => Self::In,
            OrderStatus::Returned => Self::AsTheyAre("it was returned"),
            OrderStatus::Gone => Self::AsTheyAre("Allegro has deleted it"),
            OrderStatus::Unknown => Self::AsTheyAre("its status cannot be read"),
            OrderStatus::Ready if view.is_fulfilled_by_allegro => {
                Self::AsTheyAre("Allegro ships it from its own warehouse")
            }
            OrderStatus::Ready if is_first_returned => {
                Self::AsTheyAre("it was returned when it was first seen")
            }
            OrderStatus::Ready => {
                let is_early = |start: Option<OffsetDateTime>| {
                    start.zip(view.ready_at).is_some_and(|(start, ready_at)| ready_at < start)
                };
                if starts.all(is_early) {
                    Self::AsTheyAre("it was ready before the account's stock is counted")
                } else {
                    Self::Out
                }
            }
        }
    }
}
