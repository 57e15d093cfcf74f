//! `refresh_all_tokens`

use serde::{Deserialize, Serialize};
use tasks::{Outcome, Task, TaskContext, TaskError};

use crate::app::refresh;
use crate::state::State;

/// Refreshes access tokens that expire soon.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RefreshTokens {}

impl Task for RefreshTokens {
    const KIND: &'static str = "refresh_all_tokens";
    type State = State;

    async fn run(self, TaskContext { state, run }: TaskContext<'_, State>) -> Result<Outcome, TaskError> {
        refresh::refresh_due(state, run).await?;
        Ok(Outcome::Finished)
    }
}
