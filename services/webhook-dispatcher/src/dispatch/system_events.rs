//! Events about deliveries that do not arrive.

use std::collections::HashMap;

use domain::SubscriptionId;
use domain::events::{Envelope, WebhookDeliveryExhausted, WebhookSubscriptionDisabled};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::alert::WebhookDisabled;
use crate::domain::health::DisabledFor;
use crate::domain::receiver_url;
use crate::state::State;
use crate::store::outcomes::{Ending, Outcome};
use crate::store::{exhausted_deliveries, health};

/// The events of the deliveries that fail for good with these outcomes, which are not recorded yet.
///
/// # Errors
/// The database's.
pub(super) async fn exhausted(
    conn: &mut pg::Connection,
    state: &State,
    outcomes: &[Outcome],
) -> Result<Vec<Envelope>, pg::Error> {
    let is_failed = |it: &&Outcome| matches!(it.ending, Ending::Failed | Ending::Gone);
    let failed: HashMap<Uuid, &Outcome> =
        outcomes.iter().filter(is_failed).map(|it| (it.delivery_id, it)).collect();
    if failed.is_empty() {
        return Ok(Vec::new());
    }
    let claims = failed.values().map(|it| (it.delivery_id, it.claim)).unzip();
    let locked = exhausted_deliveries::lock(conn, claims).await?;
    let events = locked.into_iter().filter_map(|it| {
        let delivery = it.delivery;
        let outcome = failed.get(&delivery.id)?;
        let event = WebhookDeliveryExhausted {
            subscription_id: delivery.subscription_id.into(),
            user_id: it.owner,
            delivery_id: delivery.id.into(),
            event_id: delivery.message_id,
            event_type: delivery.event_type,
            attempts: outcome.attempt,
            response_status: outcome.answer.status,
            error: outcome.answer.error.as_ref().map(|(_, text)| text.clone()).unwrap_or_default(),
            failed_at: outcome.attempted_at,
        };
        Some(state.wrap(&event))
    });
    events.collect()
}

/// Disables a locked subscription and raises an alert. Returns the event to publish.
///
/// # Errors
/// The database's.
pub(super) async fn disable(
    conn: &mut pg::Connection,
    state: &State,
    id: SubscriptionId,
    reason: DisabledFor,
    now: OffsetDateTime,
) -> Result<Envelope, pg::Error> {
    let disabled = health::disable(conn, id.as_uuid(), reason.text(), now).await?;
    let name = disabled.name.unwrap_or_else(|| receiver_url::shown(&disabled.origin));
    alerts::raise(conn, now, &WebhookDisabled { id, name: &name, reason }).await?;
    state.wrap(&WebhookSubscriptionDisabled {
        subscription_id: id,
        user_id: disabled.owner,
        reason: reason.word().to_owned(),
        disabled_at: now,
        number: disabled.times_disabled,
    })
}
