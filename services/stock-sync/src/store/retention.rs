//! What is kept no longer. An operation goes with its log; movements, levels and what is remembered of orders never go.

use std::time::Duration;

use pg::RetentionPolicy;

/// All of them.
pub(crate) const POLICIES: [RetentionPolicy; 4] = [RETAIN_DONE, RETAIN_FAILED, RETAIN_FINDINGS, RETAIN_RUNS];

/// Operations that are over and went well.
const RETAIN_DONE: RetentionPolicy = RetentionPolicy {
    what: "operations",
    sql: "WITH over AS ( \
              SELECT id FROM pending_stock_operations \
              WHERE status IN ('completed', 'cancelled') AND updated_at < now() - $1 \
              ORDER BY updated_at LIMIT $2 FOR UPDATE SKIP LOCKED), \
          logs AS (DELETE FROM stock_synchronization_logs WHERE operation_id IN (SELECT id FROM over)) \
          DELETE FROM pending_stock_operations WHERE id IN (SELECT id FROM over)",
    keep: Duration::from_hours(24 * 30),
};

/// Operations people gave up looking at.
const RETAIN_FAILED: RetentionPolicy = RetentionPolicy {
    what: "failed_operations",
    sql: "WITH over AS ( \
              SELECT id FROM pending_stock_operations WHERE status = 'failed' AND updated_at < now() - $1 \
              ORDER BY updated_at LIMIT $2 FOR UPDATE SKIP LOCKED), \
          logs AS (DELETE FROM stock_synchronization_logs WHERE operation_id IN (SELECT id FROM over)) \
          DELETE FROM pending_stock_operations WHERE id IN (SELECT id FROM over)",
    keep: Duration::from_hours(24 * 90),
};

/// Findings that are no more.
const RETAIN_FINDINGS: RetentionPolicy = RetentionPolicy {
    what: "discrepancies",
    sql: "DELETE FROM discrepancies WHERE id IN ( \
              SELECT id FROM discrepancies WHERE fixed_at < now() - $1 \
              ORDER BY fixed_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
    keep: Duration::from_hours(24 * 90),
};

/// Runs nobody asks after.
const RETAIN_RUNS: RetentionPolicy = RetentionPolicy {
    what: "reconciliations",
    sql: "DELETE FROM reconciliations WHERE id IN ( \
              SELECT id FROM reconciliations WHERE started_at < now() - $1 \
              ORDER BY started_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
    keep: Duration::from_hours(24 * 90),
};
