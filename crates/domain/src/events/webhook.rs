//! Events of undeliverable webhooks.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Event;
use crate::ids::{DeliveryId, SubscriptionId};

/// A delivery failed and is not retried automatically.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WebhookDeliveryExhausted {
    /// The subscription of the delivery. It does not receive this event.
    pub subscription_id: SubscriptionId,
    /// The user who owns the subscription. Absent when a service owns it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The delivery. It can be retried by request.
    pub delivery_id: DeliveryId,
    /// The id of the undelivered event.
    pub event_id: Uuid,
    /// Its type.
    pub event_type: String,
    /// Attempts so far, including those before a manual retry.
    pub attempts: i32,
    /// Status code of the last response, if there was one.
    pub response_status: Option<i32>,
    /// Error of the last attempt.
    pub error: String,
    /// When the last attempt was made.
    #[serde(with = "crate::instant")]
    pub failed_at: OffsetDateTime,
}

/// A subscription was disabled. It receives nothing until its owner activates it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WebhookSubscriptionDisabled {
    /// The subscription. It does not receive this event.
    pub subscription_id: SubscriptionId,
    /// The user who owns the subscription. Absent when a service owns it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The reason: `gone` (the receiver answered 410) or `only_failures` (every attempt failed for five days).
    pub reason: String,
    /// Since when.
    #[serde(with = "crate::instant")]
    pub disabled_at: OffsetDateTime,
    /// Grows each time this subscription is disabled.
    pub number: i64,
}

impl Event for WebhookDeliveryExhausted {
    const TYPE: &'static str = "webhook.delivery_exhausted";
    const SOURCE: &'static str = "/webhook-dispatcher";

    fn subject(&self) -> String {
        self.delivery_id.to_string()
    }

    fn partition_key(&self) -> String {
        self.subscription_id.to_string()
    }

    fn sequence(&self) -> i64 {
        self.attempts.into()
    }
}

impl Event for WebhookSubscriptionDisabled {
    const TYPE: &'static str = "webhook.subscription_disabled";
    const SOURCE: &'static str = "/webhook-dispatcher";

    fn subject(&self) -> String {
        self.subscription_id.to_string()
    }

    fn partition_key(&self) -> String {
        self.subscription_id.to_string()
    }

    fn sequence(&self) -> i64 {
        self.number
    }
}
