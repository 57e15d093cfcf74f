//! Looking at deliveries, setting them going again, calling them off.

use domain::{DeliveryId, SubscriptionId};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::state::State;
use crate::store::again::{self, Held};
use crate::store::deliveries;
pub(crate) use crate::store::deliveries::{Attempt, Delivery, Filter, Status};
use crate::store::stats;
pub(crate) use crate::store::stats::{OutcomeCount, Stats};
use crate::store::subscriptions::{self, Subscription};

/// What an owner may do with a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Retry,
    Cancel,
}

/// Why a delivery stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("there is no such delivery")]
    Gone,
    /// Its state does not allow it.
    #[error("its state does not allow it")]
    State,
    /// Its subscription is not active.
    #[error("its subscription is not active")]
    Inactive,
    /// Its payload is kept no longer.
    #[error("its payload is kept no longer")]
    Expired,
}

pub(crate) async fn list(
    state: &State,
    subscription_id: SubscriptionId,
    filter: &Filter,
    after: Option<(OffsetDateTime, Uuid)>,
    limit: i64,
) -> Result<Vec<Delivery>, pg::Error> {
    deliveries::list(&mut *state.pool.get().await?, subscription_id, filter, after, limit).await
}

/// A delivery with its tries and its subscription; none when there is no such delivery, or its subscription was
/// removed.
pub(crate) async fn find(
    state: &State,
    id: DeliveryId,
) -> Result<Option<(Delivery, Vec<Attempt>, Subscription)>, pg::Error> {
    let mut conn = state.pool.get().await?;
    let Some(delivery) = deliveries::find(&mut conn, id).await? else { return Ok(None) };
    let subscription = subscriptions::find(&mut conn, delivery.subscription_id.into()).await?;
    let Some(subscription) = subscription else { return Ok(None) };
    let attempts = deliveries::attempts(&mut conn, id).await?;
    Ok(Some((delivery, attempts, subscription)))
}

/// Does what its owner wants with a delivery, where its state allows it, and returns it as it is then.
///
/// # Errors
/// The database's; a [`Refusal`] is no error of ours.
pub(crate) async fn act(
    conn: &mut pg::Connection,
    id: DeliveryId,
    action: Action,
    now: OffsetDateTime,
) -> Result<Result<Delivery, Refusal>, pg::Error> {
    let Some(held) = again::hold(conn, id).await? else { return Ok(Err(Refusal::Gone)) };
    if let Err(refusal) = allows(&held, action) {
        return Ok(Err(refusal));
    }
    match action {
        Action::Retry => again::retry(conn, id, now).await?,
        Action::Cancel => again::cancel(conn, id, now).await?,
    }
    Ok(deliveries::find(conn, id).await?.ok_or(Refusal::Gone))
}

fn allows(held: &Held, action: Action) -> Result<(), Refusal> {
    let is_under_way = held.status == Status::Delivering.as_str();
    let is_open = is_under_way || held.status == Status::Pending.as_str();
    match action {
        Action::Cancel if is_open => Ok(()),
        Action::Cancel => Err(Refusal::State),
        Action::Retry if is_under_way => Err(Refusal::State),
        Action::Retry if !held.is_active => Err(Refusal::Inactive),
        Action::Retry if !held.has_payload => Err(Refusal::Expired),
        Action::Retry => Ok(()),
    }
}

/// How a subscription's deliveries have fared: all of them, and those made since then.
///
/// # Errors
/// The database's.
pub(crate) async fn stats(
    state: &State,
    id: SubscriptionId,
    since: OffsetDateTime,
) -> Result<Stats, pg::Error> {
    stats::of(&mut *state.pool.get().await?, id, since).await
}
