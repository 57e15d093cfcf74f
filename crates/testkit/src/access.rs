//! Who may call what: every route of a service, taken from its own document.

use serde_json::{Value, json};

use crate::Program;
use crate::openapi::{Operation, example, operations};

/// Calls every route without a credential, with another service's scopes, with too little, and with enough.
///
/// # Panics
/// When a route lets somebody in it should not, is not there, takes a bad `Idempotency-Key`, or there is none.
pub fn every_route_guards_itself(program: &Program, service: &str) {
    let document = program.document();
    let token = |scope: &str| program.issue(scope);
    let (foreign, read) = (token("another:admin another:write"), token(&format!("{service}:read")));
    let (write, none) =
        (token(&format!("{service}:write")), program.sign(json!({ "sub": "test", "scope": "" })));
    let mut seen = 0;
    for operation in operations(&document) {
        seen += 1;
        let is_question = operation.method == "GET";
        for (who, credential, status, code) in [
            ("nobody", None, 401, "credential_missing"),
            ("a forger", Some("not.a.token"), 401, "credential_invalid"),
            ("a stranger", Some(foreign.as_str()), 403, "scope_missing"),
            ("a caller without scopes", Some(none.as_str()), 403, "scope_missing"),
            ("a reader", Some(read.as_str()).filter(|_| !is_question), 403, "scope_missing"),
        ] {
            if who == "a reader" && credential.is_none() {
                continue;
            }
            let (got, body) = call(program, &operation, credential, "a-key");
            let told = (got, body["code"].as_str().unwrap_or_default());
            assert_eq!(told, (status, code), "{who} called {} {}", operation.method, operation.path);
        }
        // With enough it is let in: the route is there, whatever it answers to an example. An impossible key keeps a
        // POST from doing anything.
        let enough = if is_question { &read } else { &write };
        let (got, body) = call(program, &operation, Some(enough), &"k".repeat(256));
        let code = body["code"].as_str().unwrap_or_default();
        let place = format!("{} {}: {got} {body}", operation.method, operation.path);
        assert!(got < 500 && ![401, 403, 405].contains(&got) && code != "not_found", "{place}");
        assert_eq!(operation.method == "POST", code == "idempotency_key_invalid", "{place}");
    }
    assert!(seen > 0, "{service} has no routes");
}

fn call(program: &Program, operation: &Operation<'_>, token: Option<&str>, key: &str) -> (u16, Value) {
    let mut path = operation.path.to_owned();
    for parameter in operation.parameters("path") {
        let name = parameter["name"].as_str().unwrap_or_default();
        let value = example(parameter).and_then(Value::as_str).unwrap_or_default();
        path = path.replace(&format!("{{{name}}}"), value);
    }
    let body = &operation.content["requestBody"]["content"]["application/json"]["example"];
    program.call(&operation.method, &path, token, key, body)
}
