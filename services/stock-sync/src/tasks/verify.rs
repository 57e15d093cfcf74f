//! `verify_ledger`

use ::tasks::{Outcome, Task, TaskContext, TaskError};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::app::reconcile::check_ledger;
use crate::state::State;

/// Compares every stock level with the sum of its movements.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct VerifyLedger {}

impl Task for VerifyLedger {
    const KIND: &'static str = "verify_ledger";
    type State = State;

    async fn run(self, context: TaskContext<'_, State>) -> Result<Outcome, TaskError> {
        let checked = check_ledger(context.state).await?;
        Ok(Outcome::Success(json!({ "levels": checked.levels, "wrong": checked.wrong.len() })))
    }
}
