//! Reading an order as Allegro sent it.

use allegro::{CheckoutForm, FormStatus, FulfillmentStatus};
use domain::events::{LineItem, OrderEvent};
use domain::{AllegroOrderId, TokenId};
use serde_json_borrow::Value;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use super::search;

/// Why a document cannot be kept as an order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OrderError {
    /// Not JSON, even when repaired, or without an id.
    #[error("the order cannot be read: {0}")]
    Unreadable(String),
}

/// An order and its document.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    /// Allegro's id.
    pub(crate) id: AllegroOrderId,
    /// The extracted fields.
    pub(crate) form: CheckoutForm,
    /// When its latest line was bought.
    pub(crate) bought_at: Option<OffsetDateTime>,
    /// The lines that have an id.
    pub(crate) line_items: Vec<LineItem>,
    /// Equal for equal lines: ids, SKUs and quantities.
    pub(crate) lines_hash: [u8; 32],
    /// Equal for equal content, whatever the order of its keys.
    pub(crate) content_hash: [u8; 32],
    /// The words it is found by.
    pub(crate) search: String,
    /// The document as it came, in one line.
    pub(crate) raw: String,
}

/// What is known of an order beside its content.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known {
    /// Our version of the content.
    pub(crate) version: i64,
    /// When the content was requested.
    pub(crate) read_at: OffsetDateTime,
    /// When the order was first stored.
    pub(crate) first_stored_at: OffsetDateTime,
    /// When it first became ready for processing.
    pub(crate) ready_at: Option<OffsetDateTime>,
    /// Sent, picked up or partly sent since it last became ready.
    pub(crate) was_shipped: bool,
}

/// Whose order it is: what facts say beside the order itself.
#[derive(Debug, Clone)]
pub(crate) struct Owner {
    /// The account.
    pub(crate) token_id: TokenId,
    /// Its user.
    pub(crate) user_id: String,
    /// Allegro's id of the seller.
    pub(crate) allegro_seller_id: String,
    /// When the account was connected.
    pub(crate) connected_at: OffsetDateTime,
}

impl Order {
    /// Reads an order.
    ///
    /// # Errors
    /// [`OrderError`]: not JSON, or without an id.
    pub(crate) fn read(raw: &str) -> Result<Self, OrderError> {
        if let Ok(content) = serde_json::from_str(raw) {
            return Self::of(raw, &content);
        }
        let repaired = allegro::repair(raw);
        let content = serde_json::from_str(&repaired);
        Self::of(raw, &content.map_err(|error| OrderError::Unreadable(error.to_string()))?)
    }

    fn of(raw: &str, content: &Value<'_>) -> Result<Self, OrderError> {
        let form = CheckoutForm::read(content).map_err(|error| OrderError::Unreadable(error.to_string()))?;
        let line_items: Vec<LineItem> = form
            .line_items
            .iter()
            .filter_map(|line| {
                Some(LineItem {
                    id: line.id.clone()?,
                    offer_id: line.offer_id.clone(),
                    sku: line.sku.clone(),
                    quantity: line.quantity,
                    price: line.price,
                })
            })
            .collect();
        let mut hash = Sha256::new();
        digest(content, &mut hash);
        Ok(Self {
            id: AllegroOrderId::from(form.id.clone()),
            bought_at: form.bought_at(),
            lines_hash: lines_hash(&line_items),
            line_items,
            content_hash: hash.finalize().into(),
            search: search::words_of(content),
            raw: in_one_line(raw),
            form,
        })
    }

    /// The form's status.
    pub(crate) fn status(&self) -> Option<&str> {
        self.form.status.as_ref().map(FormStatus::as_str)
    }

    /// The seller's label.
    pub(crate) fn fulfillment_status(&self) -> Option<&str> {
        self.form.fulfillment_status.as_ref().map(FulfillmentStatus::as_str)
    }

    /// The event about this content.
    pub(crate) fn event(&self, owner: &Owner, known: Known) -> OrderEvent {
        OrderEvent {
            token_id: owner.token_id,
            user_id: owner.user_id.clone(),
            allegro_seller_id: owner.allegro_seller_id.clone(),
            order_id: self.id.clone(),
            status: self.status().map(str::to_owned),
            fulfillment_status: self.fulfillment_status().map(str::to_owned),
            fulfillment_provider: self.form.fulfillment_provider.clone(),
            revision: self.form.revision.clone(),
            version: known.version,
            order_date: self.bought_at,
            updated_at: self.form.updated_at,
            total: self.form.total,
            line_items: self.line_items.clone(),
            backfill: self.bought_at.is_some_and(|at| at < owner.connected_at),
            ready_at: known.ready_at,
            was_shipped: known.was_shipped,
            read_at: Some(known.read_at),
            first_stored_at: Some(known.first_stored_at),
            merged_into: None,
        }
    }
}

/// Equal for lines of equal ids, SKUs and quantities, in the same order.
fn lines_hash(lines: &[LineItem]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for line in lines {
        for text in [Some(&line.id), line.sku.as_ref()] {
            hash.update(text.map_or(usize::MAX, String::len).to_be_bytes());
            hash.update(text.map_or("", String::as_str));
        }
        hash.update([u8::from(line.quantity.is_some())]);
        hash.update(line.quantity.unwrap_or_default().to_be_bytes());
    }
    hash.finalize().into()
}

/// JSON in one line: only between its parts can one end.
fn in_one_line(raw: &str) -> String {
    if raw.contains('\n') || raw.contains('\r') { raw.replace(['\n', '\r'], " ") } else { raw.to_owned() }
}

/// Feeds a value to the hash in one way only: keys sorted, each part marked by its kind and length.
fn digest(value: &Value<'_>, hash: &mut Sha256) {
    let mut text = |mark: u8, text: &str| {
        hash.update([mark]);
        hash.update(text.len().to_be_bytes());
        hash.update(text);
    };
    match value {
        Value::Null => text(b'n', ""),
        Value::Bool(it) => text(b'b', if *it { "1" } else { "0" }),
        Value::Number(it) => text(b'd', &it.to_string()),
        Value::Str(it) => text(b's', it),
        Value::Array(items) => {
            text(b'a', &items.len().to_string());
            for item in items {
                digest(item, hash);
            }
        }
        Value::Object(fields) => {
            text(b'o', &fields.len().to_string());
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_unstable_by_key(|(key, _)| *key);
            for (key, field) in fields {
                digest(&Value::Str(key.into()), hash);
                digest(field, hash);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::{Order, OrderError};

    fn order(inside: &str) -> Result<Order, OrderError> {
        Order::read(&format!(r#"{{"id":"a","status":"READY_FOR_PROCESSING",{inside}}}"#))
    }

    #[test]
    fn the_order_of_keys_does_not_matter_and_every_value_does() {
        let one = order(r#""note":{"text":"ż","b":1},"x":[1,2]"#).unwrap().content_hash;
        assert_eq!(one, order(r#""x":[1,2],"note":{"b":1,"text":"ż"}"#).unwrap().content_hash);
        for other in [
            r#""note":{"text":"z","b":1},"x":[1,2]"#,
            r#""note":{"text":"ż","b":1},"x":[2,1]"#,
            r#""note":{"text":"ż","b":"1"},"x":[1,2]"#,
            r#""note":{"text":"ż","b":1},"x":[1,2],"y":null"#,
        ] {
            assert_ne!(one, order(other).unwrap().content_hash, "{other}");
        }
    }

    #[test]
    fn ready_and_cancelled_follow_form_and_fulfillment() {
        assert!(order(r#""fulfillment":{"status":"NEW"}"#).unwrap().form.is_ready());
        let by_seller = order(r#""fulfillment":{"status":"CANCELLED"}"#).unwrap().form;
        assert!(by_seller.is_cancelled() && !by_seller.is_ready());
        assert!(!order(r#""fulfillment":{"status":"RETURNED"}"#).unwrap().form.is_cancelled());
        assert!(Order::read(r#"{"id":"a","status":"CANCELLED"}"#).unwrap().form.is_cancelled());
    }

    #[test]
    fn what_is_kept_is_the_answer_to_the_letter_in_one_line() {
        let raw = order("\r\n  \"b\": 1.50,\n\"a\": \"\\n\\u017c\"").unwrap().raw;
        assert_eq!(raw, r#"{"id":"a","status":"READY_FOR_PROCESSING",    "b": 1.50, "a": "\n\u017c"}"#);
    }

    #[test]
    fn nulls_are_read() {
        let read = order(
            r#""buyer":null,"summary":{"totalToPay":{"amount":"12.30","currency":"PLN"}},"updatedAt":null,
               "lineItems":[{"id":"l","offer":{"id":"7","external":null},"quantity":2,"price":null,
                             "boughtAt":"2026-01-02T03:04:05.678Z"}]"#,
        )
        .unwrap();
        assert_eq!(read.form.total.unwrap().minor(), 1230);
        assert_eq!(read.line_items.first().unwrap().sku, None);
        assert!(read.bought_at.is_some());
    }

    #[test]
    fn only_a_document_without_an_id_is_refused() {
        for raw in [r#"{"status":"BOUGHT"}"#, r#"{"id":null}"#, "[]", "{"] {
            assert!(matches!(Order::read(raw), Err(OrderError::Unreadable(_))), "{raw}");
        }
        assert_eq!(Order::read(r#"{"id":"a"}"#).unwrap().status(), None);
        for note in [r#""\u0000""#, r#""\ud800""#, "1e999"] {
            let read = order(&format!(r#""note":{note}"#)).unwrap();
            assert!(read.form.is_ready() && read.raw.contains(note), "{note}");
        }
        for at in ["9999-12-31T23:59:59-01:00", "0001-01-01T00:00:00+01:00"] {
            let line = r#"{"id":"l","offer":{"id":"7"},"quantity":2"#;
            for (field, inside) in [
                ("/updatedAt", format!(r#""updatedAt":"{at}""#)),
                ("/lineItems/0/boughtAt", format!(r#""lineItems":[{line},"boughtAt":"{at}"}}]"#)),
            ] {
                let read = order(&inside).unwrap();
                let noted: Vec<&str> = read.form.notes.iter().map(|note| note.field.as_str()).collect();
                assert_eq!(noted, [field], "{inside}");
            }
        }
    }

    #[test]
    fn lines_hash_follows_id_sku_and_quantity() {
        let hash = |line: &str| order(&format!(r#""lineItems":[{line}]"#)).unwrap().lines_hash;
        let one = hash(r#"{"id":"l","offer":{"id":"7","external":{"id":"s"}},"quantity":2}"#);
        assert_eq!(one, hash(r#"{"id":"l","offer":{"external":{"id":"s"}},"quantity":2.0,"price":{}}"#));
        for other in [
            r#"{"id":"m","offer":{"external":{"id":"s"}},"quantity":2}"#,
            r#"{"id":"l","offer":{"external":{"id":"t"}},"quantity":2}"#,
            r#"{"id":"l","offer":{},"quantity":2}"#,
            r#"{"id":"l","offer":{"external":{"id":"s"}},"quantity":3}"#,
            r#"{"id":"l","offer":{"external":{"id":"s"}}}"#,
        ] {
            assert_ne!(one, hash(other), "{other}");
        }
    }
}
