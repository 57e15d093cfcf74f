//! `sync_order_events`: follows an account's journal; each run asks for the next.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tasks::{Outcome, Run, TaskError, TaskHandler};

use super::owner;
use crate::app::event_sync;
use crate::app::work::ORDER_EVENTS;
use crate::state::State;

/// Follows an account's journal.
#[derive(Debug)]
pub(crate) struct OrderEvents(pub State);

impl TaskHandler for OrderEvents {
    fn kind(&self) -> &'static str {
        ORDER_EVENTS
    }

    fn run<'a>(&'a self, run: &'a Run) -> BoxFuture<'a, Result<Outcome, TaskError>> {
        async move {
            let owner = owner(&self.0, run).await?;
            event_sync::sync(&self.0, run, &owner).await?;
            Ok(Outcome::Finished)
        }
        .boxed()
    }
}
