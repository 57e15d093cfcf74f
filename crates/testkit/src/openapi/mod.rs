//! What a service's OpenAPI document must hold, and that the committed one is this one.

mod lint;

use std::path::Path;

use serde_json::Value;

pub use lint::lint;

/// The workspace's folder.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Compares a text with a file below `docs/reference`, or writes it there where `UPDATE=1` is set.
///
/// # Panics
/// When they differ.
pub fn committed(file: &str, text: &str) {
    committed_at(&format!("docs/reference/{file}"), text);
}

/// As `committed`, for a file below the workspace's folder.
pub(crate) fn committed_at(file: &str, text: &str) {
    let path = Path::new(ROOT).join(file);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(&path, text).expect("a file that can be written");
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == text,
        "{file} is out of date: run this test with UPDATE=1 set, and look at the difference"
    );
}

/// One operation of a document.
pub(crate) struct Operation<'a> {
    pub(crate) method: String,
    /// As in the document, with `{names}`.
    pub(crate) path: &'a str,
    pub(crate) content: &'a Value,
}

impl Operation<'_> {
    /// Of the parameters, those at `place`.
    pub(crate) fn parameters(&self, place: &str) -> impl Iterator<Item = &Value> {
        let all = self.content["parameters"].as_array().into_iter().flatten();
        all.filter(move |parameter| parameter["in"] == place)
    }
}

/// Every operation.
pub(crate) fn operations(document: &Value) -> impl Iterator<Item = Operation<'_>> {
    const METHODS: [&str; 5] = ["get", "put", "post", "delete", "patch"];
    let paths = document["paths"].as_object().into_iter().flatten();
    paths.flat_map(|(path, item)| {
        METHODS.into_iter().filter_map(move |method| {
            Some(Operation { method: method.to_uppercase(), path, content: item.get(method)? })
        })
    })
}

/// A parameter's example.
pub(crate) fn example(parameter: &Value) -> Option<&Value> {
    let schema = &parameter["schema"];
    parameter
        .get("example")
        .or_else(|| schema.get("example"))
        .or_else(|| schema["examples"].get(0))
        .or_else(|| schema.get("default"))
}
