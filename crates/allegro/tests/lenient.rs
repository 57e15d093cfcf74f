//! A field that cannot be read changes that field only.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use allegro::{CheckoutForm, Fault, FormStatus, JournalEvent, NoId, Note, repair};
use proptest::prelude::*;
use serde_json::{Value, json};

fn read(text: &str) -> Result<CheckoutForm, NoId> {
    let repaired = repair(text);
    let content: serde_json_borrow::Value<'_> = serde_json::from_str(&repaired).unwrap();
    CheckoutForm::read(&content)
}

fn line(id: &str, sku: Option<&str>) -> Value {
    json!({
        "id": id, "quantity": 2, "boughtAt": "2026-11-20T10:03:39.021Z",
        "offer": { "id": "3213213", "name": "Kubek", "external": sku.map(|sku| json!({ "id": sku })),
                   "productSet": null },
        "originalPrice": { "amount": "123.45", "currency": "PLN" },
        "price": { "amount": "123.45", "currency": "PLN" }, "selectedAdditionalServices": [],
    })
}

fn sample() -> Value {
    json!({
        "id": "29738e61-7f6a-11e8-ac45-09db60ede9d6", "status": "READY_FOR_PROCESSING",
        "revision": "819b5837", "updatedAt": "2026-11-20T10:03:40.719Z", "messageToSeller": null,
        "buyer": { "id": "23123123", "email": "b@allegromail.pl", "login": "kupujacy", "guest": false },
        "payment": { "id": "0f8f1d13", "type": "ONLINE", "provider": "P24", "finishedAt": "2026-11-20T10:05:00Z",
                     "paidAmount": { "amount": "246.90", "currency": "PLN" } },
        "fulfillment": { "status": "NEW", "provider": { "id": "SELLER" },
                         "shipmentSummary": { "lineItemsSent": "NONE" } },
        "delivery": { "address": { "firstName": "Jan" }, "method": { "id": "1" } },
        "summary": { "totalToPay": { "amount": "246.90", "currency": "PLN" } },
        "lineItems": [line("62ae358b-8f65-4fc4-9c77-bedf604a2e2b", Some("AH-1")), line("b", None)],
    })
}

/// The JSON pointers of all parts of a document but the root and the id.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    let mut visit = |part: &str, inner: &Value| {
        let place = format!("{at}/{part}");
        places(inner, &place, found);
        if place != "/id" {
            found.push(place);
        }
    };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, inner)| visit(name, inner)),
        Value::Array(items) => items.iter().enumerate().for_each(|(at, inner)| visit(&at.to_string(), inner)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What a field may be instead; written into the text, because some of it no library writes.
const VALUES: [&str; 20] = [
    "null",
    "\"\"",
    "{}",
    "[]",
    "true",
    "0",
    "-1",
    "2.0",
    "2.5",
    "1e999",
    "1e300",
    "12.34",
    "99999999999999999999",
    r#""\ud800""#,
    r#""\u0000""#,
    r#""2026-11-20""#,
    r#""UNHEARD_OF""#,
    "[null]",
    "{\"id\":{}}",
    "\"9999-12-31T23:59:59-01:00\"",
];

/// The document's text with another value at a place; `None` leaves the field out.
fn mutated(document: &Value, place: &str, value: Option<&str>) -> String {
    let mut document = document.clone();
    let (parent, name) = place.rsplit_once('/').unwrap();
    match (document.pointer_mut(parent).unwrap(), value) {
        (Value::Object(fields), None) => drop(fields.remove(name)),
        (Value::Array(items), None) => drop(items.remove(name.parse().unwrap())),
        (_, Some(_)) => *document.pointer_mut(place).unwrap() = json!("@@"),
        (other, None) => panic!("{other}"),
    }
    document.to_string().replace("\"@@\"", value.unwrap_or_default())
}

/// Also a note about the amount that the place is a part of.
fn concerns(note: &Note, place: &str) -> bool {
    let is_within = |inner: &str, outer: &str| inner.starts_with(&format!("{outer}/"));
    note.field == place || is_within(&note.field, place) || is_within(place, &note.field)
}

/// Checks that a mutation at `place` leaves the rest of the form as it was.
fn check(document: &Value, place: &str, value: Option<&str>) {
    let before = read(&document.to_string()).unwrap();
    let after = read(&mutated(document, place, value)).unwrap();
    assert_eq!(after.id, before.id, "{place} {value:?}");
    assert!(after.notes.iter().all(|note| concerns(note, place)), "{place} {value:?}: {:?}", after.notes);
    let unless =
        |root: &str, is_equal: bool| assert!(is_equal || place.starts_with(root), "{place} {value:?}");
    unless("/status", after.status == before.status);
    unless("/fulfillment", after.is_shipped() == before.is_shipped());
    unless("/fulfillment", after.fulfillment_status == before.fulfillment_status);
    unless("/payment", after.payment == before.payment);
    unless("/revision", after.revision == before.revision);
    unless("/updatedAt", after.updated_at == before.updated_at);
    unless("/buyer", after.buyer_login == before.buyer_login);
    unless("/summary", after.total == before.total);
    if value.is_some() && place != "/lineItems" {
        for (at, line) in before.line_items.iter().enumerate() {
            unless(&format!("/lineItems/{at}"), &after.line_items[at] == line);
        }
    }
}

#[test]
fn each_mutated_field_of_a_form_changes_that_field_only() {
    let (document, mut found) = (sample(), Vec::new());
    places(&document, "", &mut found);
    assert!(found.len() > 50, "{}", found.len());
    for place in &found {
        for value in VALUES.into_iter().map(Some).chain([None]) {
            check(&document, place, value);
        }
    }
}

#[test]
fn a_form_with_nothing_but_its_id_is_read() {
    let form = read(r#"{"id":"a"}"#).unwrap();
    assert_eq!((form.id.as_str(), form.line_items.len()), ("a", 0));
    assert_eq!(form.notes, [Note { field: "/status".to_owned(), fault: Fault::Missing }]);
    assert_eq!(read(r#"{"id":7}"#).unwrap().id, "7");
    for text in ["{}", r#"{"id":null}"#, r#"{"id":""}"#, r#"{"id":{}}"#, "[]", "null", "3"] {
        assert_eq!(read(text).unwrap_err(), NoId, "{text}");
    }
}

#[test]
fn values_that_the_openapi_document_allows_are_read_without_notes() {
    let mut document = sample();
    document["revision"] = json!(819);
    document["updatedAt"] = json!("2026-11-20T10:03Z");
    document["summary"]["totalToPay"]["amount"] = json!(246.9);
    document["lineItems"][0]["quantity"] = json!(2.0);
    document["lineItems"][0]["offer"]["external"] = json!({});
    document["lineItems"][1]["price"] = json!({});
    document["lineItems"][1]["boughtAt"] = json!("");
    document["payment"] = json!({});
    let form = read(&document.to_string()).unwrap();
    assert_eq!(form.notes, []);
    assert_eq!(form.revision.as_deref(), Some("819"));
    assert_eq!(form.total.unwrap().minor(), 24690);
    assert_eq!(form.line_items[0].quantity, Some(2));
    assert!(form.updated_at.is_some() && form.is_ready());
}

#[test]
fn an_unknown_status_is_kept_with_a_note() {
    let mut document = sample();
    document["status"] = json!("PAID_IN_PART");
    let form = read(&document.to_string()).unwrap();
    assert_eq!(form.status, Some(FormStatus::Unknown("PAID_IN_PART".to_owned())));
    assert_eq!(form.notes, [Note { field: "/status".to_owned(), fault: Fault::UnknownValue }]);
}

#[test]
fn each_mutated_field_of_an_event_leaves_its_id() {
    let document = json!({
        "id": "1763633020719000", "type": "BOUGHT", "occurredAt": "2026-11-20T10:03:40Z",
        "order": { "seller": { "id": "1" }, "checkoutForm": { "id": "a", "revision": "1" }, "lineItems": [] },
    });
    let mut found = Vec::new();
    places(&document, "", &mut found);
    for place in &found {
        for value in VALUES.into_iter().map(Some).chain([None]) {
            let text = mutated(&document, place, value);
            let event = JournalEvent::read(&serde_json::from_str(&repair(&text)).unwrap());
            assert_eq!(event.id.as_deref(), Some("1763633020719000"), "{place} {value:?}");
        }
    }
    for (text, id) in [
        (r#"{"id":1763633020719000}"#, Some("1763633020719000")),
        (r#"{"id":null}"#, None),
        (r#"{"id":{}}"#, None),
        ("{}", None),
    ] {
        assert_eq!(JournalEvent::read(&serde_json::from_str(text).unwrap()).id.as_deref(), id, "{text}");
    }
}

/// Forms of any length, with and without optional parts.
fn forms() -> impl Strategy<Value = Value> {
    let lines = prop::collection::vec((prop::option::of("[A-Z0-9-]{1,20}"), 1..1_000_000_i64), 0..6);
    (lines, "BOUGHT|FILLED_IN|READY_FOR_PROCESSING|CANCELLED", any::<bool>()).prop_map(
        |(lines, status, is_paid)| {
            let mut form = sample();
            let lines = lines.into_iter().enumerate().map(|(at, (sku, quantity))| {
                let mut line = line(&format!("line-{at}"), sku.as_deref());
                line["quantity"] = json!(quantity);
                line
            });
            form["lineItems"] = lines.collect();
            form["status"] = json!(status);
            if !is_paid {
                form["payment"]["finishedAt"] = Value::Null;
            }
            form
        },
    )
}

proptest! {
    #[test]
    fn a_mutated_field_of_a_generated_form_changes_that_field_only(
        form in forms(),
        place in any::<prop::sample::Index>(),
        value in prop::option::of(prop::sample::select(&VALUES[..])),
    ) {
        let mut found = Vec::new();
        places(&form, "", &mut found);
        let place: &String = place.get(&found);
        check(&form, place, value);
    }

    #[test]
    fn any_json_text_is_repaired_and_read(text in r#"\{"id":"a",("[a-z]{1,8}":("(\\u[0-9a-d][0-9a-f]{3}|\\\\|\\"|[ż{}\[\],])*"|-?[1-9][0-9]{0,400}(\.[0-9]+)?(e[0-9]{1,4})?|\[\[\]\]|\{\}),){0,5}"z":1\}"#) {
        prop_assert_eq!(read(&text).unwrap().id, "a");
    }
}
