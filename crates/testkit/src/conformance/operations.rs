//! What the service says it answers to.

use serde_json::Value;

use crate::Program;

/// An operation of the OpenAPI document.
pub(super) struct Operation {
    pub(super) method: String,
    /// With `{…}` where a value goes.
    pub(super) template: String,
    /// Of JSON; others a service looks at by itself.
    pub(super) has_body: bool,
    /// The example of its body; null where it has none.
    pub(super) body: Value,
    /// The names of its query's parameters.
    pub(super) query: Vec<String>,
    /// Declared statuses with the content types of each.
    pub(super) answers: Vec<(String, Vec<String>)>,
}

impl Operation {
    /// The path with the same text for each value.
    pub(super) fn path(&self, value: &str) -> String {
        let mut path = String::new();
        for (at, part) in self.template.split(['{', '}']).enumerate() {
            path.push_str(if at % 2 == 1 { value } else { part });
        }
        path
    }

    pub(super) fn has_values(&self) -> bool {
        self.template.contains('{')
    }

    pub(super) fn shown(&self) -> String {
        format!("{} {}", self.method, self.template)
    }
}

/// Every operation.
pub(super) fn of(program: &Program) -> Vec<Operation> {
    let document = program.request("GET", "/openapi.json", &[], &[]).expect("a document").json();
    let paths = document["paths"].as_object().expect("a document with paths");
    let mut found = Vec::new();
    for (template, item) in paths {
        for method in ["get", "put", "post", "patch", "delete"] {
            let operation = &item[method];
            if operation.is_object() {
                found.push(read(method, template, item, operation));
            }
        }
    }
    assert!(!found.is_empty(), "the OpenAPI document has no operation");
    found
}

fn read(method: &str, template: &str, item: &Value, operation: &Value) -> Operation {
    let parameters = [&item["parameters"], &operation["parameters"]];
    let parameters = parameters.iter().filter_map(|it| it.as_array()).flatten();
    let names = parameters.filter(|it| it["in"] == "query").filter_map(|it| it["name"].as_str());
    let answers = operation["responses"].as_object().into_iter().flatten();
    let types = |answer: &Value| {
        answer["content"].as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect()
    };
    Operation {
        method: method.to_uppercase(),
        template: template.to_owned(),
        has_body: operation["requestBody"]["content"]["application/json"].is_object(),
        body: operation["requestBody"]["content"]["application/json"]["example"].clone(),
        query: names.map(str::to_owned).collect(),
        answers: answers.map(|(status, answer)| (status.clone(), types(answer))).collect(),
    }
}
