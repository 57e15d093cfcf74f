//! Stored rows that this program cannot read.
//!
//! The error rolls back the caller's transaction, so that no alert can be written in it. Each row is therefore logged
//! and counted at once, and listed here until an alert is raised.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Maximum number of listed rows. Further rows are logged and counted only.
const MAX_ROWS: usize = 1000;

static ROWS: Mutex<BTreeSet<CorruptRow>> = Mutex::new(BTreeSet::new());

/// A stored value that this program cannot read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CorruptRow {
    /// The table of the row.
    pub table: &'static str,
    /// The primary key of the row; the parts of a composite key are joined by `/`.
    pub id: String,
    /// The column of the value.
    pub column: &'static str,
}

impl fmt::Display for CorruptRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}, column {}", self.table, self.id, self.column)
    }
}

/// Returns the corrupt rows that this process read since the last call.
pub fn take_corrupt_rows() -> Vec<CorruptRow> {
    std::mem::take(&mut *rows()).into_iter().collect()
}

/// Lists rows again that were taken but not reported.
pub fn restore_corrupt_rows(taken: impl IntoIterator<Item = CorruptRow>) {
    let mut rows = rows();
    for row in taken {
        if rows.len() < MAX_ROWS {
            rows.insert(row);
        }
    }
}

/// Logs, counts and lists a corrupt row.
pub(crate) fn record(row: CorruptRow) {
    let CorruptRow { table, id, column } = &row;
    tracing::error!(table, id, column, "stored row cannot be read");
    metrics::counter!("db_corrupt_rows_total", "table" => *table, "column" => *column).increment(1);
    restore_corrupt_rows([row]);
}

fn rows() -> MutexGuard<'static, BTreeSet<CorruptRow>> {
    ROWS.lock().unwrap_or_else(PoisonError::into_inner)
}
