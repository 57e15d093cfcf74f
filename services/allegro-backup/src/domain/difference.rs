//! What differs between two contents of an order.

use json_patch::PatchOperation;
use serde_json::Value;

/// One step from the older content to the newer one, as RFC 6902 has them, with what stood there before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    /// `add`, `remove` or `replace`.
    pub(crate) op: &'static str,
    /// A JSON pointer (RFC 6901), into the content as the steps before have left it.
    pub(crate) path: String,
    /// What stood there; none for `add`.
    pub(crate) old: Option<Value>,
    /// What stands there; none for `remove`.
    pub(crate) new: Option<Value>,
}

/// The steps from one content to another.
///
/// # Errors
/// A step could not be made: the library's fault.
pub(crate) fn between(older: &Value, newer: &Value) -> Result<Vec<Change>, json_patch::PatchError> {
    let mut standing = older.clone();
    let mut changes = Vec::new();
    for step in json_patch::diff(older, newer).0 {
        let path = step.path().to_string();
        let before = standing.pointer(&path).cloned();
        let change = match &step {
            PatchOperation::Remove(_) => Change { op: "remove", path, old: before, new: None },
            PatchOperation::Replace(it) => {
                Change { op: "replace", path, old: before, new: Some(it.value.clone()) }
            }
            // In a list, what stands in this place moves on.
            PatchOperation::Add(it) => Change { op: "add", path, old: None, new: Some(it.value.clone()) },
            // A difference is never told by these.
            PatchOperation::Move(_) | PatchOperation::Copy(_) | PatchOperation::Test(_) => continue,
        };
        json_patch::patch(&mut standing, std::slice::from_ref(&step))?;
        changes.push(change);
    }
    Ok(changes)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use serde_json::{Value, json};

    use super::{Change, between};

    fn shown(older: &Value, newer: &Value) -> Vec<String> {
        let show = |it: Change| format!("{} {} {:?} {:?}", it.op, it.path, it.old, it.new);
        between(older, newer).unwrap().into_iter().map(show).collect()
    }

    #[test]
    fn each_step_says_what_stood_there() {
        let older = json!({ "a/b": 1, "gone": null, "lines": [{ "id": "1", "n": 1 }, { "id": "2" }] });
        let newer = json!({ "a/b": 2, "fresh": "ż", "lines": [{ "id": "1", "n": 3 }] });
        let mut steps = shown(&older, &newer);
        steps.sort();
        assert_eq!(
            steps,
            [
                "add /fresh None Some(String(\"ż\"))",
                "remove /gone Some(Null) None",
                "remove /lines/1 Some(Object {\"id\": String(\"2\")}) None",
                "replace /a~1b Some(Number(1)) Some(Number(2))",
                "replace /lines/0/n Some(Number(1)) Some(Number(3))",
            ]
        );
        assert_eq!(shown(&older, &older), Vec::<String>::new());
    }
}
