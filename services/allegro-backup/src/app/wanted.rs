//! What a person wants read of a list.

use domain::instant::are_in_order;
use time::OffsetDateTime;

use super::list_window::HISTORY;
use super::upsert::OnDuplicate;

/// What is to be read of a list.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wanted {
    /// Bought from this moment on; what is older than Allegro's list is not asked for.
    pub(crate) from: Option<OffsetDateTime>,
    /// Bought until this moment.
    pub(crate) to: Option<OffsetDateTime>,
    /// The whole list, and what the journal still holds.
    pub(crate) full: bool,
    /// What becomes of orders that are stored already.
    pub(crate) on_duplicate: OnDuplicate,
}

/// Why it cannot be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The part at fault.
    pub(crate) field: &'static str,
    /// A stable word.
    pub(crate) code: &'static str,
    /// What it should be.
    pub(crate) text: &'static str,
}

impl Wanted {
    /// What cannot be done of it; nothing, mostly.
    pub(crate) fn faults(&self, now: OffsetDateTime) -> Vec<Fault> {
        let Self { from, to, full, .. } = *self;
        let rules = [
            (from.is_none_or(|from| from <= now), "from", "in_the_future", "is not in the future"),
            (are_in_order(from, to), "to", "invalid_range", "is after `from`"),
            (
                to.is_none_or(|to| to > now - HISTORY),
                "to",
                "too_old",
                "is within the last twelve months: Allegro lists no more",
            ),
            (
                !full || (from.is_none() && to.is_none()),
                "full",
                "excludes_dates",
                "goes without `from` and `to`",
            ),
        ];
        let broken = rules.into_iter().filter(|(is_kept, ..)| !is_kept);
        broken.map(|(_, field, code, text)| Fault { field, code, text }).collect()
    }
}
