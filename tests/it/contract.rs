//! Validating answers: against our own schemas, and against an extract of Allegro's OpenAPI document.

use std::path::{Path, PathBuf};

use jsonschema::Validator;
use serde_json::{Map, Value, json};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// What an answer must look like.
pub(crate) struct Contract {
    name: &'static str,
    ours: Validator,
}

impl Contract {
    pub(crate) fn of(name: &'static str) -> Self {
        let file = root().join(format!("tests/contracts/allegro/{name}.schema.json"));
        let schema: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        Self { name, ours: jsonschema::validator_for(&schema).unwrap() }
    }

    pub(crate) fn check(&self, answer: &Value) {
        let broken: Vec<String> =
            self.ours.iter_errors(answer).map(|it| format!("{}: {it}", it.instance_path())).collect();
        assert!(broken.is_empty(), "{} breaks its contract: {broken:#?}", self.name);
    }
}

/// The requests the sandbox answers, as Allegro's document names them.
const REQUESTS: [(&str, &str); 10] = [
    ("get", "/me"),
    ("get", "/order/event-stats"),
    ("get", "/order/events"),
    ("get", "/order/checkout-forms"),
    ("get", "/order/checkout-forms/{id}"),
    ("put", "/order/checkout-forms/{id}/fulfillment"),
    ("get", "/sale/offers"),
    ("put", "/sale/offer-quantity-change-commands/{commandId}"),
    ("get", "/sale/offer-quantity-change-commands/{commandId}"),
    ("get", "/sale/offer-quantity-change-commands/{commandId}/tasks"),
];

/// Allegro's own document, as far as the sandbox answers what it describes, made fit for a validator of JSON Schema.
pub(crate) struct OpenApi(Value);

impl OpenApi {
    /// Reads the extract. Where `ALLEGRO_OPENAPI` names the whole document, the extract is made of it anew first.
    pub(crate) fn load() -> Self {
        let file = root().join("tests/contracts/allegro/openapi-extract.json");
        if let Some(whole) = std::env::var_os("ALLEGRO_OPENAPI") {
            let whole: Value = serde_saphyr::from_str(&std::fs::read_to_string(whole).unwrap()).unwrap();
            let text = serde_json::to_string_pretty(&extract(&whole)).unwrap();
            std::fs::write(&file, format!("{text}\n")).unwrap();
        }
        let mut document: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        relax(&mut document);
        Self(document)
    }

    /// Checks an answer by method, path and status. Where the document names no shape for a failure, it is the one it names
    /// everywhere else.
    pub(crate) fn check(&self, (method, path): (&str, &str), status: u16, answer: &Value) {
        let known = &self.0["paths"][path][method]["responses"];
        assert!(known.is_object(), "Allegro's document has no {method} {path}");
        let media = "application/vnd.allegro.public.v1+json";
        let named = &known[status.to_string()]["content"][media]["schema"];
        let schema = match status {
            _ if !named.is_null() => named.clone(),
            204 => return,
            401 => json!({ "$ref": "#/components/schemas/AuthError" }),
            400.. => json!({ "$ref": "#/components/schemas/ErrorsHolder" }),
            _ => panic!("Allegro's document has no {status} of {method} {path}"),
        };
        let whole = json!({ "allOf": [schema], "components": self.0["components"] });
        let validator = jsonschema::options().with_draft(jsonschema::Draft::Draft4).build(&whole).unwrap();
        let broken: Vec<String> =
            validator.iter_errors(answer).map(|it| format!("{}: {it}", it.instance_path())).collect();
        assert!(broken.is_empty(), "{method} {path} {status} breaks Allegro's document: {broken:#?}");
    }
}

/// The answers of the requests in question, and every schema those name.
fn extract(whole: &Value) -> Value {
    let mut paths = Map::new();
    for (method, path) in REQUESTS {
        let responses = whole["paths"][path][method]["responses"].clone();
        assert!(responses.is_object(), "Allegro's document has no {method} {path}");
        let entry = paths.entry(path).or_insert_with(|| json!({}));
        entry[method] = json!({ "responses": responses });
    }
    let mut schemas = Map::new();
    let mut wanted: Vec<String> = vec!["AuthError".to_owned(), "ErrorsHolder".to_owned()];
    named_in(&Value::Object(paths.clone()), &mut wanted);
    while let Some(name) = wanted.pop() {
        if !schemas.contains_key(&name) {
            let schema = whole["components"]["schemas"][&name].clone();
            assert!(schema.is_object(), "Allegro's document has no schema {name}");
            named_in(&schema, &mut wanted);
            schemas.insert(name, schema);
        }
    }
    let mut extract =
        json!({ "info": whole["info"]["title"], "paths": paths, "components": { "schemas": schemas } });
    for_each_object(&mut extract, &mut |fields| {
        // Told in prose; a property may well be called so.
        for word in ["description", "example"] {
            if fields.get(word).is_some_and(|told| word == "example" || told.is_string()) {
                fields.remove(word);
            }
        }
    });
    extract
}

fn named_in(value: &Value, names: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            let name = fields.get("$ref").and_then(Value::as_str);
            names.extend(name.and_then(|it| it.strip_prefix("#/components/schemas/")).map(str::to_owned));
            fields.values().for_each(|value| named_in(value, names));
        }
        Value::Array(items) => items.iter().for_each(|value| named_in(value, names)),
        _ => {}
    }
}

fn for_each_object(value: &mut Value, act: &mut impl FnMut(&mut Map<String, Value>)) {
    match value {
        Value::Object(fields) => {
            act(fields);
            fields.values_mut().for_each(|value| for_each_object(value, act));
        }
        Value::Array(items) => items.iter_mut().for_each(|value| for_each_object(value, act)),
        _ => {}
    }
}

/// OpenAPI 3.0 is not quite JSON Schema, and live answers hold null wherever a field is not required, which the
/// document does not say.
fn relax(document: &mut Value) {
    for_each_object(document, &mut |fields| {
        let required: Vec<Value> =
            fields.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
        if let Some(Value::Object(properties)) = fields.get_mut("properties") {
            relax_properties(properties, &required);
        }
        // Describes how a value is told from others; examples and the like mean nothing to a validator.
        for word in ["discriminator", "example", "xml", "externalDocs"] {
            fields.remove(word);
        }
    });
}

fn relax_properties(properties: &mut Map<String, Value>, required: &[Value]) {
    for (name, schema) in properties {
        if schema.is_object() && !required.contains(&Value::String(name.clone())) {
            let strict = schema.take();
            *schema = json!({ "anyOf": [{ "type": "null" }, strict] });
        }
    }
}
