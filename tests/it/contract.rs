//! Validating answers: against our own schemas, and against Allegro's OpenAPI document where it lies beside the
//! checkout.

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

/// Allegro's own document, made fit for a validator of JSON Schema.
pub(crate) struct OpenApi(Value);

impl OpenApi {
    /// None where the document does not lie beside the checkout.
    pub(crate) fn beside_the_checkout() -> Option<Self> {
        let text = std::fs::read_to_string(root().join("../shared/facts/allegro-openapi.yaml")).ok()?;
        let mut document: Value = serde_saphyr::from_str(&text).unwrap();
        relax(&mut document);
        Some(Self(document))
    }

    /// Checks the answer 200 of a GET.
    pub(crate) fn check(&self, path: &str, answer: &Value) {
        let media = "application/vnd.allegro.public.v1+json";
        let schema = &self.0["paths"][path]["get"]["responses"]["200"]["content"][media]["schema"];
        assert!(!schema.is_null(), "Allegro's document has no GET {path}");
        let whole = json!({ "allOf": [schema], "components": self.0["components"] });
        let validator = jsonschema::options().with_draft(jsonschema::Draft::Draft4).build(&whole).unwrap();
        let broken: Vec<String> =
            validator.iter_errors(answer).map(|it| format!("{}: {it}", it.instance_path())).collect();
        assert!(broken.is_empty(), "{path} breaks Allegro's document: {broken:#?}");
    }
}

/// OpenAPI 3.0 is not quite JSON Schema, and live answers hold null wherever a field is not required, which the
/// document does not say.
fn relax(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(relax);
            let required: Vec<Value> =
                fields.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
            if let Some(Value::Object(properties)) = fields.get_mut("properties") {
                relax_properties(properties, &required);
            }
            // Describes how a value is told from others; examples and the like mean nothing to a validator.
            for word in ["discriminator", "example", "xml", "externalDocs"] {
                fields.remove(word);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(relax),
        _ => {}
    }
}

fn relax_properties(properties: &mut Map<String, Value>, required: &[Value]) {
    for (name, schema) in properties {
        if schema.is_object() && !required.contains(&Value::String(name.clone())) {
            let strict = schema.take();
            *schema = json!({ "anyOf": [{ "type": "null" }, strict] });
        }
    }
}
