//! `refresh_all_tokens`: no access token ends unnoticed.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::json;
use tasks::schedules::NewSchedule;
use tasks::{Outcome, Run, TaskError, TaskHandler, Timing};

use crate::app::refresh;
use crate::state::State;

const KIND: &str = "refresh_all_tokens";

/// Refreshes what ends soon.
#[derive(Debug)]
pub(crate) struct RefreshTokens(pub State);

impl RefreshTokens {
    /// Each time so much time has gone by.
    pub(crate) fn schedule(interval: Duration) -> NewSchedule {
        NewSchedule {
            name: KIND.to_owned(),
            kind: KIND,
            queue: KIND.to_owned(),
            payload: json!({}),
            max_attempts: 5,
            user_id: None,
            timing: Timing::every(interval),
            first_run_at: None,
        }
    }
}

impl TaskHandler for RefreshTokens {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn run<'a>(&'a self, run: &'a Run) -> BoxFuture<'a, Result<Outcome, TaskError>> {
        async move {
            refresh::refresh_due(&self.0, run).await?;
            Ok(Outcome::Finished)
        }
        .boxed()
    }
}
