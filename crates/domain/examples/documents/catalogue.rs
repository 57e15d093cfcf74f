//! The catalogue of events, with all data that the documents need.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

use domain::events::{CATALOGUE, Envelope, EventType};
use domain::topology::SUBSCRIBERS;
use serde_json::{Value, json};
use utoipa::{PartialSchema, ToSchema};

pub(crate) struct Catalogue {
    pub(crate) events: Vec<Entry>,
    /// JSON Schemas by name, including `Envelope`.
    pub(crate) schemas: BTreeMap<String, Value>,
}

pub(crate) struct Entry {
    pub(crate) event: &'static EventType,
    /// The name of the schema of its data.
    pub(crate) schema: String,
    /// An example envelope, pretty-printed.
    pub(crate) example: String,
}

impl Catalogue {
    /// Reads the catalogue of the code, with the golden files as examples.
    pub(crate) fn read(golden: &Path) -> Result<Self, Box<dyn Error>> {
        let mut found = vec![(Envelope::name().into_owned(), Envelope::schema())];
        Envelope::schemas(&mut found);
        let mut events = Vec::new();
        for event in CATALOGUE {
            let (name, schema) = (event.schema)();
            found.push((name.clone(), schema));
            (event.add_schemas)(&mut found);
            let example = std::fs::read_to_string(golden.join(format!("{}.json", event.name)))?;
            events.push(Entry { event, schema: name, example });
        }
        let schemas = found
            .into_iter()
            .map(|(name, schema)| Ok((name, serde_json::to_value(schema)?)))
            .collect::<Result<_, serde_json::Error>>()?;
        Ok(Self { events, schemas })
    }

    /// The schema itself, or the one that it only refers to.
    pub(crate) fn resolve<'a>(&'a self, schema: &'a Value) -> &'a Value {
        let pointed = schema.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next());
        match pointed.and_then(|name| self.schemas.get(name)) {
            Some(schema) => self.resolve(schema),
            None => schema,
        }
    }
}

impl Entry {
    /// The services that consume it.
    pub(crate) fn subscribers(&self) -> impl Iterator<Item = &'static str> {
        let kind = self.event.name;
        SUBSCRIBERS
            .iter()
            .filter(move |it| it.bindings.iter().any(|pattern| covers(pattern, kind)))
            .map(|it| it.service)
    }

    /// The service that publishes it.
    pub(crate) fn producer(&self) -> &'static str {
        self.event.source.trim_start_matches('/')
    }
}

/// Whether a binding of a topic exchange matches a routing key: `*` is one word, `#` any number of them.
fn covers(pattern: &str, key: &str) -> bool {
    fn words(pattern: &[&str], key: &[&str]) -> bool {
        match (pattern, key) {
            ([], []) => true,
            (["#", rest @ ..], _) => {
                words(rest, key) || matches!(key, [_, left @ ..] if words(pattern, left))
            }
            ([first, rest @ ..], [word, left @ ..]) => (*first == "*" || first == word) && words(rest, left),
            _ => false,
        }
    }
    let split = |text| str::split(text, '.').collect::<Vec<&str>>();
    words(&split(pattern), &split(key))
}

/// A pointer to a schema of the document.
pub(crate) fn pointer(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}
