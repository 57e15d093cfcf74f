//! What is under way is looked over.

use ::tasks::schedules::NewSchedule;
use ::tasks::{Outcome, Run, TaskError, TaskHandler};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::json;

use super::standing;
use crate::app::watch;
use crate::state::State;

const KIND: &str = "monitor";

/// Looks over.
#[derive(Debug)]
pub(crate) struct Monitor(pub(crate) State);

impl Monitor {
    /// As often as the settings say.
    pub(crate) fn schedule(state: &State) -> NewSchedule {
        standing(KIND, state.settings.watch.every)
    }
}

impl TaskHandler for Monitor {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn run<'a>(&'a self, _: &'a Run) -> BoxFuture<'a, Result<Outcome, TaskError>> {
        async move {
            let wrong = watch::look_over(&self.0).await?;
            Ok(Outcome::Success(json!({ "raised": wrong })))
        }
        .boxed()
    }
}
