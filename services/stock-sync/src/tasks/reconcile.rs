//! Every account and the ledger are compared.

use std::time::Duration;

use ::tasks::schedules::NewSchedule;
use ::tasks::{Outcome, Run, TaskError, TaskHandler};
use clients::Error as BackupError;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::json;

use super::standing;
use crate::app::reconcile::{self, Error, KIND, Wanted};
use crate::state::State;

/// Compares everything.
#[derive(Debug)]
pub(crate) struct Reconcile(pub(crate) State);

impl Reconcile {
    /// As often as the settings say.
    pub(crate) fn schedule(state: &State) -> NewSchedule {
        standing(KIND, state.settings.reconcile.every)
    }

    async fn compare(&self, run: &Run) -> Result<Outcome, TaskError> {
        let fix = run.task().payload.get("fix").and_then(serde_json::Value::as_bool).unwrap_or(false);
        let wanted = Wanted { id: run.id().as_uuid(), token_id: None, fix };
        let report = reconcile::run(&self.0, wanted, |_| true, Some(run)).await?;
        Ok(Outcome::Success(json!({
            "total_checked": report.totals.checked, "discrepancies": report.discrepancies.len(),
            "auto_fixed": report.totals.auto_fixed, "requires_manual_review": report.requires_manual_review,
            "is_held": report.totals.is_held,
        })))
    }
}

impl TaskHandler for Reconcile {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn run<'a>(&'a self, run: &'a Run) -> BoxFuture<'a, Result<Outcome, TaskError>> {
        self.compare(run).boxed()
    }
}

impl From<Error> for TaskError {
    fn from(error: Error) -> Self {
        match error {
            Error::Database(error) => error.into(),
            Error::Backup(error @ BackupError::Away { .. }) => {
                Self::Postpone { after: Duration::from_secs(30), reason: error.to_string() }
            }
            Error::Backup(error) => Self::Retry { after: Duration::from_mins(1), reason: error.to_string() },
            Error::Ended(error) => error,
            Error::NoAccount => Self::Fail(error.to_string()),
        }
    }
}
