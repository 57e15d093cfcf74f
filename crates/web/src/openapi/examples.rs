//! Builds examples of bodies from the examples of their schemas.

use serde_json::{Map, Value, json};
use utoipa::openapi::{Content, OpenApi, RefOr};

/// Adds an example to every JSON body that has none. If a schema of it has no example, the body remains without one,
/// which a test detects.
pub(super) fn complete(document: &mut OpenApi) {
    let schemas =
        document.components.as_ref().and_then(|components| serde_json::to_value(&components.schemas).ok());
    let schemas = schemas.unwrap_or_default();
    for item in document.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch];
        for operation in operations.into_iter().flatten() {
            if let Some(RefOr::T(body)) = &mut operation.request_body {
                body.content.values_mut().for_each(|content| fill(content, &schemas));
            }
            for answer in operation.responses.responses.values_mut() {
                if let RefOr::T(answer) = answer {
                    answer.content.values_mut().for_each(|content| fill(content, &schemas));
                }
            }
        }
    }
}

fn fill(content: &mut RefOr<Content>, schemas: &Value) {
    let RefOr::T(content) = content else { return };
    if content.example.is_none() && content.examples.is_empty() {
        let schema = content.schema.as_ref().and_then(|schema| serde_json::to_value(schema).ok());
        content.example = schema.and_then(|schema| sample(&schema, schemas));
    }
}

/// A value of the schema, if its parts have examples.
fn sample(schema: &Value, schemas: &Value) -> Option<Value> {
    let example =
        schema.get("example").or_else(|| schema.get("examples")?.get(0)).or_else(|| schema.get("default"));
    if let Some(example) = example {
        return Some(example.clone());
    }
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        return sample(schemas.get(reference.rsplit('/').next()?)?, schemas);
    }
    if let Some(parts) = schema.get("allOf").and_then(Value::as_array) {
        let parts: Option<Vec<Value>> = parts.iter().map(|part| sample(part, schemas)).collect();
        let fields = parts?
            .into_iter()
            .filter_map(|part| if let Value::Object(part) = part { Some(part) } else { None });
        return Some(Value::Object(fields.flatten().collect()));
    }
    if let Some(choices) = schema.get("oneOf").or_else(|| schema.get("anyOf")).and_then(Value::as_array) {
        return choices.iter().rev().find_map(|choice| sample(choice, schemas));
    }
    if let Some(fields) = schema.get("properties").and_then(Value::as_object) {
        let of_field = |(name, field): (&String, &Value)| Some((name.clone(), sample(field, schemas)?));
        return fields.iter().map(of_field).collect::<Option<Map<_, _>>>().map(Value::Object);
    }
    let kind = schema.get("type")?;
    if let Some(item) = schema.get("items").filter(|_| kind == "array") {
        return sample(item, schemas).map(|item| json!([item]));
    }
    let is_nullable = kind == "null" || kind.as_array().is_some_and(|kinds| kinds.contains(&json!("null")));
    is_nullable.then_some(Value::Null)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::sample;

    #[test]
    fn a_bodys_example_is_built_from_its_parts() {
        let schemas = json!({
            "View": { "type": "object", "example": { "id": 1 }, "properties": { "id": { "type": "integer" } } },
            "Secret": { "type": "object", "properties": { "secret": { "type": "string", "example": "s" } } },
        });
        let view = json!({ "$ref": "#/components/schemas/View" });
        let page = json!({ "type": "object", "properties": {
            "items": { "type": "array", "items": view },
            "next_cursor": { "type": ["string", "null"] },
        } });
        let made = json!({ "allOf": [view, { "$ref": "#/components/schemas/Secret" }] });
        let maybe = json!({ "oneOf": [{ "type": "null" }, view] });
        let silent = json!({ "type": "object", "properties": { "id": { "type": "integer" }, "view": view } });
        for (schema, expected) in [
            (page, json!({ "items": [{ "id": 1 }], "next_cursor": null })),
            (made, json!({ "id": 1, "secret": "s" })),
            (maybe, json!({ "id": 1 })),
        ] {
            assert_eq!(sample(&schema, &schemas), Some(expected), "{schema}");
        }
        assert_eq!(sample(&silent, &schemas), None::<Value>);
    }
}
