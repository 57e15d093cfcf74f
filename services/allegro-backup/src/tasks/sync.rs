//! The tasks of the sync, by their kinds.

use domain::TokenId;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tasks::{Outcome, Run, TaskError, TaskHandler};
use time::OffsetDateTime;

use super::owner;
use crate::app::cleanup::Old;
use crate::app::event_sync::Begin;
use crate::app::history::Kind;
use crate::app::list_sync::Wish;
use crate::app::upsert::{OnDuplicate, Source};
use crate::app::work::{
    CLEANUP_EVENTS, CLEANUP_HISTORY, FULL_RESYNC, FULL_SYNC, MANUAL_EVENTS, MISSING_ORDERS, ORDER_EVENTS,
    PROCESS_EVENTS, RETRY_FAILED, SWEEP, SYNC_USER, UPDATE_ORDERS,
};
use crate::app::{cleanup, event_sync, history, list_sync, rereading, syncs};
use crate::domain::order::Owner;
use crate::state::State;

/// What works on one account, in its queue.
const OF_ACCOUNTS: [&str; 8] =
    [FULL_SYNC, SYNC_USER, FULL_RESYNC, ORDER_EVENTS, PROCESS_EVENTS, SWEEP, UPDATE_ORDERS, MISSING_ORDERS];
/// What works for all of them.
const OF_ALL: [&str; 4] = [MANUAL_EVENTS, RETRY_FAILED, CLEANUP_HISTORY, CLEANUP_EVENTS];

/// Reads an account, as its kind says.
#[derive(Debug)]
pub(crate) struct OfAccount {
    kind: &'static str,
    state: State,
}

/// Looks after all accounts, as its kind says.
#[derive(Debug)]
pub(crate) struct OfAll {
    kind: &'static str,
    state: State,
}

/// The handlers of every kind.
pub(crate) fn handlers(state: &State) -> impl Iterator<Item = std::sync::Arc<dyn TaskHandler>> {
    let of_accounts = OF_ACCOUNTS.map(|kind| OfAccount { kind, state: state.clone() });
    let of_all = OF_ALL.map(|kind| OfAll { kind, state: state.clone() });
    let shared = |handler: OfAccount| -> std::sync::Arc<dyn TaskHandler> { std::sync::Arc::new(handler) };
    let shared_too = |handler: OfAll| -> std::sync::Arc<dyn TaskHandler> { std::sync::Arc::new(handler) };
    of_accounts.into_iter().map(shared).chain(of_all.into_iter().map(shared_too))
}

#[derive(Deserialize)]
struct Full {
    #[serde(default)]
    whole: bool,
}

#[derive(Deserialize)]
struct Manual {
    #[serde(default, with = "domain::instant::option")]
    from: Option<OffsetDateTime>,
    #[serde(default, with = "domain::instant::option")]
    to: Option<OffsetDateTime>,
    #[serde(default)]
    on_duplicate: OnDuplicate,
}

#[derive(Deserialize)]
struct Events {
    event_id: Option<String>,
    again: bool,
}

#[derive(Deserialize)]
struct Orders {
    #[serde(default)]
    order_ids: Vec<String>,
    #[serde(default)]
    are_due: bool,
    #[serde(default)]
    by_hand: bool,
}

#[derive(Deserialize)]
struct Journals {
    token_ids: Vec<TokenId>,
    #[serde(default, with = "domain::instant::option")]
    from_date: Option<OffsetDateTime>,
}

fn payload<T: DeserializeOwned>(run: &Run) -> Result<T, TaskError> {
    serde_json::from_value(run.task().payload.clone())
        .map_err(|error| TaskError::Fail(format!("the task's payload cannot be read: {error}")))
}

impl OfAccount {
    async fn work(&self, run: &Run, owner: &Owner) -> Result<(), TaskError> {
        let state = &self.state;
        match self.kind {
            FULL_SYNC => {
                let Full { whole } = payload(run)?;
                let wish = if whole { Wish::Connected } else { Wish::Scheduled };
                list_sync::sync(state, run, owner, wish).await
            }
            FULL_RESYNC => list_sync::sync(state, run, owner, Wish::Whole).await,
            SYNC_USER => {
                let Manual { from, to, on_duplicate } = payload(run)?;
                list_sync::sync(state, run, owner, Wish::Manual { from, to, on_duplicate }).await
            }
            PROCESS_EVENTS => {
                let Events { event_id, again } = payload(run)?;
                event_sync::sync(state, run, owner, Begin::After { event_id, again }).await
            }
            SWEEP => rereading::sweep(state, run, owner).await,
            UPDATE_ORDERS | MISSING_ORDERS => match payload(run)? {
                Orders { are_due: true, .. } => rereading::due(state, run, owner).await,
                Orders { order_ids, by_hand, .. } => {
                    let source = if by_hand { Source::Asked } else { Source::Detail };
                    rereading::orders(state, run, owner, (&order_ids, source)).await
                }
            },
            _order_events => event_sync::sync(state, run, owner, Begin::Cursor).await,
        }
    }

    /// As what the reading is written down when it fails, if it is.
    fn history_kind(&self) -> Option<Kind> {
        match self.kind {
            FULL_SYNC => Some(Kind::List),
            SYNC_USER | FULL_RESYNC => Some(Kind::Manual),
            SWEEP => Some(Kind::Sweep),
            ORDER_EVENTS | PROCESS_EVENTS => Some(Kind::Events),
            _single_orders => None,
        }
    }
}

impl TaskHandler for OfAccount {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn run<'a>(&'a self, run: &'a Run) -> BoxFuture<'a, Result<Outcome, TaskError>> {
        async move {
            let owner = owner(&self.state, run).await?;
            let outcome = self.work(run, &owner).await;
            let status = match &outcome {
                Ok(()) => Some("completed"),
                Err(TaskError::Fail(reason)) => {
                    if let Some(kind) = self.history_kind() {
                        history::fail(&self.state, (run, &owner), kind, reason).await?;
                    }
                    Some("failed")
                }
                Err(_goes_on) => None,
            };
            if let Some(status) = status {
                metrics::counter!("sync_runs_total", "kind" => self.kind, "status" => status).increment(1);
            }
            outcome.map(|()| Outcome::Finished)
        }
        .boxed()
    }
}

impl TaskHandler for OfAll {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn run<'a>(&'a self, run: &'a Run) -> BoxFuture<'a, Result<Outcome, TaskError>> {
        async move {
            let state = &self.state;
            match self.kind {
                MANUAL_EVENTS => {
                    let Journals { token_ids, from_date } = payload(run)?;
                    syncs::process_journals(state, run, &token_ids, from_date).await?;
                }
                RETRY_FAILED => rereading::retry_failed(state, run).await?,
                CLEANUP_HISTORY => cleanup::forget(state, run, Old::Readings).await?,
                _events => cleanup::forget(state, run, Old::Events).await?,
            }
            Ok(Outcome::Finished)
        }
        .boxed()
    }
}
