//! Reads, retries and cancels deliveries.

use domain::{DeliveryId, SubscriptionId};
use time::OffsetDateTime;
use uuid::Uuid;

pub(crate) use crate::domain::delivery::Status;
use crate::state::State;
use crate::store::deliveries;
pub(crate) use crate::store::deliveries::{Attempt, Delivery, Filter};
use crate::store::redelivery::{self, Locked};
use crate::store::stats;
pub(crate) use crate::store::stats::{OutcomeCount, Stats};
use crate::store::subscriptions::{self, Ownership};

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

/// A delivery with its attempts and the owner of its subscription; none when there is no such delivery, or its subscription
/// was removed.
pub(crate) async fn find(
    state: &State,
    id: DeliveryId,
) -> Result<Option<(Delivery, Vec<Attempt>, Ownership)>, pg::Error> {
    let mut conn = state.pool.get().await?;
    let Some(delivery) = deliveries::find(&mut conn, id).await? else { return Ok(None) };
    let ownership = subscriptions::ownership(&mut conn, delivery.subscription_id.into()).await?;
    let Some(ownership) = ownership else { return Ok(None) };
    let attempts = deliveries::attempts(&mut conn, id).await?;
    Ok(Some((delivery, attempts, ownership)))
}

/// Retries or cancels a delivery if its state allows it, and returns the delivery afterwards.
///
/// # Errors
/// The database's; a [`Refusal`] is no error of ours.
pub(crate) async fn act(
    conn: &mut pg::Connection,
    id: DeliveryId,
    action: Action,
    now: OffsetDateTime,
) -> Result<Result<Delivery, Refusal>, pg::Error> {
    let Some(locked) = redelivery::lock(conn, id).await? else { return Ok(Err(Refusal::Gone)) };
    if let Err(refusal) = allows(&locked, action) {
        return Ok(Err(refusal));
    }
    match action {
        Action::Retry => redelivery::retry(conn, id, locked.status, now).await?,
        Action::Cancel => redelivery::cancel(conn, id, now).await?,
    }
    Ok(deliveries::find(conn, id).await?.ok_or(Refusal::Gone))
}

fn allows(delivery: &Locked, action: Action) -> Result<(), Refusal> {
    match action {
        Action::Cancel if delivery.status.is_final() => Err(Refusal::State),
        Action::Retry if delivery.status == Status::Delivering => Err(Refusal::State),
        Action::Retry if !delivery.is_active => Err(Refusal::Inactive),
        Action::Retry if !delivery.has_payload => Err(Refusal::Expired),
        Action::Cancel | Action::Retry => Ok(()),
    }
}

/// Counts and durations of a subscription's deliveries: all of them, and those created since then.
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
