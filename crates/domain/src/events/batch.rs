//! Facts about production.

use serde::{Deserialize, Serialize};
use time::{Date, OffsetDateTime};
use utoipa::ToSchema;

use super::Event;

time::serde::format_description!(day, Date, "[year]-[month]-[day]");

/// A production batch was closed: nothing is added to it any more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BatchClosed {
    /// The batch.
    pub batch_id: i64,
    /// Its number, unique on its day.
    pub batch_number: i64,
    /// Its day.
    #[serde(with = "day")]
    pub batch_date: Date,
    /// What was made, in the plant's words.
    pub nomenclature: String,
    /// The plant's code of it.
    pub ekn_code: String,
    /// When it was closed.
    #[serde(with = "crate::instant")]
    pub closed_at: OffsetDateTime,
    /// What was made of it.
    pub statistics: BatchStatistics,
    /// Grows with each change of the batch.
    pub version: i64,
}

/// Pieces of a batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BatchStatistics {
    /// Pieces that have a code.
    pub total_products: i64,
    /// Of them, pieces that were packed.
    pub aggregated: i64,
    /// The others.
    pub remaining: i64,
    /// Packed pieces of a hundred.
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
