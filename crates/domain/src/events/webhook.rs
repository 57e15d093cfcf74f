//! Facts about webhooks that do not arrive.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Event;
use crate::ids::{DeliveryId, SubscriptionId};

/// A webhook did not arrive and is not tried again by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WebhookDeliveryExhausted {
    /// The subscription it was for, which is not told of this itself.
    pub subscription_id: SubscriptionId,
    /// The user whose subscription it is; absent for one of a service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The delivery, which can be sent again by hand.
    pub delivery_id: DeliveryId,
    /// The id of the event that did not arrive.
    pub event_id: Uuid,
    /// Its type.
    pub event_type: String,
    /// How often it was tried, in all its runs: grows each time it is given up.
    pub attempts: i32,
    /// What the receiver answered the last time, if it did.
    pub response_status: Option<i32>,
    /// What went wrong the last time.
    pub error: String,
    /// When that was.
    #[serde(with = "crate::instant")]
    pub failed_at: OffsetDateTime,
}

/// A subscription is sent nothing any more, until its owner makes it active again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WebhookSubscriptionDisabled {
    /// The subscription, which is not told of this itself.
    pub subscription_id: SubscriptionId,
    /// The user whose subscription it is; absent for one of a service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// Why: `gone` (it answered 410) or `only_failures` (nothing else came for five days).
    pub reason: String,
    /// Since when.
    #[serde(with = "crate::instant")]
    pub disabled_at: OffsetDateTime,
    /// Grows with each time this subscription is disabled.
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
