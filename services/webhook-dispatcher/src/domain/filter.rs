//! Conditions on an event's data: which events of its types a subscription wants.
//!
//! A condition is `{"all": […]}`, `{"any": […]}`, `{"not": …}`, or a place in the data (RFC 6901) with one operator:
//! `{"path": "/status", "eq": "READY"}`. What is not there equals nothing, is greater than nothing, and begins with
//! nothing. Numbers are compared by their exact values, and so is text that is a decimal number (money is) with a number.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::decimal::Decimal;
use super::json::Json;
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
#[derive(Debug, Clone)]
pub(crate) enum Filter {
    All(Vec<Filter>),
    Any(Vec<Filter>),
    Not(Box<Filter>),
    At(String, Operator),
}

/// What must be true of the value at a place.
#[derive(Debug, Clone)]
pub(crate) enum Operator {
    Equals(Json),
    Differs(Json),
    In(Vec<Json>),
    Exists(bool),
    /// Compared with the value, one of these.
    Compares(Vec<Ordering>, Json),
    /// Text within text, or an element of an array.
    Contains(Json),
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
    pub(crate) fn read(text: &RawValue) -> Result<Self, Mistake> {
        if text.get().len() > MAX_BYTES {
            return Err(mistake("", "too_long", "is at most 8 KiB of JSON"));
        }
        let value = Json::read(text).map_err(|unreadable| {
            let message = format!("cannot be compared with anything: {unreadable}");
            mistake("", "unreadable", &message)
        })?;
        read(&value, "", 1, &mut 0)
    }

    /// True when the data meets the condition.
    pub(crate) fn admits(&self, data: &Json) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.admits(data)),
            Self::Any(parts) => parts.iter().any(|part| part.admits(data)),
            Self::Not(part) => !part.admits(data),
            Self::At(path, operator) => operator.holds(data.pointer(path)),
        }
    }
}

impl Operator {
    fn holds(&self, found: Option<&Json>) -> bool {
        match (self, found) {
            (Self::Exists(wanted), found) => found.is_some() == *wanted,
            (Self::Differs(value), found) => found.is_none_or(|found| !equal(found, value)),
            (Self::Equals(value), Some(found)) => equal(found, value),
            (Self::In(values), Some(found)) => values.iter().any(|value| equal(found, value)),
            (Self::Compares(wanted, value), Some(found)) => {
                compare(found, value).is_some_and(|order| wanted.contains(&order))
            }
            (Self::Contains(value), Some(Json::Array(found))) => {
                found.iter().any(|found| equal(found, value))
            }
            (Self::Contains(Json::String(part)), Some(Json::String(found))) => found.contains(part),
            (Self::Prefix(prefix), Some(Json::String(found))) => found.starts_with(prefix),
            // Nothing is there, or nothing that could.
            _ => false,
        }
    }
}

/// A number of the filter equals text that is the same decimal number.
fn equal(found: &Json, value: &Json) -> bool {
    match (found, value) {
        (Json::Null, Json::Null) => true,
        (Json::Bool(found), Json::Bool(value)) => found == value,
        (Json::Array(found), Json::Array(value)) => {
            found.len() == value.len() && found.iter().zip(value).all(|(found, value)| equal(found, value))
        }
        (Json::Object(found), Json::Object(value)) => {
            let is_same = |name: &String, value| found.get(name).is_some_and(|found| equal(found, value));
            found.len() == value.len() && value.iter().all(|(name, value)| is_same(name, value))
        }
        _ => compare(found, value) == Some(Ordering::Equal),
    }
}

fn compare(found: &Json, value: &Json) -> Option<Ordering> {
    match (found, value) {
        (Json::Number(found) | Json::String(found), Json::Number(value)) => {
            Some(Decimal::read(found)?.cmp(&Decimal::read(value)?))
        }
        (Json::String(found), Json::String(value)) => Some(found.cmp(value)),
        _ => None,
    }
}

fn read(value: &Json, at: &str, depth: usize, count: &mut usize) -> Result<Filter, Mistake> {
    *count += 1;
    if *count > MAX_CONDITIONS {
        return Err(mistake(at, "too_many", "the filter holds at most 50 conditions"));
    }
    if depth > MAX_DEPTH {
        return Err(mistake(at, "too_deep", "conditions stand in each other at most five deep"));
    }
    let Json::Object(fields) = value else {
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
        ("all" | "any", Json::Array(parts)) if !parts.is_empty() => {
            let part = |(index, part)| read(part, &format!("{below}/{index}"), depth + 1, count);
            let parts = parts.iter().enumerate().map(part).collect::<Result<_, _>>()?;
            Ok(if name == "all" { Filter::All(parts) } else { Filter::Any(parts) })
        }
        ("all" | "any", _) => Err(mistake(&below, "wrong_type", "is an array of at least one condition")),
        _ => Err(mistake(&below, "unknown_field", "is all, any, not, or a path with one operator")),
    }
}

fn at_path(fields: &BTreeMap<String, Json>, at: &str) -> Result<Filter, Mistake> {
    let Some(Json::String(path)) = fields.get("path").filter(|path| is_path(path)) else {
        return Err(mistake(&format!("{at}/path"), "malformed", "is a JSON pointer (RFC 6901)"));
    };
    let mut others = fields.iter().filter(|(name, _)| *name != "path");
    let (Some((name, value)), None) = (others.next(), others.next()) else {
        return Err(mistake(at, "malformed", &format!("has one operator beside its path: {OPERATORS}")));
    };
    let below = format!("{at}/{}", escape(name));
    let is_ordered = matches!(value, Json::Number(_) | Json::String(_));
    let compares = |wanted: &[Ordering]| Operator::Compares(wanted.to_vec(), value.clone());
    let wrong = |message| Err(mistake(&below, "wrong_type", message));
    let operator = match (name.as_str(), value) {
        ("eq", value) => Operator::Equals(value.clone()),
        ("ne", value) => Operator::Differs(value.clone()),
        ("in", Json::Array(values)) if (1..=MAX_VALUES).contains(&values.len()) => {
            Operator::In(values.clone())
        }
        ("in", _) => return wrong("is an array of 1 to 100 values"),
        ("exists", Json::Bool(wanted)) => Operator::Exists(*wanted),
        ("exists", _) => return wrong("is true or false"),
        ("gt", _) if is_ordered => compares(&[Ordering::Greater]),
        ("gte", _) if is_ordered => compares(&[Ordering::Greater, Ordering::Equal]),
        ("lt", _) if is_ordered => compares(&[Ordering::Less]),
        ("lte", _) if is_ordered => compares(&[Ordering::Less, Ordering::Equal]),
        ("gt" | "gte" | "lt" | "lte", _) => return wrong("is a number or text"),
        ("contains", value) => Operator::Contains(value.clone()),
        ("prefix", Json::String(prefix)) => Operator::Prefix(prefix.clone()),
        ("prefix", _) => return wrong("is text"),
        _ => {
            let message = format!("is none of the operators {OPERATORS}");
            return Err(mistake(&below, "unknown_field", &message));
        }
    };
    Ok(Filter::At(path.clone(), operator))
}

fn is_path(value: &Json) -> bool {
    matches!(value, Json::String(path) if is_pointer(path))
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

    use serde_json::json;
    use serde_json::value::{RawValue, to_raw_value};

    use super::{Filter, Json};

    fn read(text: &str) -> Json {
        Json::read(&RawValue::from_string(text.to_owned()).unwrap()).unwrap()
    }

    #[test]
    fn conditions_hold_or_not() {
        let data = json!({
            "status": "READY", "total": "120.50", "count": 9_007_199_254_740_993_i64, "tags": ["a", "b"], "none": null,
            "buyer": { "a/b": true }, "lines": [{ "sku": "X-1" }],
        });
        let data = read(&data.to_string());
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
            let admits = Filter::read(&to_raw_value(&filter).unwrap()).unwrap().admits(&data);
            assert_eq!(admits, expected, "{filter}");
        }
    }

    #[test]
    fn what_is_wrong_is_pointed_at() {
        let nested = |depth: usize| {
            (1..depth).fold(json!({ "path": "/a", "eq": 1 }), |inner, _| json!({ "not": inner }))
        };
        let leaf = json!({ "path": "/a", "eq": 1 });
        Filter::read(&to_raw_value(&nested(5)).unwrap()).unwrap();
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
            let mistake = Filter::read(&to_raw_value(&filter).unwrap()).unwrap_err();
            assert_eq!((mistake.pointer.as_str(), mistake.code), (pointer, code), "{filter:.80}");
        }
        assert_eq!(Filter::read(RawValue::NULL).unwrap_err().code, "wrong_type");
        let surrogate = RawValue::from_string(r#"{"path":"/a","eq":"\ud800"}"#.to_owned()).unwrap();
        assert_eq!(Filter::read(&surrogate).unwrap_err().code, "unreadable");
    }

    #[test]
    fn numbers_are_compared_to_the_last_digit() {
        let tiny = format!("0.{}1", "0".repeat(400));
        for (data, filter, expected) in [
            ("9007199254740993", r#""eq":9007199254740992"#, false),
            ("9007199254740993", r#""gt":9007199254740992"#, true),
            ("9007199254740993.0", r#""eq":9007199254740993"#, true),
            ("12345678901234567890123", r#""eq":12345678901234567890123"#, true),
            ("12345678901234567890123", r#""lt":12345678901234567890124"#, true),
            ("0.1", r#""eq":0.1000000000000000055511151231257827"#, false),
            ("1.10", r#""eq":1.1"#, true),
            (r#""1.10""#, r#""eq":1.1"#, true),
            (r#""1.10""#, r#""eq":"1.1""#, false),
            ("[1.10]", r#""eq":[1.1]"#, true),
            (r#"{"a":[1e2]}"#, r#""in":[{"a":[100]}]"#, true),
            ("[1,2]", r#""contains":2.0"#, true),
            (&tiny, r#""gt":0"#, true),
            (r#""1e999999999""#, r#""gt":1"#, true),
            (r#""inf""#, r#""gt":1"#, false),
            (r#""-inf""#, r#""lt":1"#, false),
            (r#""NaN""#, r#""ne":1"#, true),
            (r#""infinity""#, r#""gte":0"#, false),
            (r#""0x10""#, r#""gte":0"#, false),
        ] {
            let filter = RawValue::from_string(format!(r#"{{"path":"",{filter}}}"#)).unwrap();
            assert_eq!(Filter::read(&filter).unwrap().admits(&read(data)), expected, "{data} {filter}");
        }
    }
}
