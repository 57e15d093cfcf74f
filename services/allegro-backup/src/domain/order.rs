//! Reading an order as Allegro sent it.

use domain::events::{LineItem, OrderEvent};
use domain::{AllegroOrderId, Money, TokenId};
use serde::Deserialize;
use serde_json_borrow::Value;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use super::search;

/// Why an order cannot be kept as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OrderError {
    /// Not what Allegro's documentation describes.
    #[error("the order cannot be read: {0}")]
    Unreadable(String),
    /// Postgres's texts cannot hold U+0000.
    #[error("the order holds the character U+0000")]
    NulCharacter,
}

/// An order, with what is needed of it beside the whole.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    /// Allegro's id.
    pub(crate) id: AllegroOrderId,
    /// The form's status.
    pub(crate) status: String,
    /// The seller's status.
    pub(crate) fulfillment_status: Option<String>,
    /// Who ships it.
    pub(crate) fulfillment_provider: Option<String>,
    /// Allegro's version mark.
    pub(crate) revision: Option<String>,
    /// When its latest line was bought.
    pub(crate) bought_at: Option<OffsetDateTime>,
    /// Allegro's `updatedAt`.
    pub(crate) updated_at: Option<OffsetDateTime>,
    /// The buyer's login.
    pub(crate) buyer_login: Option<String>,
    /// What is to be paid.
    pub(crate) total: Option<Money>,
    /// What was bought.
    pub(crate) line_items: Vec<LineItem>,
    /// Equal for equal content, whatever the order of its keys.
    pub(crate) content_hash: [u8; 32],
    /// The words it is found by.
    pub(crate) search: String,
    /// The answer as it came, in one line.
    pub(crate) raw: String,
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

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Form {
    id: String,
    status: String,
    fulfillment: Option<Fulfillment>,
    revision: Option<String>,
    #[serde(default, with = "domain::instant::option")]
    updated_at: Option<OffsetDateTime>,
    buyer: Option<Buyer>,
    summary: Option<Summary>,
    #[serde(default)]
    line_items: Vec<Line>,
}

#[derive(Deserialize)]
struct Fulfillment {
    status: Option<String>,
    provider: Option<Named>,
}

#[derive(Deserialize)]
struct Named {
    id: String,
}

#[derive(Deserialize)]
struct Buyer {
    login: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    total_to_pay: Option<Amount>,
}

#[derive(Deserialize)]
struct Amount {
    amount: String,
    currency: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    id: String,
    offer: Offer,
    quantity: i64,
    price: Option<Amount>,
    #[serde(default, with = "domain::instant::option")]
    bought_at: Option<OffsetDateTime>,
}

#[derive(Deserialize)]
struct Offer {
    id: String,
    external: Option<Named>,
}

impl Amount {
    /// An amount in a currency or form we do not know is kept in the raw order only.
    fn money(&self) -> Option<Money> {
        Money::parse(&self.amount, self.currency.parse().ok()?).ok()
    }
}

impl Order {
    /// Reads an order.
    ///
    /// # Errors
    /// When it is not as documented, or cannot be stored.
    pub(crate) fn read(raw: &str) -> Result<Self, OrderError> {
        let content: Value<'_> =
            serde_json::from_str(raw).map_err(|error| OrderError::Unreadable(error.to_string()))?;
        let mut hash = Sha256::new();
        if digest(&content, &mut hash).is_err() {
            return Err(OrderError::NulCharacter);
        }
        let form = Form::deserialize(&content).map_err(|error| OrderError::Unreadable(error.to_string()))?;
        let bought_at = form.line_items.iter().filter_map(|line| line.bought_at).max();
        let line_items = form
            .line_items
            .into_iter()
            .map(|line| LineItem {
                price: line.price.as_ref().and_then(Amount::money),
                id: line.id,
                offer_id: line.offer.id,
                sku: line.offer.external.map(|external| external.id),
                quantity: line.quantity,
            })
            .collect();
        let (fulfillment_status, provider) =
            form.fulfillment.map_or((None, None), |it| (it.status, it.provider));
        Ok(Self {
            id: AllegroOrderId::from(form.id),
            status: form.status,
            fulfillment_status,
            fulfillment_provider: provider.map(|provider| provider.id),
            revision: form.revision,
            bought_at,
            updated_at: form.updated_at,
            buyer_login: form.buyer.and_then(|buyer| buyer.login),
            total: form.summary.and_then(|it| it.total_to_pay).as_ref().and_then(Amount::money),
            line_items,
            content_hash: hash.finalize().into(),
            search: search::words_of(&content),
            raw: in_one_line(raw),
        })
    }

    /// Cancelled by the buyer or Allegro (the form), or by the seller (the fulfillment).
    pub(crate) fn is_cancelled(&self) -> bool {
        self.status == "CANCELLED" || self.fulfillment_status.as_deref() == Some("CANCELLED")
    }

    /// To be packed: ready and not cancelled.
    pub(crate) fn is_ready(&self) -> bool {
        self.status == "READY_FOR_PROCESSING" && !self.is_cancelled()
    }

    /// The fact told about this content.
    pub(crate) fn fact(&self, owner: &Owner, version: i64) -> OrderEvent {
        OrderEvent {
            token_id: owner.token_id,
            user_id: owner.user_id.clone(),
            allegro_seller_id: owner.allegro_seller_id.clone(),
            order_id: self.id.clone(),
            status: self.status.clone(),
            fulfillment_status: self.fulfillment_status.clone(),
            fulfillment_provider: self.fulfillment_provider.clone(),
            revision: self.revision.clone(),
            version,
            order_date: self.bought_at,
            updated_at: self.updated_at,
            total: self.total,
            line_items: self.line_items.clone(),
            backfill: self.bought_at.is_some_and(|at| at < owner.connected_at),
            merged_into: None,
        }
    }
}

/// JSON in one line: only between its parts can one end.
fn in_one_line(raw: &str) -> String {
    if raw.contains('\n') || raw.contains('\r') { raw.replace(['\n', '\r'], " ") } else { raw.to_owned() }
}

/// U+0000 was met.
struct Nul;

/// Feeds a value to the hash in one way only: keys sorted, each part marked by its kind and length.
fn digest(value: &Value<'_>, hash: &mut Sha256) -> Result<(), Nul> {
    let mut text = |mark: u8, text: &str| {
        hash.update([mark]);
        hash.update(text.len().to_be_bytes());
        hash.update(text);
        if text.contains('\0') { Err(Nul) } else { Ok(()) }
    };
    match value {
        Value::Null => text(b'n', ""),
        Value::Bool(it) => text(b'b', if *it { "1" } else { "0" }),
        Value::Number(it) => text(b'd', &it.to_string()),
        Value::Str(it) => text(b's', it),
        Value::Array(items) => {
            text(b'a', &items.len().to_string())?;
            items.iter().try_for_each(|item| digest(item, hash))
        }
        Value::Object(fields) => {
            text(b'o', &fields.len().to_string())?;
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_unstable_by_key(|(key, _)| *key);
            for (key, field) in fields {
                digest(&Value::Str(key.into()), hash)?;
                digest(field, hash)?;
            }
            Ok(())
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
        assert!(order(r#""fulfillment":{"status":"NEW"}"#).unwrap().is_ready());
        let by_seller = order(r#""fulfillment":{"status":"CANCELLED"}"#).unwrap();
        assert!(by_seller.is_cancelled() && !by_seller.is_ready());
        assert!(!order(r#""fulfillment":{"status":"RETURNED"}"#).unwrap().is_cancelled());
        assert!(Order::read(r#"{"id":"a","status":"CANCELLED"}"#).unwrap().is_cancelled());
    }

    #[test]
    fn what_is_kept_is_the_answer_to_the_letter_in_one_line() {
        let raw = order("\r\n  \"b\": 1.50,\n\"a\": \"\\n\\u017c\"").unwrap().raw;
        assert_eq!(raw, r#"{"id":"a","status":"READY_FOR_PROCESSING",    "b": 1.50, "a": "\n\u017c"}"#);
    }

    #[test]
    fn nulls_are_read_and_what_cannot_be_stored_is_refused() {
        let read = order(
            r#""buyer":null,"summary":{"totalToPay":{"amount":"12.30","currency":"PLN"}},"updatedAt":null,
               "lineItems":[{"id":"l","offer":{"id":"7","external":null},"quantity":2,"price":null,
                             "boughtAt":"2026-01-02T03:04:05.678Z"}]"#,
        )
        .unwrap();
        assert_eq!(read.total.unwrap().minor(), 1230);
        assert_eq!(read.line_items.first().unwrap().sku, None);
        assert!(read.bought_at.is_some());
        assert_eq!(order(r#""note":"\u0000""#).unwrap_err(), OrderError::NulCharacter);
        assert!(matches!(Order::read(r#"{"id":"a"}"#), Err(OrderError::Unreadable(_))));
        assert!(matches!(order(r#""note":"\ud800""#), Err(OrderError::Unreadable(_))));
        for at in ["9999-12-31T23:59:59-01:00", "0001-01-01T00:00:00+01:00"] {
            let line = r#"{"id":"l","offer":{"id":"7"},"quantity":2"#;
            for inside in
                [format!(r#""updatedAt":"{at}""#), format!(r#""lineItems":[{line},"boughtAt":"{at}"}}]"#)]
            {
                let error = order(&inside).unwrap_err().to_string();
                assert!(error.contains("must be in the years 0001 to 9999 in UTC"), "{inside}: {error}");
            }
        }
    }
}
