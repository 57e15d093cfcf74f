//! Events of production.

use serde::{Deserialize, Serialize};
use time::{Date, OffsetDateTime};
use utoipa::ToSchema;

use super::Event;

time::serde::format_description!(day, Date, "[year]-[month]-[day]");

/// A production batch was closed: nothing can be added to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BatchClosed {
    /// The batch.
    pub batch_id: i64,
    /// Its number, unique on its day.
    pub batch_number: i64,
    /// Its day.
    #[serde(with = "day")]
    pub batch_date: Date,
    /// The product in the plant's nomenclature.
    pub nomenclature: String,
    /// The plant's code of the product (EKN).
    pub ekn_code: String,
    /// When it was closed.
    #[serde(with = "crate::instant")]
    pub closed_at: OffsetDateTime,
    /// Quantities.
    pub statistics: BatchStatistics,
    /// Grows with each change of the batch.
    pub version: i64,
}

/// Quantities of a batch, in pieces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BatchStatistics {
    /// Pieces that have a code.
    pub total_products: i64,
    /// Pieces that were packed.
    pub aggregated: i64,
    /// Pieces with a code that were not packed.
    pub remaining: i64,
    /// Percentage of packed pieces.
    pub aggregation_rate: f64,
}

impl Event for BatchClosed {
    const TYPE: &'static str = "batch.closed";
    const SOURCE: &'static str = "/production-batches";

    fn subject(&self) -> String {
        self.batch_id.to_string()
    }

    fn partition_key(&self) -> String {
        self.batch_id.to_string()
    }

    fn sequence(&self) -> i64 {
        self.version
    }
}
