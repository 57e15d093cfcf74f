//! What people are told of.

mod summary;
mod words;

use alerts::{Alert, Severity, Text};
use domain::events::OperationEvent;
use domain::{AllegroOrderId, Language, TokenId};

pub(crate) use summary::Summary;

/// Something people must look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Notice {
    /// There is too little for an order.
    Shortage { order_id: AllegroOrderId, token_id: Option<TokenId>, missing: String },
    /// Operations of an order are given up.
    GivenUp { order_id: AllegroOrderId, token_id: Option<TokenId>, reason: String },
    /// A shipped order was cancelled: a person must say whether its units return.
    ReturnAfterShipment { order_id: AllegroOrderId, token_id: Option<TokenId> },
    /// An order was returned when it was first seen: nothing of it was deducted.
    FirstReturned { order_id: AllegroOrderId, token_id: Option<TokenId> },
    /// An order cannot be deducted, by which rule.
    Refused { order_id: AllegroOrderId, token_id: Option<TokenId>, rule: String },
    /// More operations under way than there should be.
    TooManyPending { count: i64, limit: i64 },
    /// Too many tries at allegro-backup fail.
    FailureRate { percent: i64, tries: i64, minutes: i64 },
    /// Operations under way for too long.
    Stale { count: i64, hours: i64 },
    /// Levels are not the sums of their movements.
    Ledger { count: i64, example: String },
    /// The shelf and allegro-backup differ in ways only people can put right.
    Differences { count: i64 },
    /// Lines of an order cannot be taken: their offers have no SKU.
    NoSku { order_id: AllegroOrderId },
    /// A closed batch of something nobody has named on the shelf.
    UnknownGood { nomenclature: String, ekn_code: String },
    /// So much differs that nothing is put right.
    Fuse { differing: i64, checked: i64 },
}

impl Notice {
    /// The kinds the watch raises and clears, one alert each.
    pub(crate) const TOO_MANY_PENDING: &'static str = "too_many_pending";
    pub(crate) const FAILURE_RATE: &'static str = "failure_rate";
    pub(crate) const STALE: &'static str = "stale_operations";
    pub(crate) const LEDGER: &'static str = "ledger_mismatch";
    pub(crate) const DIFFERENCES: &'static str = "discrepancies";
    pub(crate) const FUSE: &'static str = "reconciliation_held";
    /// Raised with the first such line, cleared by the watch when none waits any more.
    pub(crate) const NO_SKU: &'static str = "lines_without_sku";

    /// Tells of a batch nobody can name.
    pub(crate) fn unknown_good(nomenclature: &str, ekn_code: &str) -> Self {
        Self::UnknownGood { nomenclature: nomenclature.to_owned(), ekn_code: ekn_code.to_owned() }
    }

    /// Tells of an operation that failed for good.
    pub(crate) fn given_up(fact: &OperationEvent) -> Self {
        Self::GivenUp {
            order_id: fact.order_id.clone(),
            token_id: fact.token_id,
            reason: fact.error.clone().unwrap_or_default(),
        }
    }

    /// The cause of the alert that an order is refused.
    pub(crate) fn refused_cause(order_id: &AllegroOrderId, token_id: Option<TokenId>) -> String {
        of_order("order_refused", order_id, token_id)
    }

    /// The causes of an order's alerts.
    pub(crate) fn causes_of(order_id: &AllegroOrderId, token_id: Option<TokenId>) -> [String; 2] {
        ["stock_shortage", "operations_given_up"].map(|kind| of_order(kind, order_id, token_id))
    }
}

fn of_order(kind: &str, order_id: &AllegroOrderId, token_id: Option<TokenId>) -> String {
    let account = token_id.map_or_else(|| "none".to_owned(), |id| id.to_string());
    format!("{kind}/{account}/{order_id}")
}

impl Alert for Notice {
    fn kind(&self) -> &'static str {
        match self {
            Self::Shortage { .. } => "stock_shortage",
            Self::GivenUp { .. } => "operations_given_up",
            Self::ReturnAfterShipment { .. } => "return_after_shipment",
            Self::FirstReturned { .. } => "first_seen_returned",
            Self::Refused { .. } => "order_refused",
            Self::TooManyPending { .. } => Self::TOO_MANY_PENDING,
            Self::FailureRate { .. } => Self::FAILURE_RATE,
            Self::Stale { .. } => Self::STALE,
            Self::Ledger { .. } => Self::LEDGER,
            Self::Differences { .. } => Self::DIFFERENCES,
            Self::Fuse { .. } => Self::FUSE,
            Self::NoSku { .. } => Self::NO_SKU,
            Self::UnknownGood { .. } => "unknown_good",
        }
    }

    fn cause(&self) -> String {
        match self {
            Self::Shortage { order_id, token_id, .. }
            | Self::GivenUp { order_id, token_id, .. }
            | Self::ReturnAfterShipment { order_id, token_id }
            | Self::FirstReturned { order_id, token_id }
            | Self::Refused { order_id, token_id, .. } => of_order(self.kind(), order_id, *token_id),
            Self::UnknownGood { nomenclature, ekn_code } => format!("unknown_good/{ekn_code}/{nomenclature}"),
            _ => self.kind().to_owned(),
        }
    }

    fn severity(&self) -> Severity {
        match self {
            // A buyer waits for what is not there; a ledger that does not add up is a fault of ours.
            Self::Shortage { .. } | Self::Ledger { .. } | Self::Fuse { .. } => Severity::Critical,
            _ => Severity::Warning,
        }
    }

    fn text(&self, language: Language) -> Text {
        let (title, body) = words::of(self, language);
        Text { title, body }
    }
}

#[cfg(test)]
mod tests {
    use alerts::Alert;
    use domain::Language::{En, Pl, Ru};
    use time::macros::date;

    use super::{Notice, Summary};

    /// What stands in a notice must stand in its text, in each language.
    fn notices() -> Vec<(Notice, Vec<&'static str>)> {
        let order_id = || "29738e61".to_owned().into();
        vec![
            (
                Notice::Shortage {
                    order_id: order_id(),
                    token_id: None,
                    missing: "wosk: 2 wanted".to_owned(),
                },
                vec!["29738e61", "wosk: 2 wanted"],
            ),
            (
                Notice::GivenUp {
                    order_id: order_id(),
                    token_id: None,
                    reason: "refused with 404".to_owned(),
                },
                vec!["29738e61", "refused with 404"],
            ),
            (
                Notice::ReturnAfterShipment { order_id: order_id(), token_id: None },
                vec!["29738e61", "/stock-sync/retry", "/stock-sync/cancel"],
            ),
            (Notice::FirstReturned { order_id: order_id(), token_id: None }, vec!["29738e61"]),
            (
                Notice::Refused { order_id: order_id(), token_id: None, rule: "line 1 twice".to_owned() },
                vec!["29738e61", "line 1 twice"],
            ),
            (Notice::TooManyPending { count: 1234, limit: 1000 }, vec!["1234", "1000"]),
            (Notice::FailureRate { percent: 27, tries: 66, minutes: 30 }, vec!["27", "66", "30"]),
            (Notice::Stale { count: 8, hours: 6 }, vec!["8", "6"]),
            (Notice::Ledger { count: 2, example: "wosk (Ирина): 9 ≠ 8".to_owned() }, vec!["2", "9 ≠ 8"]),
            (Notice::Differences { count: 41 }, vec!["41"]),
            (Notice::NoSku { order_id: order_id() }, vec!["29738e61", "SKU"]),
            (
                Notice::UnknownGood { nomenclature: "Болт".to_owned(), ekn_code: "EKN-1".to_owned() },
                vec!["Болт", "EKN-1", "/stock-sync/goods"],
            ),
            (Notice::Fuse { differing: 7, checked: 60 }, vec!["7", "60"]),
        ]
    }

    #[test]
    fn every_notice_says_everything_in_three_languages_under_a_cause_of_its_own() {
        let mut causes = Vec::new();
        for (notice, parts) in notices() {
            let texts = [Ru, Pl, En].map(|language| notice.text(language));
            for text in &texts {
                let whole = format!("{}\n{}", text.title, text.body);
                assert!(parts.iter().all(|part| whole.contains(part)), "{notice:?}: {whole}");
                assert!(!text.title.is_empty() && !text.body.is_empty(), "{notice:?}");
            }
            let [ru, pl, en] = texts.map(|text| text.title);
            assert!(ru != pl && pl != en && ru != en, "{notice:?}");
            causes.push(notice.cause());
        }
        let all = causes.len();
        causes.sort();
        causes.dedup();
        assert_eq!(causes.len(), all);
    }

    #[test]
    fn the_summary_says_everything_in_three_languages() {
        let day = date!(2026 - 11 - 20);
        let summary =
            Summary { day, completed: 412, pending: 31, failed: 52, stale: 63, discrepancies: 74, low: 85 };
        let texts = [Ru, Pl, En].map(|language| summary.text(language));
        for text in &texts {
            for number in ["412", "31", "52", "63", "74", "85"] {
                assert!(text.body.contains(number), "{number} in {text:?}");
            }
            assert!(text.title.contains("2026-11-20"), "{text:?}");
        }
    }
}
