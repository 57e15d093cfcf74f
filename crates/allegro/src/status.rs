//! Statuses as Allegro writes them.

use std::fmt;

macro_rules! statuses {
    ($($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+ })+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
            /// A value that Allegro's documentation does not list, as it was sent.
            Unknown(String),
        }

        impl $name {
            /// The value as Allegro writes it.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)+
                    Self::Unknown(text) => text,
                }
            }

            pub(crate) const fn is_unknown(&self) -> bool {
                matches!(self, Self::Unknown(_))
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                match text {
                    $($text => Self::$variant,)+
                    other => Self::Unknown(other.to_owned()),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    )+};
}

statuses! {
    /// `status`: what the buyer and Allegro have done.
    FormStatus {
        /// Bought; the delivery and payment form is not filled in.
        Bought = "BOUGHT",
        /// Filled in and not paid.
        FilledIn = "FILLED_IN",
        /// Paid, or paid on delivery.
        ReadyForProcessing = "READY_FOR_PROCESSING",
        /// Cancelled by the buyer or by Allegro.
        Cancelled = "CANCELLED",
    }
    /// `fulfillment.status`: the seller's own label. It is reversible, and set on unpaid forms too.
    FulfillmentStatus {
        /// Not yet labelled.
        New = "NEW",
        /// Being packed.
        Processing = "PROCESSING",
        /// Packed.
        ReadyForShipment = "READY_FOR_SHIPMENT",
        /// Waits for the buyer.
        ReadyForPickup = "READY_FOR_PICKUP",
        /// Shipped.
        Sent = "SENT",
        /// The buyer has it.
        PickedUp = "PICKED_UP",
        /// Labelled as cancelled.
        Cancelled = "CANCELLED",
        /// On hold.
        Suspended = "SUSPENDED",
        /// Returned; only Allegro sets it.
        Returned = "RETURNED",
    }
    /// `fulfillment.shipmentSummary.lineItemsSent`: how many lines were shipped.
    LineItemsSent {
        /// No line.
        None = "NONE",
        /// Some lines.
        Some = "SOME",
        /// All lines.
        All = "ALL",
    }
}
