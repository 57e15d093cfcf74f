//! Sets of deliveries set going again, or called off: work for tasks, which go on where they stopped.

use ::tasks::NewTask;
use domain::{SubscriptionId, TaskId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::state::State;
pub(crate) use crate::store::deliveries::Filter;

/// The kinds of tasks.
pub(crate) const REPLAY: &str = "replay_deliveries";
pub(crate) const CANCEL: &str = "cancel_deliveries";

/// Which deliveries a task sets going.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) webhook_id: SubscriptionId,
    /// One order for each of them, tried in turn.
    pub(crate) filters: Vec<Filter>,
}

/// Asks for deliveries to be set going again. The same order asked for while it is being carried out is that one.
///
/// # Errors
/// The database's.
pub(crate) async fn ask(
    conn: &mut pg::Connection,
    state: &State,
    owner: Option<String>,
    requested_by: &str,
    order: &Order,
) -> Result<TaskId, pg::Error> {
    let payload = serde_json::to_value(order).map_err(pg::Error::unwritable)?;
    let digest = hex::encode(Sha256::digest(payload.to_string()));
    let task = NewTask {
        unique_key: Some(format!("replay:{digest}")),
        requested_by: Some(requested_by.to_owned()),
        user_id: owner,
        ..NewTask::new(REPLAY, queue(order.webhook_id), payload)
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
    let task = NewTask::new(CANCEL, queue(id), json!({ "webhook_id": id }));
    ::tasks::enqueue(conn, state.ids.next_id().into(), state.now(), &task).await?;
    Ok(())
}

/// What is done to one subscription is done one after another.
fn queue(id: SubscriptionId) -> String {
    format!("webhook_{id}")
}
