//! Path and query parameters.

use std::future::{Ready, ready};
use std::ops::Deref;

use actix_router::PathDeserializer;
use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;
use url::form_urlencoded;

use super::{NUL, shape};
use crate::problem::{FieldError, INVALID_PARAMETER, Problem};

/// The replacement character: result of decoding invalid UTF-8 in a URL.
const REPLACEMENT: char = '\u{FFFD}';

/// The query string as `T`, a struct with one field per parameter.
///
/// Rejects (400) unknown parameters, if `T` has `deny_unknown_fields`, repeated ones, wrong types, and text that
/// Postgres cannot store. `pointer` is the parameter's name.
#[derive(Debug)]
pub struct ApiQuery<T>(pub T);

/// The path's parameters as `T`: a struct, a tuple, or one value. Rejects (400) as [`ApiQuery`] does.
#[derive(Debug)]
pub struct ApiPath<T>(pub T);

impl<T> Deref for ApiQuery<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> Deref for ApiPath<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: DeserializeOwned> FromRequest for ApiQuery<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(query(request.query_string()).map(Self))
    }
}

impl<T: DeserializeOwned> FromRequest for ApiPath<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(path(request).map(Self))
    }
}

fn query<T: DeserializeOwned>(raw: &str) -> Result<T, Problem> {
    let pairs = form_urlencoded::parse(raw.as_bytes());
    let errors: Vec<FieldError> = pairs
        .filter_map(|(name, value)| unstorable(&name, &value).or_else(|| unstorable(&name, &name)))
        .collect();
    if !errors.is_empty() {
        return Err(Problem::new(&INVALID_PARAMETER).errors(errors));
    }
    let pairs = serde_urlencoded::Deserializer::new(form_urlencoded::parse(raw.as_bytes()));
    serde_path_to_error::deserialize(pairs).map_err(|error| {
        let message = error.inner().to_string();
        let finding = shape::classify(&message);
        let name = last_key(error.path()).or(finding.field).unwrap_or_default();
        Problem::new(&INVALID_PARAMETER).error(name, finding.code, message)
    })
}

fn path<T: DeserializeOwned>(request: &HttpRequest) -> Result<T, Problem> {
    let parameters = request.match_info();
    let value = serde_path_to_error::deserialize(PathDeserializer::new(parameters)).map_err(|error| {
        let message = error.inner().to_string();
        // Serde's path is an index for a tuple, and empty for a single value. Both map to the names in the route
        // template.
        let place = match error.path().iter().next_back() {
            Some(Segment::Seq { index }) => *index,
            _ => 0,
        };
        let name = last_key(error.path())
            .or_else(|| parameters.iter().nth(place).map(|(name, _)| name.to_owned()))
            .unwrap_or_default();
        Problem::new(&INVALID_PARAMETER).error(name, shape::classify(&message).code, message)
    })?;
    let errors: Vec<FieldError> = parameters
        .iter()
        // The router does not decode `%00`, and decodes nothing else to a NUL.
        .filter_map(|(name, raw)| unstorable(name, &raw.replace("%00", "\0")))
        .collect();
    if errors.is_empty() { Ok(value) } else { Err(Problem::new(&INVALID_PARAMETER).errors(errors)) }
}

fn last_key(path: &serde_path_to_error::Path) -> Option<String> {
    path.iter()
        .filter_map(|segment| if let Segment::Map { key } = segment { Some(key.clone()) } else { None })
        .next_back()
}

fn unstorable(name: &str, value: &str) -> Option<FieldError> {
    let (code, message) = if value.contains('\0') {
        NUL
    } else if value.contains(REPLACEMENT) {
        ("not_utf8", "must be percent-encoded UTF-8")
    } else {
        return None;
    };
    Some(FieldError {
        pointer: name.replace('\0', "\\u0000"),
        code: code.to_owned(),
        message: message.to_owned(),
    })
}
