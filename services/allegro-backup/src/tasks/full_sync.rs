//! `full_sync_all_orders`: the first sync, and every later reading of the whole list.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tasks::{Outcome, Run, TaskError, TaskHandler};

use super::owner;
use crate::app::first_sync;
use crate::app::work::FULL_SYNC;
use crate::state::State;

/// Reads an account's whole list.
#[derive(Debug)]
pub(crate) struct FullSync(pub State);

impl TaskHandler for FullSync {
    fn kind(&self) -> &'static str {
        FULL_SYNC
    }

    fn run<'a>(&'a self, run: &'a Run) -> BoxFuture<'a, Result<Outcome, TaskError>> {
        async move {
            let owner = owner(&self.0, run).await?;
            first_sync::sync(&self.0, run, &owner).await?;
            Ok(Outcome::Finished)
        }
        .boxed()
    }
}
