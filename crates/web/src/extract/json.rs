//! JSON bodies.

use std::ops::Deref;

use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::http::header::{self, HeaderMap};
use actix_web::{FromRequest, HttpRequest};
use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::integers::Integers;
use super::{NUL, shape};
use crate::problem::{
    BAD_REQUEST, BODY_TOO_LARGE, FieldError, INVALID_CONTENT, MALFORMED_JSON, Problem, UNSUPPORTED_MEDIA_TYPE,
};

/// Maximum size of a body in bytes.
pub const MAX_BODY_BYTES: usize = 1024 * 1024;

const JSON: &str = "application/json";

/// A JSON body as `T`. A field of an integer type accepts any number with a zero fraction (`46.0`).
///
/// Rejects another content type, charset or encoding (415), more than [`MAX_BODY_BYTES`] (413), invalid UTF-8 or JSON
/// (400 with line and column), a wrong shape and NUL characters (400 with JSON pointers).
#[derive(Debug)]
pub struct ApiJson<T>(pub T);

impl<T> Deref for ApiJson<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: DeserializeOwned + 'static> FromRequest for ApiJson<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let accepted = check_headers(request.headers(), JSON);
        let payload = payload.take();
        Box::pin(async move {
            accepted?;
            parse(&read(payload).await?).map(Self)
        })
    }
}

/// As [`ApiJson`]; an empty body of any content type, and `null`, is the default.
#[derive(Debug)]
pub struct OptionalJson<T>(pub T);

impl<T: DeserializeOwned + Default + 'static> FromRequest for OptionalJson<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let accepted = check_headers(request.headers(), JSON);
        let payload = payload.take();
        Box::pin(async move {
            let body = read(payload).await?;
            if body.is_empty() {
                return Ok(Self(T::default()));
            }
            accepted?;
            parse::<Option<T>>(&body).map(|value| Self(value.unwrap_or_default()))
        })
    }
}

/// Checks by the headers that a body is of this type, in UTF-8, not compressed and not too long.
pub(super) fn check_headers(headers: &HeaderMap, media_type: &str) -> Result<(), Problem> {
    let unsupported = |detail: &str| Err(Problem::new(&UNSUPPORTED_MEDIA_TYPE).detail(detail));
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?").to_ascii_lowercase());

    let content_type = text(header::CONTENT_TYPE).unwrap_or_default();
    let mut parts = content_type.split(';').map(str::trim);
    if parts.next() != Some(media_type) {
        return unsupported(&format!("the content type must be {media_type}"));
    }
    if parts.filter_map(|part| part.strip_prefix("charset=")).any(|set| set.trim_matches('"') != "utf-8") {
        return unsupported("the charset must be utf-8");
    }
    if text(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return unsupported("the body must not be compressed");
    }
    let announced = text(header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    if announced.is_some_and(|length| usize::try_from(length).map_or(true, |length| length > MAX_BODY_BYTES))
    {
        return Err(Problem::new(&BODY_TOO_LARGE));
    }
    Ok(())
}

pub(super) async fn read(mut payload: Payload) -> Result<Vec<u8>, Problem> {
    let mut body = Vec::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error| match error {
            PayloadError::Overflow => Problem::new(&BODY_TOO_LARGE),
            _ => Problem::new(&BAD_REQUEST).detail("the body ended early or is badly framed"),
        })?;
        // A chunked body does not state its length.
        if body.len() + chunk.len() > MAX_BODY_BYTES {
            return Err(Problem::new(&BODY_TOO_LARGE));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let malformed = |detail: String| Problem::new(&MALFORMED_JSON).detail(detail);
    let text = std::str::from_utf8(body)
        .map_err(|error| malformed(format!("the body is not UTF-8 from byte {} on", error.valid_up_to())))?;
    if text.trim().is_empty() {
        return Err(malformed("the body is empty".to_owned()));
    }
    refuse_nul(text)?;
    from_text(text)
}

/// Parses JSON as `T`: a body, or a body after a merge.
///
/// # Errors
/// 400 with the line and column of malformed JSON, or with the pointer to a value of the wrong shape.
pub fn from_text<T: DeserializeOwned>(text: &str) -> Result<T, Problem> {
    let malformed = |error: &serde_json::Error| Problem::new(&MALFORMED_JSON).detail(error.to_string());
    let mut json = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(Integers(&mut json)).map_err(|error| {
        let inner = error.inner();
        if matches!(inner.classify(), Category::Syntax | Category::Eof | Category::Io) {
            return malformed(inner);
        }
        misshapen(&error)
    })?;
    json.end().map_err(|error| malformed(&error))?;
    Ok(value)
}

fn misshapen(error: &serde_path_to_error::Error<serde_json::Error>) -> Problem {
    let inner = error.inner();
    let whole = inner.to_string();
    let place = format!(" at line {} column {}", inner.line(), inner.column());
    let message = whole.strip_suffix(&place).unwrap_or(&whole);
    let finding = shape::classify(message);
    let pointer = shape::pointer(error.path(), finding.field.as_deref());
    Problem::new(&INVALID_CONTENT).error(pointer, finding.code, message)
}

/// Rejects U+0000 with a pointer to each text that contains it. Only the escape matters, because a raw NUL is not valid
/// JSON. Text that cannot be parsed into a tree is rejected as a whole.
fn refuse_nul(text: &str) -> Result<(), Problem> {
    if !has_nul(text) {
        return Ok(());
    }
    let mut errors = Vec::new();
    match serde_json::from_str::<Value>(text) {
        Ok(tree) => find_nul(&tree, &mut String::new(), &mut errors),
        // The real parse reports malformed JSON.
        Err(_) if serde_json::from_str::<&RawValue>(text).is_err() => return Ok(()),
        Err(_unread) => {}
    }
    if errors.is_empty() {
        return Err(Problem::new(&INVALID_CONTENT).error("", NUL.0, NUL.1));
    }
    Err(Problem::new(&INVALID_CONTENT).errors(errors))
}

/// True when `\u0000` follows an even number of backslashes. After an odd number it is an escaped backslash before other
/// text.
fn has_nul(text: &str) -> bool {
    text.match_indices("\\u0000").any(|(at, _)| {
        let before = text.get(..at).unwrap_or_default();
        (before.len() - before.trim_end_matches('\\').len()).is_multiple_of(2)
    })
}

/// The recursion is bounded: serde_json rejects nesting deeper than 128.
fn find_nul(value: &Value, pointer: &mut String, errors: &mut Vec<FieldError>) {
    let (code, message) = NUL;
    let mut found = |pointer: &str| {
        errors.push(FieldError {
            pointer: pointer.to_owned(),
            code: code.to_owned(),
            message: message.to_owned(),
        });
    };
    let length = pointer.len();
    match value {
        Value::String(text) if text.contains('\0') => found(pointer),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                shape::push(pointer, &index.to_string());
                find_nul(item, pointer, errors);
                pointer.truncate(length);
            }
        }
        Value::Object(fields) => {
            if fields.keys().any(|key| key.contains('\0')) {
                found(pointer);
            }
            for (key, item) in fields {
                shape::push(pointer, key);
                find_nul(item, pointer, errors);
                pointer.truncate(length);
            }
        }
        _ => {}
    }
}
