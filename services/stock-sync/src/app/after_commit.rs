//! What is logged and counted once a transaction has committed.

use super::inventory::Refused;

/// Effects outside the database. A transaction that may be rolled back and run again collects them; its caller reports them
/// after the commit.
#[derive(Debug, Default)]
#[must_use = "to be reported after the commit"]
pub(crate) struct AfterCommit {
    /// Orders for which there were too few units.
    pub(crate) shortages: u64,
    /// Closed batches that could not be received, and the reasons.
    pub(crate) refused_batches: Vec<(i64, Refused)>,
}

impl AfterCommit {
    /// Logs and counts it.
    pub(crate) fn report(self) {
        if self.shortages > 0 {
            metrics::counter!("stock_shortages_total").increment(self.shortages);
        }
        for (batch, refused) in self.refused_batches {
            tracing::warn!(batch, %refused, "a closed batch cannot be received; it waits");
        }
    }
}
