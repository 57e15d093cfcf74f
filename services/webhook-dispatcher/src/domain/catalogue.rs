//! What each event type looks like, as JSON Schema and by example, made from the types themselves.

use domain::events::EventType;
use serde_json::{Map, Value, json};

/// References within references, at most.
const MAX_DEPTH: usize = 10;
const ID: &str = "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f";

/// The JSON Schema of a type's data, with everything it refers to in `$defs`.
///
/// # Errors
/// When a schema cannot be written as JSON.
pub(crate) fn schema(event: &EventType) -> Result<Value, serde_json::Error> {
    let (_, schema) = (event.schema)();
    let mut others = Vec::new();
    (event.add_schemas)(&mut others);
    let mut schema = serde_json::to_value(schema)?;
    let mut definitions = Map::new();
    for (name, other) in others {
        definitions.insert(name, serde_json::to_value(other)?);
    }
    if let (Value::Object(fields), false) = (&mut schema, definitions.is_empty()) {
        fields.insert("$defs".to_owned(), Value::Object(definitions));
    }
    // They point into an OpenAPI document.
    serde_json::from_str(&schema.to_string().replace("#/components/schemas/", "#/$defs/"))
}

/// Data such as the schema describes.
pub(crate) fn example(schema: &Value) -> Value {
    sample(schema, schema, MAX_DEPTH)
}

fn sample(schema: &Value, root: &Value, depth: usize) -> Value {
    let told = schema.get("example").or_else(|| schema.get("examples")?.get(0));
    let told = told.or_else(|| schema.get("enum")?.get(0)).or_else(|| schema.get("const"));
    if let Some(told) = told {
        return told.clone();
    }
    let Some(depth) = depth.checked_sub(1) else { return Value::Null };
    let reference = schema.get("$ref").and_then(Value::as_str).and_then(|it| it.strip_prefix('#'));
    if let Some(target) = reference.and_then(|pointer| root.pointer(pointer)) {
        return sample(target, root, depth);
    }
    if let Some(parts) = schema.get("allOf").and_then(Value::as_array) {
        let parts = parts.iter().map(|part| sample(part, root, depth));
        let fields =
            parts.filter_map(|part| if let Value::Object(fields) = part { Some(fields) } else { None });
        return Value::Object(fields.flatten().collect());
    }
    let choices = schema.get("oneOf").or_else(|| schema.get("anyOf")).and_then(Value::as_array);
    if let Some(choice) = choices.and_then(|choices| choices.iter().find(|it| it["type"] != "null")) {
        return sample(choice, root, depth);
    }
    match kind(schema) {
        "object" => {
            let fields = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
            Value::Object(fields.map(|(name, field)| (name.clone(), sample(field, root, depth))).collect())
        }
        "array" => schema.get("items").map_or_else(|| json!([]), |item| json!([sample(item, root, depth)])),
        "string" => match schema.get("format").and_then(Value::as_str) {
            Some("uuid") => json!(ID),
            Some("date-time") => json!("2026-11-21T08:00:00Z"),
            Some("date") => json!("2026-11-21"),
            _ => json!("text"),
        },
        "integer" => json!(1),
        "number" => json!(1.5),
        "boolean" => json!(true),
        _ => Value::Null,
    }
}

fn kind(schema: &Value) -> &str {
    match schema.get("type") {
        Some(Value::String(kind)) => kind,
        Some(Value::Array(kinds)) => {
            kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null").unwrap_or("null")
        }
        _ => "null",
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use domain::events::CATALOGUE;

    use super::{example, schema};

    #[test]
    fn every_types_example_is_what_its_schema_describes() {
        for event in CATALOGUE {
            let schema = schema(event).unwrap();
            let example = example(&schema);
            let validator = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
            let wrong: Vec<String> = validator.iter_errors(&example).map(|error| error.to_string()).collect();
            assert_eq!(wrong, Vec::<String>::new(), "{}: {example}", event.name);
            assert!(example.as_object().is_some_and(|fields| !fields.is_empty()), "{}", event.name);
        }
    }
}
