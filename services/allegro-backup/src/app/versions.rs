//! Looking back: earlier contents of an order, what changed, what the journal said.

use serde_json::Value;
use time::OffsetDateTime;

use crate::domain::difference::{self, Change};
use crate::domain::order::{Order, OrderError};
pub(crate) use crate::domain::version_key::VersionKey;
use crate::state::State;
use crate::store::order_history;
pub(crate) use crate::store::order_history::{JournalEvent, Version};
use crate::store::order_list::Listed;

/// Why an earlier content cannot be shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HistoryError {
    /// There is none of this name.
    #[error("there is no version {0}")]
    NoVersion(VersionKey),
    /// The database's.
    #[error(transparent)]
    Database(#[from] pg::Error),
    /// What was stored cannot be read.
    #[error("a stored content cannot be read")]
    Stored(#[from] OrderError),
    /// A difference that does not lead from one to the other.
    #[error("the difference cannot be told")]
    Difference(#[from] json_patch::PatchError),
}

/// The contents of an order, the latest first.
///
/// # Errors
/// The database's.
pub(crate) async fn versions(
    state: &State,
    order: &Listed,
    after: Option<(OffsetDateTime, i64)>,
    limit: i64,
) -> Result<Vec<Version>, pg::Error> {
    let mut conn = state.pool.get().await?;
    order_history::versions(&mut conn, order.id, after, limit).await
}

/// What the journal said of an order, the latest first.
///
/// # Errors
/// The database's.
pub(crate) async fn events(
    state: &State,
    order: &Listed,
    after: Option<(OffsetDateTime, i64)>,
    limit: i64,
) -> Result<Vec<JournalEvent>, pg::Error> {
    let mut conn = state.pool.get().await?;
    order_history::events(&mut conn, (order.token_id(), &order.allegro_order_id), after, limit).await
}

/// The order as it was in an earlier version.
///
/// # Errors
/// [`HistoryError`].
pub(crate) async fn at_version(
    state: &State,
    order: Listed,
    version: VersionKey,
) -> Result<Listed, HistoryError> {
    let number = match version {
        VersionKey::Number(number) => Some(number),
        VersionKey::Late(_) => None,
    };
    if number.is_some() && order.version == number {
        return Ok(order);
    }
    let mut conn = state.pool.get().await?;
    let content = order_history::content(&mut conn, order.id, version).await?;
    let content = Order::read(&content.ok_or(HistoryError::NoVersion(version))?)?;
    Ok(order.with_content(content, number))
}

/// The steps from one version of an order to another.
///
/// # Errors
/// [`HistoryError`].
pub(crate) async fn difference(
    state: &State,
    order: &Listed,
    from: VersionKey,
    to: VersionKey,
) -> Result<Vec<Change>, HistoryError> {
    let mut conn = state.pool.get().await?;
    let mut compared = Vec::new();
    for version in [from, to] {
        let content = order_history::content(&mut conn, order.id, version).await?;
        let content = content.ok_or(HistoryError::NoVersion(version))?;
        let content: Value =
            serde_json::from_str(&content).map_err(|error| OrderError::Unreadable(error.to_string()))?;
        compared.push(content);
    }
    match compared.as_slice() {
        [before, after] => Ok(difference::between(before, after)?),
        _ => Ok(Vec::new()),
    }
}
