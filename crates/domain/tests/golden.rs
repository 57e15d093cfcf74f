//! Published events must still parse, and new ones must equal the golden files.
//!
//! To add an event: write its golden file by hand, as a consumer would expect it.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::PathBuf;

use domain::events::{
    AccountConnected, AccountReauthorizationNeeded, BatchClosed, CATALOGUE, Envelope, EnvelopeError, Event,
    NewEvent, OrderCancelled, OrderCreated, OrderReady, OrderSyncCompleted, OrderSyncFailed, OrderUpdated,
    StockDeducted, StockDiscrepancyFound, StockIsLow, StockOperationCompleted, StockOperationFailed,
    StockRanShort, StockRefunded, StockWasAdjusted, WebhookDeliveryExhausted, WebhookSubscriptionDisabled,
};
use serde_json::Value;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn golden(kind: &str) -> Vec<u8> {
    std::fs::read(folder().join(format!("{kind}.json"))).unwrap_or_else(|error| panic!("{kind}: {error}"))
}

/// The golden envelope opens as `E`, and wrapping the result gives the same JSON.
fn stays_the_same<E: Event + Debug>() {
    let bytes = golden(E::TYPE);
    let envelope = Envelope::parse(&bytes).unwrap();
    let event: E = envelope.open().unwrap();
    let again = Envelope::wrap(
        &event,
        NewEvent { id: envelope.id, time: envelope.time, correlation_id: envelope.correlationid.clone() },
    )
    .unwrap();
    let (was, is): (Value, Value) =
        (serde_json::from_slice(&bytes).unwrap(), serde_json::to_value(&again).unwrap());
    assert_eq!(is, was, "{}", E::TYPE);
}

#[test]
fn every_event_reads_and_writes_its_golden_file() {
    stays_the_same::<AccountConnected>();
    stays_the_same::<AccountReauthorizationNeeded>();
    stays_the_same::<OrderCreated>();
    stays_the_same::<OrderUpdated>();
    stays_the_same::<OrderReady>();
    stays_the_same::<OrderCancelled>();
    stays_the_same::<OrderSyncCompleted>();
    stays_the_same::<OrderSyncFailed>();
    stays_the_same::<StockDeducted>();
    stays_the_same::<StockRefunded>();
    stays_the_same::<StockRanShort>();
    stays_the_same::<StockWasAdjusted>();
    stays_the_same::<StockIsLow>();
    stays_the_same::<StockDiscrepancyFound>();
    stays_the_same::<StockOperationCompleted>();
    stays_the_same::<StockOperationFailed>();
    stays_the_same::<BatchClosed>();
    stays_the_same::<WebhookDeliveryExhausted>();
    stays_the_same::<WebhookSubscriptionDisabled>();
}

#[test]
fn the_catalogue_and_the_golden_files_name_the_same_types() {
    let files: BTreeSet<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    let types: BTreeSet<String> = CATALOGUE.iter().map(|entry| entry.name.to_owned()).collect();
    assert_eq!(files, types);
}

#[test]
fn an_unknown_field_does_not_stop_a_consumer() {
    let mut json: Value = serde_json::from_slice(&golden("order.ready")).unwrap();
    json["data"]["shade_of_blue"] = "new".into();
    json["newextension"] = 1.into();
    let envelope = Envelope::parse(&serde_json::to_vec(&json).unwrap()).unwrap();
    assert!(envelope.open::<OrderReady>().is_ok());
}

/// The required fields of `E` are those of its schema. A field that is added later is optional, so that earlier events
/// still open.
fn opens_with_its_required_fields_alone<E: Event + Debug>() {
    let mut json: Value = serde_json::from_slice(&golden(E::TYPE)).unwrap();
    let mut schemas = vec![(E::name().into_owned(), E::schema())];
    E::schemas(&mut schemas);
    let mut schema = serde_json::to_value(&schemas[0].1).unwrap();
    while let Some(name) = schema["$ref"].as_str().map(|path| path.rsplit('/').next().unwrap().to_owned()) {
        let (_, pointed) = schemas.iter().find(|(known, _)| *known == name).unwrap();
        schema = serde_json::to_value(pointed).unwrap();
    }
    let required: BTreeSet<&str> =
        schema["required"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    json["data"].as_object_mut().unwrap().retain(|name, _| required.contains(name.as_str()));
    let envelope = Envelope::parse(&serde_json::to_vec(&json).unwrap()).unwrap();
    let opened = envelope.open::<E>();
    assert!(opened.is_ok(), "{}: {opened:?}", E::TYPE);
}

#[test]
fn a_message_from_before_an_optional_field_still_opens() {
    opens_with_its_required_fields_alone::<AccountConnected>();
    opens_with_its_required_fields_alone::<AccountReauthorizationNeeded>();
    opens_with_its_required_fields_alone::<OrderCreated>();
    opens_with_its_required_fields_alone::<OrderUpdated>();
    opens_with_its_required_fields_alone::<OrderReady>();
    opens_with_its_required_fields_alone::<OrderCancelled>();
    opens_with_its_required_fields_alone::<OrderSyncCompleted>();
    opens_with_its_required_fields_alone::<OrderSyncFailed>();
    opens_with_its_required_fields_alone::<StockDeducted>();
    opens_with_its_required_fields_alone::<StockRefunded>();
    opens_with_its_required_fields_alone::<StockRanShort>();
    opens_with_its_required_fields_alone::<StockWasAdjusted>();
    opens_with_its_required_fields_alone::<StockIsLow>();
    opens_with_its_required_fields_alone::<StockDiscrepancyFound>();
    opens_with_its_required_fields_alone::<StockOperationCompleted>();
    opens_with_its_required_fields_alone::<StockOperationFailed>();
    opens_with_its_required_fields_alone::<BatchClosed>();
    opens_with_its_required_fields_alone::<WebhookDeliveryExhausted>();
    opens_with_its_required_fields_alone::<WebhookSubscriptionDisabled>();
}

#[test]
fn an_invalid_event_is_rejected() {
    assert!(matches!(Envelope::parse(b"not json"), Err(EnvelopeError::Malformed(_))));
    assert!(matches!(Envelope::parse(b"{}"), Err(EnvelopeError::Malformed(_))));
    let mut json: Value = serde_json::from_slice(&golden("order.ready")).unwrap();
    json["specversion"] = "2.0".into();
    let parsed = Envelope::parse(&serde_json::to_vec(&json).unwrap());
    assert!(matches!(parsed, Err(EnvelopeError::SpecVersion(version)) if version == "2.0"));
    let ready = Envelope::parse(&golden("order.ready")).unwrap();
    assert!(matches!(ready.open::<OrderCreated>(), Err(EnvelopeError::OtherType { .. })));
}

#[test]
fn an_attribute_that_no_consumer_can_store_is_rejected() {
    for attribute in
        ["type", "source", "subject", "partitionkey", "datacontenttype", "dataschema", "correlationid"]
    {
        let limit = if attribute == "type" { 255 } else { 1024 };
        let parse = |text: &str| {
            let mut json: Value = serde_json::from_slice(&golden("order.ready")).unwrap();
            json[attribute] = text.into();
            Envelope::parse(&serde_json::to_vec(&json).unwrap())
        };
        for (text, expected) in [
            (String::new(), "must not be empty".to_owned()),
            ("a\0".to_owned(), "must not contain the character U+0000".to_owned()),
            ("ż".repeat(limit / 2 + 1), format!("must be at most {limit} bytes long")),
        ] {
            assert_eq!(parse(&text).unwrap_err().to_string(), format!("the event's {attribute} {expected}"));
        }
        assert!(parse(&"x".repeat(limit)).is_ok());
    }
}

#[test]
fn data_may_contain_any_character() {
    let mut json: Value = serde_json::from_slice(&golden("order.ready")).unwrap();
    json["data"]["user_id"] = "a\0b".into();
    json["traceparent"] = "\0".into();
    assert!(Envelope::parse(&serde_json::to_vec(&json).unwrap()).is_ok());
}
