//! Sets of deliveries set going again, or called off: work for tasks, which go on where they stopped.

use ::tasks::NewTask;
use domain::{SubscriptionId, TaskId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::state::State;
pub(crate) use crate::store::deliveries::Filter;

/// Redelivers deliveries of a subscription that had ended before the task was enqueued.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ReplayDeliveries {
    pub(crate) webhook_id: SubscriptionId,
    /// Applied one after the other.
    pub(crate) filters: Vec<Filter>,
}

/// Cancels all pending deliveries of a subscription that was removed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct CancelDeliveries {
    pub(crate) webhook_id: SubscriptionId,
}

/// Enqueues a replay. While the same replay is enqueued or running, that task is returned.
///
/// # Errors
/// The database's.
pub(crate) async fn ask(
    conn: &mut pg::Connection,
    state: &State,
    owner: Option<String>,
    requested_by: &str,
    replay: &ReplayDeliveries,
) -> Result<TaskId, pg::Error> {
    let new = NewTask::new(replay, queue(replay.webhook_id));
    let digest = hex::encode(Sha256::digest(new.payload.json()?.to_string()));
    let task = NewTask {
        unique_key: Some(format!("replay:{digest}")),
        requested_by: Some(requested_by.to_owned()),
        user_id: owner,
        ..new
    };
    ::tasks::enqueue(conn, state.ids.next_id().into(), state.now(), &task).await
}

/// Asks for everything on its way to a removed subscription to be called off.
///
/// # Errors
/// The database's.
pub(crate) async fn ask_to_cancel(
    conn: &mut pg::Connection,
    state: &State,
    id: SubscriptionId,
) -> Result<(), pg::Error> {
    let task = NewTask::new(&CancelDeliveries { webhook_id: id }, queue(id));
    ::tasks::enqueue(conn, state.ids.next_id().into(), state.now(), &task).await?;
    Ok(())
}

/// What is done to one subscription is done one after another.
fn queue(id: SubscriptionId) -> String {
    format!("webhook_{id}")
}
