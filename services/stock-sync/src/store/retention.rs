//! What is kept no longer. An operation goes with its log; movements, levels and what is remembered of orders never go.

use std::time::Duration;

use pg::Forget;

/// All of them.
pub(crate) const POLICIES: [Forget; 4] = [FORGET_DONE, FORGET_FAILED, FORGET_FINDINGS, FORGET_RUNS];

/// Operations that are over and went well.
const FORGET_DONE: Forget = Forget {
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
const FORGET_FAILED: Forget = Forget {
    what: "failed_operations",
    sql: "WITH over AS ( \
              SELECT id FROM pending_stock_operations WHERE status = 'failed' AND updated_at < now() - $1 \
              ORDER BY updated_at LIMIT $2 FOR UPDATE SKIP LOCKED), \
          logs AS (DELETE FROM stock_synchronization_logs WHERE operation_id IN (SELECT id FROM over)) \
          DELETE FROM pending_stock_operations WHERE id IN (SELECT id FROM over)",
    keep: Duration::from_hours(24 * 90),
};

/// Findings that are no more.
const FORGET_FINDINGS: Forget = Forget {
    what: "discrepancies",
    sql: "DELETE FROM discrepancies WHERE id IN ( \
              SELECT id FROM discrepancies WHERE fixed_at < now() - $1 \
              ORDER BY fixed_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
    keep: Duration::from_hours(24 * 90),
};

/// Runs nobody asks after.
const FORGET_RUNS: Forget = Forget {
    what: "reconciliations",
    sql: "DELETE FROM reconciliations WHERE id IN ( \
              SELECT id FROM reconciliations WHERE started_at < now() - $1 \
              ORDER BY started_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
    keep: Duration::from_hours(24 * 90),
};
