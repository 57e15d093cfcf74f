//! `sync_missing_orders`: asks for one order again.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::Value;
use tasks::{Outcome, Run, TaskError, TaskHandler};

use super::owner;
use crate::app::refetch;
use crate::app::work::REFETCH;
use crate::state::State;

/// Asks for one order again.
#[derive(Debug)]
pub(crate) struct Refetch(pub State);

impl TaskHandler for Refetch {
    fn kind(&self) -> &'static str {
        REFETCH
    }

    fn run<'a>(&'a self, run: &'a Run) -> BoxFuture<'a, Result<Outcome, TaskError>> {
        async move {
            let owner = owner(&self.0, run).await?;
            let order_id = run.task().payload.get("order_id").and_then(Value::as_str);
            let order_id = order_id.ok_or_else(|| TaskError::Fail("the task names no order".to_owned()))?;
            refetch::refetch(&self.0, run, &owner, order_id).await?;
            Ok(Outcome::Finished)
        }
        .boxed()
    }
}
