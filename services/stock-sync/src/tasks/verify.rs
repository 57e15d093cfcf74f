//! Every level is added up.

use std::time::Duration;

use ::tasks::schedules::NewSchedule;
use ::tasks::{Outcome, Run, TaskError, TaskHandler};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::json;

use super::standing;
use crate::app::reconcile::check_ledger;
use crate::state::State;

const KIND: &str = "verify_ledger";

/// Adds up.
#[derive(Debug)]
pub(crate) struct Verify(pub(crate) State);

impl Verify {
    /// Every hour.
    pub(crate) fn schedule() -> NewSchedule {
        standing(KIND, Duration::from_hours(1))
    }
}

impl TaskHandler for Verify {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn run<'a>(&'a self, _: &'a Run) -> BoxFuture<'a, Result<Outcome, TaskError>> {
        async move {
            let checked = check_ledger(&self.0).await?;
            Ok(Outcome::Success(json!({ "levels": checked.levels, "wrong": checked.wrong.len() })))
        }
        .boxed()
    }
}
