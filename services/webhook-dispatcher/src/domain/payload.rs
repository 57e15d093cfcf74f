//! What is sent as body.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use time::OffsetDateTime;

/// The body of Standard Webhooks 1.0: what happened, when, and the fact itself.
#[derive(Serialize, Deserialize)]
struct Standard<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(with = "domain::instant")]
    timestamp: OffsetDateTime,
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Serialize)]
struct Legacy<'a> {
    event: String,
    data: &'a RawValue,
    #[serde(with = "domain::instant")]
    timestamp: OffsetDateTime,
}

/// The body in the standard's form: what is stored of an event, and what is sent and signed.
///
/// # Errors
/// When the time has no RFC 3339 form.
pub(crate) fn standard(
    kind: &str,
    timestamp: OffsetDateTime,
    data: &RawValue,
) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(&Standard { kind, timestamp, data })
}

/// The same event as its first receivers knew it: `batch_created` for `batch.created`.
///
/// # Errors
/// When the body is not one [`standard`] made.
pub(crate) fn legacy(standard: &[u8]) -> Result<Bytes, serde_json::Error> {
    let Standard { kind, timestamp, data } = serde_json::from_slice(standard)?;
    let body = Legacy { event: kind.replace('.', "_"), data, timestamp };
    serde_json::to_vec(&body).map(Bytes::from)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use serde_json::value::RawValue;
    use time::OffsetDateTime;

    use super::{legacy, standard};

    #[test]
    fn both_styles_carry_the_data_byte_for_byte() {
        let data = RawValue::from_string(r#"{"z": 1.10,"a":"ż"}"#.to_owned()).unwrap();
        let standard = standard("batch.created", OffsetDateTime::UNIX_EPOCH, &data).unwrap();
        assert_eq!(
            standard,
            r#"{"type":"batch.created","timestamp":"1970-01-01T00:00:00Z","data":{"z": 1.10,"a":"ż"}}"#
                .as_bytes()
        );
        assert_eq!(
            legacy(&standard).unwrap(),
            r#"{"event":"batch_created","data":{"z": 1.10,"a":"ż"},"timestamp":"1970-01-01T00:00:00Z"}"#
                .as_bytes()
        );
        legacy(b"{}").unwrap_err();
    }
}
