//! What people are told of.

mod summary;
mod words;

use alerts::{Alert, Severity, Text};
use domain::events::OperationFact;
use domain::{AllegroOrderId, Language, TokenId};

pub(crate) use summary::Summary;

/// Something people must look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Notice {
    /// There is too little for an order.
    Shortage { order_id: AllegroOrderId, token_id: Option<TokenId>, missing: String },
    /// Operations of an order are given up.
    GivenUp { order_id: AllegroOrderId, token_id: Option<TokenId>, reason: String },
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

    /// Tells of an operation that failed for good.
    pub(crate) fn given_up(fact: &OperationFact) -> Self {
        Self::GivenUp {
            order_id: fact.order_id.clone(),
            token_id: fact.token_id,
            reason: fact.error.clone().unwrap_or_default(),
        }
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
            Self::TooManyPending { .. } => Self::TOO_MANY_PENDING,
            Self::FailureRate { .. } => Self::FAILURE_RATE,
            Self::Stale { .. } => Self::STALE,
            Self::Ledger { .. } => Self::LEDGER,
            Self::Differences { .. } => Self::DIFFERENCES,
            Self::Fuse { .. } => Self::FUSE,
        }
    }

    fn cause(&self) -> String {
        match self {
            Self::Shortage { order_id, token_id, .. } | Self::GivenUp { order_id, token_id, .. } => {
                of_order(self.kind(), order_id, *token_id)
            }
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
