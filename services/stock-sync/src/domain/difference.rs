//! Where the stock and allegro-backup differ about an order.

use domain::Sku;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::desired::Desired;
use super::line_state::UnitsOut;
use super::words;

/// An order as allegro-backup has it now.
#[derive(Debug, Clone)]
pub(crate) struct Remote {
    /// Where its lines shall be.
    pub(crate) desired: Desired,
    /// Its stock flag.
    pub(crate) is_flagged: bool,
    pub(crate) lines: Vec<RemoteLine>,
}

/// A line as allegro-backup has it.
#[derive(Debug, Clone)]
pub(crate) struct RemoteLine {
    pub(crate) line_item_id: String,
    /// The units that a deduction takes; none while SKU or quantity is missing.
    pub(crate) units: Option<Vec<(Sku, i64)>>,
    /// Its SKU is a bundle, whose components may have changed since.
    pub(crate) is_bundle: bool,
    pub(crate) local: LocalLine,
}

/// The same line as it stands here.
#[derive(Debug, Clone, Default)]
pub(crate) struct LocalLine {
    /// Another order decides about it.
    pub(crate) is_elsewhere: bool,
    /// A person holds it where it is.
    pub(crate) is_held: bool,
    /// Its deduction failed, and there are still too few units.
    pub(crate) is_short: bool,
    /// Units that left and have not come back, according to the ledger.
    pub(crate) out: Vec<UnitsOut>,
}

/// What differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// To be fulfilled there, not taken here.
    NotTaken,
    /// Cancelled there, not returned here.
    NotReturned,
    /// Taken here, not flagged there.
    RemoteMissing,
    /// Flagged there, not taken here.
    RemoteOnly,
    /// Other SKUs or other numbers of them.
    QuantityMismatch,
    /// A level is not the sum of its movements.
    LedgerMismatch,
}

words!(Kind {
    NotTaken = "not_taken",
    NotReturned = "not_returned",
    RemoteMissing = "remote_missing",
    RemoteOnly = "remote_only",
    QuantityMismatch = "quantity_mismatch",
    LedgerMismatch = "ledger_mismatch",
});

impl Kind {
    /// A correction repeats what an event does: it moves nothing twice.
    pub(crate) const fn is_safe(self) -> bool {
        matches!(self, Self::NotTaken | Self::NotReturned | Self::RemoteMissing)
    }
}

/// What differs about an order of which no operation is open.
pub(crate) fn of(remote: &Remote) -> Option<Kind> {
    let its: Vec<&RemoteLine> = remote.lines.iter().filter(|it| !it.local.is_elsewhere).collect();
    if its.is_empty() || its.iter().any(|it| it.local.is_held) {
        return None;
    }
    let is_out = |it: &&RemoteLine| !it.local.out.is_empty();
    let mut wanted = its.iter().copied().filter(|it| it.units.is_some());
    match remote.desired {
        Desired::AsTheyAre(_) => None,
        Desired::In if its.iter().any(is_out) => Some(Kind::NotReturned),
        Desired::In => remote.is_flagged.then_some(Kind::RemoteOnly),
        Desired::Out if wanted.clone().any(|it| !is_out(&it) && !it.local.is_short) => Some(Kind::NotTaken),
        Desired::Out if wanted.clone().any(|it| is_out(&it) && differs(it)) => Some(Kind::QuantityMismatch),
        Desired::Out => {
            let is_taken = wanted.clone().next().is_some() && wanted.all(|it| is_out(&it));
            match (is_taken, remote.is_flagged) {
                (true, false) => Some(Kind::RemoteMissing),
                (false, true) => Some(Kind::RemoteOnly),
                (true, true) | (false, false) => None,
            }
        }
    }
}

/// Other units are out than were sold.
fn differs(line: &RemoteLine) -> bool {
    let mut out: Vec<(Sku, i64)> = line.local.out.iter().map(|it| (it.sku.clone(), it.units)).collect();
    let mut sold = line.units.clone().unwrap_or_default();
    out.sort_unstable();
    sold.sort_unstable();
    !line.is_bundle && out != sold
}

impl Remote {
    /// As allegro-backup has it, for a finding.
    pub(crate) fn remote_json(&self) -> Value {
        let lines: Vec<Value> = self
            .lines
            .iter()
            .map(|it| json!({ "line_item_id": it.line_item_id, "units": it.units }))
            .collect();
        let desired = match self.desired {
            Desired::Out => "out",
            Desired::In => "in",
            Desired::AsTheyAre(reason) => reason,
        };
        json!({ "is_stock_updated": self.is_flagged, "desired": desired, "line_items": lines })
    }

    /// As it stands here, for a finding.
    pub(crate) fn local_json(&self) -> Value {
        let lines: Vec<Value> = self
            .lines
            .iter()
            .map(|it| json!({ "line_item_id": it.line_item_id, "units_out": it.local.out }))
            .collect();
        json!({ "line_items": lines })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use domain::Sku;

    use super::{Kind, LocalLine, Remote, RemoteLine, of};
    use crate::domain::desired::Desired;
    use crate::domain::line_state::UnitsOut;

    fn order(desired: Desired, is_flagged: bool, units: i64, out: Option<i64>) -> Remote {
        let units_out =
            |units| UnitsOut { sku: Sku::parse("wosk").unwrap(), warehouse: "Ирина".to_owned(), units };
        let line = RemoteLine {
            line_item_id: "1".to_owned(),
            units: Some(vec![(Sku::parse("wosk").unwrap(), units)]),
            is_bundle: false,
            local: LocalLine { out: out.map(units_out).into_iter().collect(), ..LocalLine::default() },
        };
        let bare = RemoteLine {
            line_item_id: "2".to_owned(),
            units: None,
            is_bundle: false,
            local: LocalLine::default(),
        };
        Remote { desired, is_flagged, lines: vec![line, bare] }
    }

    #[test]
    fn each_difference_has_its_kind() {
        use Desired::{AsTheyAre, In, Out};
        use Kind::{NotReturned, NotTaken, QuantityMismatch, RemoteMissing, RemoteOnly};
        // desired, flagged there, units there, units out here, what differs
        let cases = [
            (Out, true, 2, Some(2), None),
            (Out, false, 2, Some(2), Some(RemoteMissing)),
            (Out, true, 3, Some(2), Some(QuantityMismatch)),
            (Out, false, 2, None, Some(NotTaken)),
            (Out, true, 2, None, Some(NotTaken)),
            (In, true, 2, Some(2), Some(NotReturned)),
            (In, false, 2, Some(2), Some(NotReturned)),
            (In, true, 2, None, Some(RemoteOnly)),
            (In, false, 2, None, None),
            (AsTheyAre(""), true, 2, None, None),
            (AsTheyAre(""), false, 2, Some(2), None),
        ];
        for (desired, is_flagged, units, out, expected) in cases {
            let found = of(&order(desired, is_flagged, units, out));
            assert_eq!(found, expected, "{desired:?} flagged {is_flagged} {units} {out:?}");
        }
    }

    #[test]
    fn held_short_and_merged_lines_are_no_difference() {
        let changes: [fn(&mut LocalLine); 3] =
            [|it| it.is_held = true, |it| it.is_short = true, |it| it.is_elsewhere = true];
        for change in changes {
            let mut order = order(Desired::Out, false, 2, None);
            order.lines.iter_mut().for_each(|line| change(&mut line.local));
            assert_eq!(of(&order), None, "{order:?}");
        }
    }
}
