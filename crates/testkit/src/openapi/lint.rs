//! The rules.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Operation, example, operations};

/// Missing or wrong parts of a document: names, descriptions, parameters, security, error answers, unresolved references,
/// and examples that violate their own schema.
///
/// # Panics
/// When it is not JSON.
pub fn lint(document: &str) -> Vec<String> {
    let document: Value = serde_json::from_str(document).expect("JSON");
    let mut broken = Vec::new();
    let mut names = BTreeSet::new();
    for operation in operations(&document) {
        let mut missing = Vec::new();
        head(&document, &operation, &mut missing);
        parameters(&operation, &mut missing);
        bodies(&document, &operation, &mut missing);
        errors(&operation, &mut missing);
        let name = operation.content["operationId"].as_str().unwrap_or_default();
        if name.is_empty() || !names.insert(name.to_owned()) {
            missing.push(format!("its operationId {name:?} is empty or another's"));
        }
        let place = format!("{} {}", operation.method, operation.path);
        broken.extend(missing.into_iter().map(|what| format!("{place}: {what}")));
    }
    if names.is_empty() {
        broken.push("there are no operations".to_owned());
    }
    references(&document, &document, &mut String::new(), &mut broken);
    broken
}

/// Reports each `$ref` below `value` that resolves to nothing within the document. `place` is the JSON pointer of `value`.
fn references(document: &Value, value: &Value, place: &mut String, broken: &mut Vec<String>) {
    let length = place.len();
    let mut descend = |token: &str, child: &Value| {
        place.push('/');
        place.push_str(&token.replace('~', "~0").replace('/', "~1"));
        references(document, child, place, broken);
        place.truncate(length);
    };
    match value {
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| descend(&index.to_string(), item));
        }
        Value::Object(fields) => {
            fields.iter().for_each(|(name, field)| descend(name, field));
            if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
                let target = reference.strip_prefix('#').and_then(|pointer| document.pointer(pointer));
                if target.is_none() {
                    broken.push(format!("{place}: {reference} resolves to nothing"));
                }
            }
        }
        _ => {}
    }
}

fn is_said(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.trim().is_empty())
}

fn head(document: &Value, operation: &Operation<'_>, missing: &mut Vec<String>) {
    if !is_said(&operation.content["summary"]) {
        missing.push("has no summary".to_owned());
    }
    if operation.content["tags"].as_array().is_none_or(Vec::is_empty) {
        missing.push("has no tag".to_owned());
    }
    let required = operation.content.get("security").unwrap_or(&document["security"]);
    let schemes = &document["components"]["securitySchemes"];
    let known = |requirement: &Value| {
        let names = requirement.as_object().map(|names| names.keys().collect::<Vec<_>>()).unwrap_or_default();
        !names.is_empty() && names.iter().all(|name| schemes.get(name).is_some())
    };
    if required.as_array().is_none_or(|all| all.is_empty() || !all.iter().all(known)) {
        missing.push("says not how to authenticate".to_owned());
    }
}

fn parameters(operation: &Operation<'_>, missing: &mut Vec<String>) {
    let all = operation.content["parameters"].as_array().cloned().unwrap_or_default();
    for parameter in &all {
        let name = parameter["name"].as_str().unwrap_or_default();
        if !is_said(&parameter["description"]) {
            missing.push(format!("parameter {name} has no description"));
        }
        if example(parameter).is_none() {
            missing.push(format!("parameter {name} has no example"));
        }
    }
    for name in operation.path.split('{').skip(1).filter_map(|rest| rest.split('}').next()) {
        if !operation.parameters("path").any(|parameter| parameter["name"] == name) {
            missing.push(format!("path parameter {name} is not described"));
        }
    }
    let wanted: &[&str] =
        if operation.method == "POST" { &["X-Request-Id", "Idempotency-Key"] } else { &["X-Request-Id"] };
    for name in wanted {
        if !operation.parameters("header").any(|parameter| parameter["name"] == *name) {
            missing.push(format!("header {name} is not described"));
        }
    }
}

fn bodies(document: &Value, operation: &Operation<'_>, missing: &mut Vec<String>) {
    let mut check = |what: &str, content: &Value| {
        for (kind, content) in content.as_object().into_iter().flatten() {
            let many = content["examples"].as_object().into_iter().flatten();
            let values: Vec<&Value> =
                many.map(|(_, example)| &example["value"]).chain(content.get("example")).collect();
            if values.is_empty() {
                missing.push(format!("{what} ({kind}) has no example"));
            }
            let mut schema = content["schema"].clone();
            schema["components"] = document["components"].clone();
            let validator = match jsonschema::validator_for(&schema) {
                Ok(validator) => validator,
                Err(error) => {
                    missing.push(format!("{what}: its schema cannot be used: {error}"));
                    continue;
                }
            };
            for error in values.iter().flat_map(|value| validator.iter_errors(value)) {
                missing.push(format!("{what}: its example is wrong at {}: {error}", error.instance_path()));
            }
        }
    };
    if let Some(body) = operation.content.get("requestBody") {
        check("the request's body", &body["content"]);
    }
    for (status, answer) in operation.content["responses"].as_object().into_iter().flatten() {
        check(&format!("answer {status}"), answer.get("content").unwrap_or(&json!({})));
    }
}

fn errors(operation: &Operation<'_>, missing: &mut Vec<String>) {
    let answers = &operation.content["responses"];
    let takes_body = operation.content.get("requestBody").is_some();
    let takes_content =
        takes_body || ["path", "query"].iter().any(|at| operation.parameters(at).next().is_some());
    let wanted = [
        (true, "401 403 500 503"),
        (takes_content, "400"),
        (takes_body, "413 415"),
        (operation.method == "POST", "400 409 422"),
    ];
    for status in
        wanted.iter().filter(|(is_wanted, _)| *is_wanted).flat_map(|(_, statuses)| statuses.split(' '))
    {
        if answers.get(status).is_none() {
            missing.push(format!("answer {status} is not described"));
        }
    }
    if !answers.as_object().is_some_and(|all| all.keys().any(|status| status.starts_with('2'))) {
        missing.push("has no success".to_owned());
    }
    for (status, answer) in answers.as_object().into_iter().flatten() {
        if !is_said(&answer["description"]) {
            missing.push(format!("answer {status} has no description"));
        }
        let examples = &answer["content"]["application/problem+json"]["examples"];
        let fits = |(code, example): (&String, &Value)| {
            let problem = &example["value"];
            problem["code"] == *code && problem["status"].as_u64() == status.parse().ok()
        };
        let is_fine = examples.as_object().is_some_and(|all| !all.is_empty() && all.iter().all(fits));
        if status.starts_with(['4', '5']) && !is_fine {
            missing.push(format!("answer {status} is no problem with an example for each code"));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::lint;

    #[test]
    fn missing_parts_of_a_route_are_findings() {
        let document = json!({ "paths": { "/doors/{id}": { "post": {
            "summary": "Opens a door.",
            "parameters": [{ "name": "speed", "in": "query", "schema": { "type": "integer" } }],
            "requestBody": { "content": { "application/json": {
                "schema": { "type": "object", "required": ["wide"] }, "example": {},
            } } },
            "responses": { "201": { "description": "Open" }, "404": { "description": "not_found" } },
        } } } });
        let told = lint(&document.to_string()).join("\n");
        for what in [
            "has no tag",
            "says not how to authenticate",
            "parameter speed has no description",
            "parameter speed has no example",
            "path parameter id is not described",
            "header Idempotency-Key is not described",
            "the request's body: its example is wrong",
            "answer 401 is not described",
            "answer 422 is not described",
            "answer 404 is no problem with an example for each code",
            "its operationId \"\" is empty or another's",
        ] {
            assert!(told.contains(&format!("POST /doors/{{id}}: {what}")), "{what} is missing in:\n{told}");
        }
        assert_eq!(lint("{}"), ["there are no operations"]);
    }

    #[test]
    fn a_reference_must_resolve_within_the_document() {
        let schema = |reference: &str| json!({ "schema": { "$ref": reference } });
        let document = json!({
            "components": {
                "schemas": { "Door": { "type": "object" }, "House": { "items": { "$ref": "#/components/schemas/Gate" } } },
                "parameters": { "id": schema("#/components/schemas/Door"), "size": schema("other.json#/Size") },
            },
            "paths": { "/doors/{id}": { "get": {
                "parameters": [schema("#/components/schemas/DoorId")],
                "responses": { "200": { "content": { "application/json": schema("#/components/schemas/House") } } },
            } } },
        });
        let found = lint(&document.to_string());
        assert!(found.iter().any(|finding| finding.contains("its schema cannot be used")), "{found:?}");
        let references: Vec<_> = found.iter().filter(|finding| finding.contains("resolves")).collect();
        assert_eq!(
            references,
            [
                "/components/parameters/size/schema: other.json#/Size resolves to nothing",
                "/components/schemas/House/items: #/components/schemas/Gate resolves to nothing",
                "/paths/~1doors~1{id}/get/parameters/0/schema: #/components/schemas/DoorId resolves to nothing",
            ]
        );
    }
}
