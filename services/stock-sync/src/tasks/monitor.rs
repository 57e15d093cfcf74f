//! `monitor`

use ::tasks::{Outcome, Task, TaskContext, TaskError};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::app::watch;
use crate::state::State;

/// Raises and clears the alerts about operations under way.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Monitor {}

impl Task for Monitor {
    const KIND: &'static str = "monitor";
    type State = State;

    async fn run(self, context: TaskContext<'_, State>) -> Result<Outcome, TaskError> {
        let wrong = watch::look_over(context.state).await?;
        Ok(Outcome::Success(json!({ "raised": wrong })))
    }
}
