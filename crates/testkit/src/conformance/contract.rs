//! Every operation, given what it cannot use: the answer is 4xx, a problem, and as the OpenAPI document says.

use serde_json::Value;

use super::operations::Operation;
use super::{Findings, Stage};
use crate::Answer;

/// What any operation may answer before it is reached, see the conventions.
const COMMON: [u16; 9] = [400, 401, 403, 404, 405, 413, 415, 429, 503];
/// More than any body may have.
const TOO_MUCH: usize = 2 << 20;
/// Values no path can use, as they are written in one. U+0000, no UTF-8, a UUID nobody has, too long.
const BAD_VALUES: [&str; 5] = ["%00", "%FF", "7", "00000000-0000-7000-8000-000000000000", "%C5%BC%2F..%2F"];
const JSON: &str = "application/json";

pub(super) fn check(stage: &Stage<'_>, findings: &mut Findings) {
    let bearer = format!("Bearer {}", stage.program.token);
    let ask = |operation: &Operation, path: &str, content_type: &str, body: &[u8]| -> Answer {
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", content_type)];
        let answer = stage.program.request(&operation.method, path, &headers, body);
        answer.unwrap_or_else(|error| panic!("{} gave no answer: {error}", operation.shown()))
    };
    let too_long = "x".repeat(3000);
    let huge = format!("{{\"x\": \"{}\"}}", "x".repeat(TOO_MUCH));
    for operation in &stage.operations {
        let mut look = |what: &str, answer: &Answer, expected: &[u16]| {
            let shown = format!("{} with {what} answered {}", operation.shown(), answer.status);
            let is_fine = expected.is_empty() && answer.status < 500 || expected.contains(&answer.status);
            findings.expect(is_fine, || format!("{shown}: {}", String::from_utf8_lossy(&answer.body)));
            findings
                .expect(answer.status < 400 || answer.is_problem(), || format!("{shown}, not as a problem"));
            findings.expect(is_declared(operation, answer), || {
                format!("{shown} ({}), which is not declared", answer.header("content-type"))
            });
            let id = answer.header("x-request-id");
            findings.expect(!id.is_empty(), || format!("{shown} without X-Request-Id"));
        };
        if operation.has_values() {
            for value in BAD_VALUES.into_iter().chain([too_long.as_str()]) {
                let answer = ask(operation, &operation.path(value), JSON, b"{}");
                look(&format!("the value {value:.40}"), &answer, &[]);
            }
        }
        let path = operation.path("00000000-0000-7000-8000-000000000000");
        if !operation.query.is_empty() {
            for query in ["no_such_parameter=1", "limit=0", "limit=x", "cursor=nonsense", "limit=1&limit=2"] {
                look(&format!("?{query}"), &ask(operation, &format!("{path}?{query}"), "", b""), &[]);
            }
            let unknown = ask(operation, &format!("{path}?no_such_parameter=1"), "", b"");
            look("an unknown parameter", &unknown, &[400, 404]);
        }
        for name in &operation.query {
            let answer = ask(operation, &format!("{path}?{name}=%00"), "", b"");
            look(&format!("U+0000 in ?{name}"), &answer, &[400, 404]);
        }
        for pointer in texts(&operation.body) {
            let mut body = operation.body.clone();
            body.pointer_mut(&pointer).expect("a text").clone_from(&Value::from("\0"));
            let answer = ask(operation, &path, JSON, body.to_string().as_bytes());
            look(&format!("U+0000 at {pointer}"), &answer, &[400]);
        }
        if operation.has_body {
            for (what, content_type, body, expected) in [
                ("no JSON", JSON, "{\"a\":", [400, 404]),
                ("no object", JSON, "[]", [400, 404]),
                ("an unknown field", JSON, "{\"no_such_field\": 1}", [400, 404]),
                ("no UTF-8", JSON, "\u{0}", [400, 404]),
                ("a wrong content type", "text/plain", "{}", [415, 415]),
                ("a huge body", JSON, huge.as_str(), [413, 413]),
            ] {
                look(what, &ask(operation, &path, content_type, body.as_bytes()), &expected);
            }
        }
        let wrong_method = stage.program.request("TRACE", &path, &[("Authorization", bearer.as_str())], &[]);
        let wrong_method = wrong_method.expect("an answer");
        findings.expect(wrong_method.status == 405 && !wrong_method.header("allow").is_empty(), || {
            format!("TRACE {path} answered {}", wrong_method.status)
        });
    }
}

/// Pointers to every text in a document.
fn texts(value: &Value) -> Vec<String> {
    let below = |name: String, inner: &Value| {
        texts(inner).into_iter().map(|pointer| format!("/{name}{pointer}")).collect::<Vec<_>>()
    };
    match value {
        Value::String(_) => vec![String::new()],
        Value::Array(items) => {
            items.iter().enumerate().flat_map(|(at, item)| below(at.to_string(), item)).collect()
        }
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(name, item)| below(name.replace('~', "~0").replace('/', "~1"), item))
            .collect(),
        _ => Vec::new(),
    }
}

/// True when the document says that the operation may answer so. That an error is a problem is looked at for itself.
fn is_declared(operation: &Operation, answer: &Answer) -> bool {
    let status = answer.status.to_string();
    let Some((_, types)) = operation.answers.iter().find(|(declared, _)| *declared == status) else {
        return COMMON.contains(&answer.status);
    };
    if answer.status >= 400 {
        return true;
    }
    let given = answer.header("content-type").split(';').next().unwrap_or_default();
    answer.body.is_empty() && types.is_empty() || types.iter().any(|declared| declared == given)
}
