//! Why units moved.

use serde::Deserialize;
use utoipa::ToSchema;

/// Which way units move, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MovementKind {
    /// Sold.
    Sale,
    /// Came back with a cancelled order.
    Refund,
    /// Counted or corrected by people.
    Adjustment,
    /// Set by a file.
    Import,
    /// Came in.
    Receipt,
}

impl MovementKind {
    /// The word in the database, in events and in answers.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Sale => "sale",
            Self::Refund => "refund",
            Self::Adjustment => "adjustment",
            Self::Import => "import",
            Self::Receipt => "receipt",
        }
    }
}
