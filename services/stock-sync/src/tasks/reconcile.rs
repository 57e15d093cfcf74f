//! `reconcile`

use std::time::Duration;

use ::tasks::{Outcome, Task, TaskContext, TaskError};
use clients::Error as BackupError;
use serde_json::json;

use crate::app::reconcile::{self, Error, Reconcile, Wanted};
use crate::state::State;

impl Task for Reconcile {
    const KIND: &'static str = "reconcile";
    type State = State;

    async fn run(self, TaskContext { state, run }: TaskContext<'_, State>) -> Result<Outcome, TaskError> {
        let wanted = Wanted { id: run.id().as_uuid(), token_id: None, fix: self.fix };
        let report = reconcile::run(state, wanted, |_| true, Some(run)).await?;
        Ok(Outcome::Success(json!({
            "total_checked": report.totals.checked, "discrepancies": report.discrepancies.len(),
            "auto_fixed": report.totals.auto_fixed, "requires_manual_review": report.requires_manual_review,
            "is_held": report.totals.is_held,
        })))
    }
}

impl From<Error> for TaskError {
    fn from(error: Error) -> Self {
        match error {
            Error::Database(error) => error.into(),
            Error::Backup(error @ BackupError::Unavailable { .. }) => {
                Self::Postpone { after: Duration::from_secs(30), reason: error.to_string() }
            }
            Error::Backup(error) => Self::Retry { after: Duration::from_mins(1), reason: error.to_string() },
            Error::Ended(error) => error,
            Error::NoAccount => Self::Fail(error.to_string()),
        }
    }
}
