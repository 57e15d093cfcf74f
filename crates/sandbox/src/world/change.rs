//! Changes of an order, and their effects on its content.

use serde_json::{Value, json};
use time::OffsetDateTime;

use super::clock::written;

/// A change of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    FillIn,
    Pay,
    /// The buyer pays more for it later: the order becomes ready once more.
    Surcharge,
    BuyerCancel,
    AutoCancel,
    /// The seller's status; only Allegro sets `RETURNED`.
    Fulfill(String),
    /// The part that was sent: NONE, SOME, ALL.
    Sent(String),
    /// The buyer returns it. No event reports it.
    Return,
    MoveAddress,
    /// The buyer's data and all lines but one are removed, as when an account is deleted.
    LoseData,
    /// The first offer's name gets this number of bytes, in the order and in its events.
    Bloat(usize),
    /// A field has another value, of any type: its place (JSON Pointer) and the value.
    Set(String, Value),
}

impl Change {
    /// The event that reports it, if there is one.
    pub(crate) const fn event(&self) -> Option<&'static str> {
        match self {
            Self::FillIn => Some("FILLED_IN"),
            Self::Pay | Self::Surcharge => Some("READY_FOR_PROCESSING"),
            Self::BuyerCancel => Some("BUYER_CANCELLED"),
            Self::AutoCancel => Some("AUTO_CANCELLED"),
            Self::Fulfill(_) => Some("FULFILLMENT_STATUS_CHANGED"),
            Self::MoveAddress | Self::LoseData | Self::Bloat(_) | Self::Set(..) => Some("BUYER_MODIFIED"),
            Self::Return | Self::Sent(_) => None,
        }
    }

    /// Whether `updatedAt` changes: not when the seller changes the order.
    pub(crate) const fn moves_updated_at(&self) -> bool {
        !matches!(self, Self::Fulfill(_) | Self::Sent(_) | Self::Return | Self::Set(..))
    }

    /// Applies the change to the order's content.
    pub(crate) fn apply(&self, form: &mut Value, at: OffsetDateTime) {
        let moment = written(at);
        match self {
            Self::FillIn => set(form, "/status", json!("FILLED_IN")),
            Self::Pay => {
                set(form, "/status", json!("READY_FOR_PROCESSING"));
                let paid = form.pointer("/summary/totalToPay").cloned().unwrap_or_default();
                if form.pointer("/payment").is_some_and(|payment| !payment.is_null()) {
                    set(form, "/payment/finishedAt", json!(moment));
                    set(form, "/payment/paidAmount", paid);
                }
            }
            Self::Surcharge => add_surcharge(form, &moment),
            Self::BuyerCancel | Self::AutoCancel => set(form, "/status", json!("CANCELLED")),
            Self::Fulfill(status) => set(form, "/fulfillment/status", json!(status)),
            Self::Sent(part) => set(form, "/fulfillment/shipmentSummary/lineItemsSent", json!(part)),
            Self::Return => set(form, "/fulfillment/status", json!("RETURNED")),
            Self::MoveAddress => {
                set(form, "/delivery/address/street", json!("Żurawia 7/12"));
                set(form, "/delivery/address/modifiedAt", json!(moment));
            }
            Self::LoseData => {
                for field in ["firstName", "lastName", "phoneNumber", "address"] {
                    set(form, &format!("/buyer/{field}"), Value::Null);
                }
                if let Some(lines) = form.get_mut("lineItems").and_then(Value::as_array_mut) {
                    lines.truncate(1);
                }
            }
            Self::Bloat(bytes) => set(form, "/lineItems/0/offer/name", json!("x".repeat(*bytes))),
            Self::Set(pointer, value) => set(form, pointer, value.clone()),
        }
        if self.moves_updated_at() {
            set(form, "/updatedAt", json!(moment));
        }
    }
}

fn add_surcharge(form: &mut Value, moment: &str) {
    let currency = form.pointer("/summary/totalToPay/currency").cloned().unwrap_or_default();
    let payment = form.pointer("/payment/id").and_then(Value::as_str).unwrap_or_default().to_owned();
    let Some(surcharges) = form.get_mut("surcharges").and_then(Value::as_array_mut) else { return };
    // Derived from the payment's id, so that the same order has the same surcharges in every run.
    let id = payment
        .get(..payment.len().saturating_sub(4))
        .map(|head| format!("{head}{:04x}", surcharges.len() + 1))
        .unwrap_or_default();
    surcharges.push(json!({
        "id": id, "type": "ONLINE", "provider": "PAYU", "finishedAt": moment,
        "paidAmount": { "amount": "5.00", "currency": currency }, "reconciliation": null, "features": [],
    }));
}

/// Sets a value if the content has a place for it.
pub(super) fn set(form: &mut Value, pointer: &str, value: Value) {
    if let Some(place) = form.pointer_mut(pointer) {
        *place = value;
    }
}
