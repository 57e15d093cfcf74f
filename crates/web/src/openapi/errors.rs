//! The error answers of an operation.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::{Ref, RefOr};

use crate::problem::{
    BAD_REQUEST, BODY_TOO_LARGE, CODES, ErrorCode, IDEMPOTENCY_KEY_INVALID, IDEMPOTENCY_KEY_REUSED,
    INVALID_CONTENT, INVALID_CURSOR, INVALID_PARAMETER, MALFORMED_JSON, MEDIA_TYPE, Problem, REQUEST_RUNNING,
    UNSUPPORTED_MEDIA_TYPE,
};

/// The codes of every operation: authentication, rate limit, failures of the service.
const GENERAL: [u16; 5] = [401, 403, 429, 500, 503];

const REQUEST_ID: &str = "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f";

/// The codes of an operation.
pub(super) struct Errors(Vec<&'static ErrorCode>);

impl Errors {
    /// The codes that its handler names, and those that follow from its parameters and body. An unknown name remains
    /// without content, which a test detects.
    pub(super) fn of(operation: &Operation, own: &[&'static ErrorCode]) -> Self {
        let named: BTreeSet<&str> = operation
            .responses
            .responses
            .iter()
            .filter(|(status, _)| status.starts_with(['4', '5']))
            .filter_map(|(_, answer)| if let RefOr::T(answer) = answer { Some(answer) } else { None })
            .flat_map(|answer| answer.description.split(", "))
            .collect();
        let known = CODES.iter().chain(own).copied();
        let mut codes: Vec<_> = known.filter(|code| named.contains(code.code)).collect();
        codes.extend(CODES.iter().filter(|code| GENERAL.contains(&code.status)));
        let parameters = operation.parameters.iter().flatten();
        let taken: Vec<_> = parameters
            .filter_map(|parameter| if let RefOr::T(parameter) = parameter { Some(parameter) } else { None })
            .filter(|parameter| parameter.parameter_in != ParameterIn::Header)
            .map(|parameter| parameter.name.as_str())
            .collect();
        if !taken.is_empty() {
            codes.push(&INVALID_PARAMETER);
        }
        if taken.contains(&"cursor") {
            codes.push(&INVALID_CURSOR);
        }
        if operation.request_body.is_some() {
            let of_bodies: [&ErrorCode; 5] =
                [&BAD_REQUEST, &MALFORMED_JSON, &INVALID_CONTENT, &BODY_TOO_LARGE, &UNSUPPORTED_MEDIA_TYPE];
            codes.extend(of_bodies);
        }
        Self(codes)
    }

    /// Adds the codes of a request that accepts an `Idempotency-Key`.
    pub(super) fn with_idempotency(mut self) -> Self {
        let of_keys: [&ErrorCode; 3] = [&IDEMPOTENCY_KEY_INVALID, &REQUEST_RUNNING, &IDEMPOTENCY_KEY_REUSED];
        self.0.extend(of_keys);
        self
    }

    /// Writes an answer per status, with an example per code.
    pub(super) fn write(self, path: &str, operation: &mut Operation) {
        let statuses: BTreeSet<u16> = self.0.iter().map(|code| code.status).collect();
        for status in statuses {
            let mut content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem")));
            let mut meanings = Vec::new();
            for code in self.0.iter().filter(|code| code.status == status) {
                let example = ExampleBuilder::new().summary(code.title).value(Some(problem(code, path)));
                content = content.examples_from_iter([(code.code, example.build())]);
                meanings.push(format!("`{}`: {}", code.code, code.meaning));
            }
            meanings.dedup();
            let answer = ResponseBuilder::new()
                .description(meanings.join("\n\n"))
                .content(MEDIA_TYPE, content.build());
            operation.responses.responses.insert(status.to_string(), answer.build().into());
        }
    }
}

/// A code in the form that docs/reference/ERRORS.md is generated from.
pub(super) fn described(code: &ErrorCode) -> Value {
    json!({ "code": code.code, "status": code.status, "title": code.title, "meaning": code.meaning })
}

fn problem(code: &'static ErrorCode, path: &str) -> Value {
    let mut problem = Problem::new(code);
    if *code == INVALID_CONTENT {
        problem = problem.error("/user_id", "missing", "missing field `user_id`");
    } else if *code == INVALID_PARAMETER {
        problem = problem.error("limit", "invalid_value", "must be a whole number from 1 to 200");
    }
    problem.to_json(path, REQUEST_ID)
}
