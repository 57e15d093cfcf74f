//! Conditions on an event's data: which events of its types a subscription wants.
//!
//! A condition is `{"all": […]}`, `{"any": […]}`, `{"not": …}`, or a place in the data (RFC 6901) with one operator:
//! `{"path": "/status", "eq": "READY"}`. What is not there equals nothing, is greater than nothing, and begins with
//! nothing. Where a number is compared with text that is a decimal number (money is), their values are compared.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::settings::is_pointer;

/// Conditions within conditions.
const MAX_DEPTH: usize = 5;
/// Conditions in all.
const MAX_CONDITIONS: usize = 50;
/// Values one `in` names.
const MAX_VALUES: usize = 100;
/// Bytes of the whole, as JSON.
const MAX_BYTES: usize = 8 * 1024;
const OPERATORS: &str = "eq, ne, in, exists, gt, gte, lt, lte, contains, prefix";

/// A condition.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Filter {
    All(Vec<Filter>),
    Any(Vec<Filter>),
    Not(Box<Filter>),
    At(String, Operator),
}

/// What must be true of the value at a place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Operator {
    Equals(Value),
    Differs(Value),
    In(Vec<Value>),
    Exists(bool),
    /// Compared with the value, one of these.
    Compares(Vec<Ordering>, Value),
    /// Text within text, or an element of an array.
    Contains(Value),
    Prefix(String),
}

/// What is wrong with a condition, and where in it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    pub(crate) pointer: String,
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

impl Filter {
    /// Reads a condition.
    ///
    /// # Errors
    /// The first part that is wrong.
    pub(crate) fn read(value: &Value) -> Result<Self, Mistake> {
        if value.to_string().len() > MAX_BYTES {
            return Err(mistake("", "too_long", "is at most 8 KiB of JSON"));
        }
        read(value, "", 1, &mut 0)
    }

    /// True when the data meets the condition.
    pub(crate) fn admits(&self, data: &Value) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.admits(data)),
            Self::Any(parts) => parts.iter().any(|part| part.admits(data)),
            Self::Not(part) => !part.admits(data),
            Self::At(path, operator) => operator.holds(data.pointer(path)),
        }
    }
}

impl Operator {
    fn holds(&self, found: Option<&Value>) -> bool {
        match (self, found) {
            (Self::Exists(wanted), found) => found.is_some() == *wanted,
            (Self::Differs(value), found) => found.is_none_or(|found| !equal(found, value)),
            (Self::Equals(value), Some(found)) => equal(found, value),
            (Self::In(values), Some(found)) => values.iter().any(|value| equal(found, value)),
            (Self::Compares(wanted, value), Some(found)) => {
                compare(found, value).is_some_and(|order| wanted.contains(&order))
            }
            (Self::Contains(value), Some(Value::Array(found))) => {
                found.iter().any(|found| equal(found, value))
            }
            (Self::Contains(Value::String(part)), Some(Value::String(found))) => found.contains(part),
            (Self::Prefix(prefix), Some(Value::String(found))) => found.starts_with(prefix),
            // Nothing is there, or nothing that could.
            _ => false,
        }
    }
}

fn equal(found: &Value, value: &Value) -> bool {
    found == value || (value.is_number() && compare(found, value) == Some(Ordering::Equal))
}

fn compare(found: &Value, value: &Value) -> Option<Ordering> {
    match (found, value) {
        (Value::Number(found), Value::Number(value)) => match (found.as_i128(), value.as_i128()) {
            (Some(found), Some(value)) => Some(found.cmp(&value)),
            _ => found.as_f64()?.partial_cmp(&value.as_f64()?),
        },
        (Value::String(found), Value::Number(value)) => {
            found.parse::<f64>().ok()?.partial_cmp(&value.as_f64()?)
        }
        (Value::String(found), Value::String(value)) => Some(found.cmp(value)),
        _ => None,
    }
}

fn read(value: &Value, at: &str, depth: usize, count: &mut usize) -> Result<Filter, Mistake> {
    *count += 1;
    if *count > MAX_CONDITIONS {
        return Err(mistake(at, "too_many", "the filter holds at most 50 conditions"));
    }
    if depth > MAX_DEPTH {
        return Err(mistake(at, "too_deep", "conditions stand in each other at most five deep"));
    }
    let Value::Object(fields) = value else {
        return Err(mistake(at, "wrong_type", "is an object"));
    };
    if fields.contains_key("path") {
        return at_path(fields, at);
    }
    let mut entries = fields.iter();
    let (Some((name, inner)), None) = (entries.next(), entries.next()) else {
        return Err(mistake(at, "malformed", "is all, any, not, or a path with one operator"));
    };
    let below = format!("{at}/{}", escape(name));
    match (name.as_str(), inner) {
        ("not", inner) => Ok(Filter::Not(Box::new(read(inner, &below, depth + 1, count)?))),
        ("all" | "any", Value::Array(parts)) if !parts.is_empty() => {
            let part = |(index, part)| read(part, &format!("{below}/{index}"), depth + 1, count);
            let parts = parts.iter().enumerate().map(part).collect::<Result<_, _>>()?;
            Ok(if name == "all" { Filter::All(parts) } else { Filter::Any(parts) })
        }
        ("all" | "any", _) => Err(mistake(&below, "wrong_type", "is an array of at least one condition")),
        _ => Err(mistake(&below, "unknown_field", "is all, any, not, or a path with one operator")),
    }
}

fn at_path(fields: &Map<String, Value>, at: &str) -> Result<Filter, Mistake> {
    let path = fields.get("path").and_then(Value::as_str).filter(|path| is_pointer(path));
    let path =
        path.ok_or_else(|| mistake(&format!("{at}/path"), "malformed", "is a JSON pointer (RFC 6901)"))?;
    let mut others = fields.iter().filter(|(name, _)| *name != "path");
    let (Some((name, value)), None) = (others.next(), others.next()) else {
        return Err(mistake(at, "malformed", &format!("has one operator beside its path: {OPERATORS}")));
    };
    let below = format!("{at}/{}", escape(name));
    let is_ordered = value.is_number() || value.is_string();
    let compares = |wanted: &[Ordering]| Operator::Compares(wanted.to_vec(), value.clone());
    let wrong = |message| Err(mistake(&below, "wrong_type", message));
    let operator = match (name.as_str(), value) {
        ("eq", value) => Operator::Equals(value.clone()),
        ("ne", value) => Operator::Differs(value.clone()),
        ("in", Value::Array(values)) if (1..=MAX_VALUES).contains(&values.len()) => {
            Operator::In(values.clone())
        }
        ("in", _) => return wrong("is an array of 1 to 100 values"),
        ("exists", Value::Bool(wanted)) => Operator::Exists(*wanted),
        ("exists", _) => return wrong("is true or false"),
        ("gt", _) if is_ordered => compares(&[Ordering::Greater]),
        ("gte", _) if is_ordered => compares(&[Ordering::Greater, Ordering::Equal]),
        ("lt", _) if is_ordered => compares(&[Ordering::Less]),
        ("lte", _) if is_ordered => compares(&[Ordering::Less, Ordering::Equal]),
        ("gt" | "gte" | "lt" | "lte", _) => return wrong("is a number or text"),
        ("contains", value) => Operator::Contains(value.clone()),
        ("prefix", Value::String(prefix)) => Operator::Prefix(prefix.clone()),
        ("prefix", _) => return wrong("is text"),
        _ => {
            let message = format!("is none of the operators {OPERATORS}");
            return Err(mistake(&below, "unknown_field", &message));
        }
    };
    Ok(Filter::At(path.to_owned(), operator))
}

fn escape(token: &str) -> String {
    token.replace('~', "~0").replace('/', "~1")
}

fn mistake(pointer: &str, code: &'static str, message: &str) -> Mistake {
    Mistake { pointer: pointer.to_owned(), code, message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use serde_json::{Value, json};

    use super::Filter;

    #[test]
    fn conditions_hold_or_not() {
        let data = json!({
            "status": "READY", "total": "120.50", "count": 9_007_199_254_740_993_i64, "tags": ["a", "b"], "none": null,
            "buyer": { "a/b": true }, "lines": [{ "sku": "X-1" }],
        });
        for (filter, expected) in [
            (json!({ "path": "/status", "eq": "READY" }), true),
            (json!({ "path": "/status", "eq": "ready" }), false),
            (json!({ "path": "/none", "eq": null }), true),
            (json!({ "path": "/absent", "eq": null }), false),
            (json!({ "path": "/absent", "ne": 1 }), true),
            (json!({ "path": "/status", "ne": "READY" }), false),
            (json!({ "path": "/status", "in": ["NEW", "READY"] }), true),
            (json!({ "path": "/none", "exists": true }), true),
            (json!({ "path": "/absent", "exists": false }), true),
            // Money is decimal text; a number is compared with its value.
            (json!({ "path": "/total", "gt": 99 }), true),
            (json!({ "path": "/total", "lte": 120.5 }), true),
            (json!({ "path": "/total", "eq": 120.5 }), true),
            (json!({ "path": "/total", "gt": "99" }), false),
            // Larger than a float tells apart.
            (json!({ "path": "/count", "gt": 9_007_199_254_740_992_i64 }), true),
            (json!({ "path": "/count", "eq": 9_007_199_254_740_992_i64 }), false),
            (json!({ "path": "/absent", "lt": 1 }), false),
            (json!({ "path": "/tags", "contains": "b" }), true),
            (json!({ "path": "/tags", "contains": "ab" }), false),
            (json!({ "path": "/status", "contains": "EAD" }), true),
            (json!({ "path": "/buyer/a~1b", "eq": true }), true),
            (json!({ "path": "/lines/0/sku", "prefix": "X-" }), true),
            (json!({ "path": "", "contains": "x" }), false),
            (json!({ "not": { "path": "/status", "eq": "READY" } }), false),
            (
                json!({ "all": [{ "path": "/status", "eq": "READY" }, { "path": "/total", "gt": 200 }] }),
                false,
            ),
            (json!({ "any": [{ "path": "/status", "eq": "READY" }, { "path": "/total", "gt": 200 }] }), true),
        ] {
            assert_eq!(Filter::read(&filter).unwrap().admits(&data), expected, "{filter}");
        }
    }

    #[test]
    fn what_is_wrong_is_pointed_at() {
        let nested = |depth: usize| {
            (1..depth).fold(json!({ "path": "/a", "eq": 1 }), |inner, _| json!({ "not": inner }))
        };
        let leaf = json!({ "path": "/a", "eq": 1 });
        Filter::read(&nested(5)).unwrap();
        for (filter, pointer, code) in [
            (json!([]), "", "wrong_type"),
            (json!({}), "", "malformed"),
            (json!({ "all": [] }), "/all", "wrong_type"),
            (json!({ "all": [leaf, { "path": "a", "eq": 1 }] }), "/all/1/path", "malformed"),
            (json!({ "path": 7, "eq": 1 }), "/path", "malformed"),
            (json!({ "path": "/a" }), "", "malformed"),
            (json!({ "path": "/a", "eq": 1, "ne": 2 }), "", "malformed"),
            (json!({ "path": "/a", "like": 1 }), "/like", "unknown_field"),
            (json!({ "path": "/a", "gt": null }), "/gt", "wrong_type"),
            (json!({ "path": "/a", "in": [] }), "/in", "wrong_type"),
            (json!({ "any": [leaf], "all": [leaf] }), "", "malformed"),
            (json!({ "a/b": [leaf] }), "/a~1b", "unknown_field"),
            (nested(6), "/not/not/not/not/not", "too_deep"),
            (json!({ "all": vec![leaf.clone(); 50] }), "/all/49", "too_many"),
            (json!({ "path": "/a", "eq": "x".repeat(9000) }), "", "too_long"),
        ] {
            let mistake = Filter::read(&filter).unwrap_err();
            assert_eq!((mistake.pointer.as_str(), mistake.code), (pointer, code), "{filter:.80}");
        }
        assert_eq!(Filter::read(&Value::Null).unwrap_err().code, "wrong_type");
    }
}
