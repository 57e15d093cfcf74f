//! Looking at deliveries.

use domain::{DeliveryId, SubscriptionId};

use crate::state::State;
use crate::store::deliveries;
pub(crate) use crate::store::deliveries::{Attempt, Delivery, Filter};
use crate::store::subscriptions::{self, Subscription};

pub(crate) async fn list(
    state: &State,
    subscription_id: SubscriptionId,
    filter: &Filter,
    limit: i64,
) -> Result<Vec<Delivery>, pg::Error> {
    deliveries::list(&mut *state.pool.get().await?, subscription_id, filter, limit).await
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
