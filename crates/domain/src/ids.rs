//! Typed ids: an order's id cannot be passed as a token's.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! uuid_ids {
    ($($(#[$doc:meta])* $name:ident;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(transparent)]
        #[schema(value_type = String, format = Uuid)]
        pub struct $name(Uuid);

        impl $name {
            /// The id as a plain UUID.
            pub const fn as_uuid(self) -> Uuid {
                self.0
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    )+};
}

uuid_ids! {
    /// A connected Allegro account (a pair of tokens) of one user.
    TokenId;
    /// A device-flow authorization in progress.
    AuthorizationId;
    /// A stored order.
    OrderId;
    /// A durable task.
    TaskId;
    /// An event; the CloudEvents `id`.
    EventId;
    /// A webhook subscription.
    SubscriptionId;
    /// One event for one subscription.
    DeliveryId;
}

/// Allegro's own id of an order (`checkoutForm.id`): a lower-case UUID, stored as text because Allegro defines its
/// format.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(transparent)]
pub struct AllegroOrderId(String);

impl AllegroOrderId {
    /// The id in Allegro's form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for AllegroOrderId {
    fn from(id: String) -> Self {
        Self(id)
    }
}

impl fmt::Display for AllegroOrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
