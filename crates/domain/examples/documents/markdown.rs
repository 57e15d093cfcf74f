//! Writes EVENTS.md, the reference of all event types.

use std::fmt::Write;

use serde_json::Value;

use crate::catalogue::{Catalogue, Entry};

const HEAD: &str = "\
# Events

`cargo xtask docs` generates this page from `domain::events` and the golden files. The machine-readable form is
[asyncapi.json](asyncapi.json).

An event is a CloudEvents 1.0 envelope in structured mode (`application/cloudevents+json; charset=UTF-8`). Services publish it
to RabbitMQ's topic exchange `zaplecze.events` with its type as the routing key. CloudEvents defines an AMQP binding for
AMQP 1.0 only. Over AMQP 0-9-1 an event carries the properties `message_id`, `type`, `timestamp` and `app_id`, and its trace
context as headers.

- Delivery is at least once. Ignore an event whose `id` you have processed.
- Events with the same `partitionkey` normally arrive in order, but an older one may arrive late. Where order matters, store
  the last `sequence` of each `subject` and ignore events whose `sequence` is not greater.
- Instants (`time`, and those in `data`) are UTC, in the years 0001 to 9999, with microsecond precision at most. A message with
  any other `time` is dead-lettered.
- A type may gain fields. It never loses or changes one. Ignore fields that you do not know. A breaking change is a new type
  `<type>.v2` beside the old one.
";

/// The document.
pub(crate) fn write(catalogue: &Catalogue) -> String {
    let mut text = HEAD.to_owned();
    text.push_str("\n| type | producer | meaning | consuming services |\n|---|---|---|---|\n");
    for entry in &catalogue.events {
        let subscribers: Vec<&str> = entry.subscribers().collect();
        let (name, anchor) = (entry.event.name, entry.event.name.replace('.', ""));
        let row = format!(
            "| [`{name}`](#{anchor}) | {} | {} | {} |\n",
            entry.producer(),
            entry.event.meaning,
            subscribers.join(", ")
        );
        text.push_str(&row);
    }
    text.push_str("\n## Envelope\n\n");
    fields(catalogue, catalogue.schemas.get("Envelope"), &mut text);
    for entry in &catalogue.events {
        section(catalogue, entry, &mut text);
    }
    text
}

fn section(catalogue: &Catalogue, entry: &Entry, text: &mut String) {
    let event = entry.event;
    // Writing to memory cannot fail.
    let _written = write!(
        text,
        "\n## {}\n\n{} Producer: {}.\n\nFields of `data`:\n\n",
        event.name,
        event.meaning,
        entry.producer()
    );
    fields(catalogue, catalogue.schemas.get(&entry.schema), text);
    let _written = write!(text, "\nExample:\n\n```json\n{}\n```\n", entry.example.trim());
}

fn fields(catalogue: &Catalogue, schema: Option<&Value>, text: &mut String) {
    text.push_str("| field | type | meaning |\n|---|---|---|\n");
    if let Some(schema) = schema {
        rows(catalogue, catalogue.resolve(schema), "", text);
    }
}

/// A row for each field. The fields of a nested object follow it.
fn rows(catalogue: &Catalogue, schema: &Value, prefix: &str, text: &mut String) {
    for (name, field) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let (kind, inner) = kind(catalogue, field);
        let path = format!("{prefix}{name}");
        let described = |schema: &Value| schema.get("description").and_then(Value::as_str).map(str::to_owned);
        let meaning = described(field).unwrap_or_default().replace('\n', " ");
        let _written = writeln!(text, "| `{path}` | {kind} | {meaning} |");
        let is_list = kind.starts_with("list");
        rows(catalogue, inner, &if is_list { format!("{path}[].") } else { format!("{path}.") }, text);
    }
}

/// The type as text, and the schema whose fields follow.
fn kind<'a>(catalogue: &'a Catalogue, field: &'a Value) -> (String, &'a Value) {
    let choices = field.get("oneOf").and_then(Value::as_array);
    if let Some([nothing, other]) = choices.map(Vec::as_slice)
        && nothing.get("type").is_some_and(|it| it == "null")
    {
        let (words, inner) = kind(catalogue, other);
        return (format!("{words} or null"), inner);
    }
    let field = catalogue.resolve(field);
    let mut words = match field.get("type") {
        Some(Value::String(name)) => name.clone(),
        Some(Value::Array(names)) => {
            names.iter().filter_map(Value::as_str).collect::<Vec<&str>>().join(" or ")
        }
        _ => "any".to_owned(),
    };
    if let Some(format) = field.get("format").and_then(Value::as_str) {
        words = words.replacen("string", &format!("string ({format})"), 1);
    }
    match field.get("items") {
        Some(items) => {
            let (item, inner) = kind(catalogue, items);
            (words.replacen("array", &format!("list of {item}"), 1), inner)
        }
        None => (words, field),
    }
}
