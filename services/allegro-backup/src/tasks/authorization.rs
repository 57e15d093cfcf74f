//! `poll_authorization_status`: one poller for each code.

use domain::AuthorizationId;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tasks::{Outcome, Run, TaskError, TaskHandler};

use crate::app::connect;
use crate::app::work::POLL_AUTHORIZATION;
use crate::state::State;

/// Polls a device flow until it ends.
#[derive(Debug)]
pub(crate) struct PollAuthorization(pub State);

impl TaskHandler for PollAuthorization {
    fn kind(&self) -> &'static str {
        POLL_AUTHORIZATION
    }

    fn run<'a>(&'a self, run: &'a Run) -> BoxFuture<'a, Result<Outcome, TaskError>> {
        async move {
            let named = run.task().payload.get("authorization_id");
            let id = named.and_then(|id| id.as_str()?.parse::<AuthorizationId>().ok());
            let id = id.ok_or_else(|| TaskError::Fail("the task names no authorization".to_owned()))?;
            connect::poll(&self.0, run, id).await?;
            Ok(Outcome::Finished)
        }
        .boxed()
    }
}
