//! Where the shelf and allegro-backup say different things about an order.

use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

/// A line as allegro-backup has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RemoteLine {
    pub(crate) line_item_id: String,
    pub(crate) sku: Option<String>,
    pub(crate) quantity: i64,
}

/// An order as allegro-backup has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Remote {
    /// It is to be taken from our shelf: ready, not cancelled, not Allegro's to ship.
    pub(crate) is_ours: bool,
    pub(crate) is_marked: bool,
    pub(crate) lines: Vec<RemoteLine>,
}

/// A line as it stands here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LocalLine {
    pub(crate) line_item_id: String,
    pub(crate) sku: Option<String>,
    pub(crate) quantity: i64,
    pub(crate) stage: Stage,
}

/// How far a line is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// On its way, or waiting for people: not to be judged yet.
    Open,
    /// Taken, and as far as is known here the mark is set.
    Taken,
    /// Given back or called off.
    Back,
}

/// An order as it stands here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Local {
    /// It was seen here, whatever became of it.
    pub(crate) is_known: bool,
    pub(crate) lines: Vec<LocalLine>,
}

/// What differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// Taken here, not marked there.
    RemoteMissing,
    /// Ready there, never seen here.
    LocalMissing,
    /// Marked there, not taken here.
    RemoteOnly,
    /// Other things or other numbers of them.
    QuantityMismatch,
    /// A level is not the sum of its movements.
    LedgerMismatch,
}

impl Kind {
    /// As it stands in the database and in answers.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::RemoteMissing => "remote_missing",
            Self::LocalMissing => "local_missing",
            Self::RemoteOnly => "remote_only",
            Self::QuantityMismatch => "quantity_mismatch",
            Self::LedgerMismatch => "ledger_mismatch",
        }
    }

    /// What a word of the database means.
    pub(crate) fn read(word: &str) -> Option<Self> {
        let all = [
            Self::RemoteMissing,
            Self::LocalMissing,
            Self::RemoteOnly,
            Self::QuantityMismatch,
            Self::LedgerMismatch,
        ];
        all.into_iter().find(|kind| kind.word() == word)
    }

    /// Putting it right is doing again what was to be done: it takes nothing twice.
    pub(crate) const fn is_safe(self) -> bool {
        matches!(self, Self::RemoteMissing | Self::LocalMissing)
    }
}

/// What differs about an order; nothing while it is under way here.
pub(crate) fn of(remote: &Remote, local: &Local) -> Option<Kind> {
    let any = |stage| local.lines.iter().any(|line| line.stage == stage);
    if any(Stage::Open) {
        return None;
    }
    // One line given back takes the order's mark away.
    let is_taken = any(Stage::Taken) && !any(Stage::Back);
    match (is_taken, remote.is_marked) {
        (true, false) if remote.is_ours => Some(Kind::RemoteMissing),
        // Its cancellation is on its way here.
        (true, _) if !remote.is_ours => None,
        (true, _) => differs(remote, local).then_some(Kind::QuantityMismatch),
        (false, true) => Some(Kind::RemoteOnly),
        (false, false) => (remote.is_ours && !local.is_known).then_some(Kind::LocalMissing),
    }
}

/// Lines that were taken are other than those that were sold. Lines without a SKU cannot be taken.
fn differs(remote: &Remote, local: &Local) -> bool {
    let sold = remote.lines.iter().filter(|line| line.sku.is_some());
    let mut sold: Vec<_> = sold.map(|it| (&it.line_item_id, it.sku.as_deref(), it.quantity)).collect();
    let taken = local.lines.iter().filter(|line| line.sku.is_some());
    let mut taken: Vec<_> = taken.map(|it| (&it.line_item_id, it.sku.as_deref(), it.quantity)).collect();
    sold.sort_unstable();
    taken.sort_unstable();
    sold != taken
}

impl Remote {
    /// As it is written down with a finding.
    pub(crate) fn told(&self) -> Value {
        let lines = self.lines.iter();
        let lines: Vec<Value> = lines
            .map(|it| json!({ "line_item_id": it.line_item_id, "sku": it.sku, "quantity": it.quantity }))
            .collect();
        json!({ "is_stock_updated": self.is_marked, "line_items": lines })
    }
}

impl Local {
    /// As it is written down with a finding.
    pub(crate) fn told(&self) -> Value {
        let lines = self.lines.iter();
        let lines: Vec<Value> = lines
            .map(|it| {
                let stage = match it.stage {
                    Stage::Open => "open",
                    Stage::Taken => "taken",
                    Stage::Back => "back",
                };
                json!({ "line_item_id": it.line_item_id, "sku": it.sku, "quantity": it.quantity, "stage": stage })
            })
            .collect();
        json!({ "is_known": self.is_known, "line_items": lines })
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, Local, LocalLine, Remote, RemoteLine, Stage, of};

    fn remote(is_ours: bool, is_marked: bool, quantity: i64) -> Remote {
        let line = RemoteLine { line_item_id: "1".to_owned(), sku: Some("wosk".to_owned()), quantity };
        let bare = RemoteLine { line_item_id: "2".to_owned(), sku: None, quantity: 1 };
        Remote { is_ours, is_marked, lines: vec![line, bare] }
    }

    fn local(stage: Option<Stage>) -> Local {
        let line = |stage| LocalLine {
            line_item_id: "1".to_owned(),
            sku: Some("wosk".to_owned()),
            quantity: 2,
            stage,
        };
        Local { is_known: true, lines: stage.map(line).into_iter().collect() }
    }

    #[test]
    fn what_differs_is_told_by_kind_and_what_is_under_way_is_left_alone() {
        use Kind::{LocalMissing, QuantityMismatch, RemoteMissing, RemoteOnly};
        use Stage::{Back, Open, Taken};
        // here, ours, marked there, units there, what differs
        let cases = [
            (Some(Taken), true, true, 2, None),
            (Some(Taken), true, false, 2, Some(RemoteMissing)),
            (Some(Taken), true, true, 3, Some(QuantityMismatch)),
            // Cancelled there: that is on its way here.
            (Some(Taken), false, true, 2, None),
            (Some(Taken), false, false, 2, None),
            (Some(Open), true, false, 2, None),
            (Some(Open), true, true, 9, None),
            (Some(Back), true, false, 2, None),
            (Some(Back), false, true, 2, Some(RemoteOnly)),
            (None, true, true, 2, Some(RemoteOnly)),
            // Seen here and not counted.
            (None, true, false, 2, None),
            (None, false, false, 2, None),
        ];
        for (stage, is_ours, is_marked, units, expected) in cases {
            let found = of(&remote(is_ours, is_marked, units), &local(stage));
            assert_eq!(found, expected, "{stage:?} ours {is_ours} marked {is_marked} {units}");
        }
        assert_eq!(of(&remote(true, false, 2), &Local::default()), Some(LocalMissing));
        assert_eq!(of(&remote(false, false, 2), &Local::default()), None);
    }
}
