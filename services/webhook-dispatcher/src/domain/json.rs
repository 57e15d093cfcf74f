//! JSON values for filters: numbers keep every digit, and unreadable parts are errors with a reason.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::decimal::Decimal;

/// The deepest nesting of arrays and objects.
const MAX_DEPTH: usize = 128;

/// A JSON value. The last of several members with the same name counts.
#[derive(Debug, Clone)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    /// In its written form.
    Number(String),
    String(String),
    Array(Vec<Json>),
    Object(BTreeMap<String, Json>),
}

/// The reason for which filters cannot read valid JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("more than 128 arrays and objects are nested in each other")]
    Depth,
    #[error("a text is not Unicode: it holds half of a surrogate pair")]
    Text,
    #[error("a number is beyond the range of a double or longer than 1024 characters")]
    Number,
    #[error("it is not valid JSON")]
    Syntax,
}

impl Json {
    /// Reads a whole value.
    ///
    /// # Errors
    /// The first part that cannot be read.
    pub(crate) fn read(text: &RawValue) -> Result<Self, Unreadable> {
        let mut reader = Reader { rest: text.get() };
        let value = reader.value(MAX_DEPTH)?;
        reader.skip_space();
        if reader.rest.is_empty() { Ok(value) } else { Err(Unreadable::Syntax) }
    }

    /// The value at a JSON pointer (RFC 6901).
    pub(crate) fn pointer(&self, pointer: &str) -> Option<&Self> {
        pointer.split('/').skip(1).try_fold(self, |value, token| {
            let token = token.replace("~1", "/").replace("~0", "~");
            match value {
                Self::Object(members) => members.get(&token),
                Self::Array(items) => items.get(index(&token)?),
                _ => None,
            }
        })
    }
}

/// Writes compact JSON, with the members of objects ordered by name.
impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Number(text) => f.write_str(text),
            Self::String(text) => f.write_str(&quoted(text)?),
            Self::Array(items) => {
                for (place, item) in items.iter().enumerate() {
                    f.write_str(if place == 0 { "[" } else { "," })?;
                    write!(f, "{item}")?;
                }
                f.write_str(if items.is_empty() { "[]" } else { "]" })
            }
            Self::Object(members) => {
                for (place, (name, value)) in members.iter().enumerate() {
                    f.write_str(if place == 0 { "{" } else { "," })?;
                    write!(f, "{}:{value}", quoted(name)?)?;
                }
                f.write_str(if members.is_empty() { "{}" } else { "}" })
            }
        }
    }
}

fn quoted(text: &str) -> Result<String, fmt::Error> {
    serde_json::to_string(text).map_err(|_infallible| fmt::Error)
}

/// An array index (RFC 6901): `0`, or digits that do not begin with 0.
fn index(token: &str) -> Option<usize> {
    let is_canonical = token == "0" || !token.starts_with(['0', '+']);
    token.parse().ok().filter(|_| is_canonical)
}

/// Reads text that is known to be valid JSON from its beginning to its end.
struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\n', '\r', '\t']);
    }

    /// Reads `text` if it comes next; true if it did.
    fn eat(&mut self, text: &str) -> bool {
        let rest = self.rest.strip_prefix(text);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// Reads a value in which arrays and objects are nested at most `depth` deep.
    fn value(&mut self, depth: usize) -> Result<Json, Unreadable> {
        self.skip_space();
        let below = || depth.checked_sub(1).ok_or(Unreadable::Depth);
        match self.rest.as_bytes().first() {
            Some(b'{') => self.members(below()?),
            Some(b'[') => self.items(below()?),
            Some(b'"') => self.text().map(Json::String),
            Some(b't') if self.eat("true") => Ok(Json::Bool(true)),
            Some(b'f') if self.eat("false") => Ok(Json::Bool(false)),
            Some(b'n') if self.eat("null") => Ok(Json::Null),
            _ => self.number(),
        }
    }

    fn members(&mut self, depth: usize) -> Result<Json, Unreadable> {
        let mut members = BTreeMap::new();
        self.eat("{");
        self.skip_space();
        while !self.eat("}") {
            let name = self.text()?;
            self.skip_space();
            self.eat(":");
            members.insert(name, self.value(depth)?);
            self.skip_space();
            self.eat(",");
            self.skip_space();
        }
        Ok(Json::Object(members))
    }

    fn items(&mut self, depth: usize) -> Result<Json, Unreadable> {
        let mut items = Vec::new();
        self.eat("[");
        self.skip_space();
        while !self.eat("]") {
            items.push(self.value(depth)?);
            self.skip_space();
            self.eat(",");
            self.skip_space();
        }
        Ok(Json::Array(items))
    }

    fn text(&mut self) -> Result<String, Unreadable> {
        let mut is_escaped = false;
        let inside = self.rest.strip_prefix('"').ok_or(Unreadable::Syntax)?;
        let length = inside.bytes().position(|byte| {
            let ends = byte == b'"' && !is_escaped;
            is_escaped = byte == b'\\' && !is_escaped;
            ends
        });
        let (literal, rest) = self.rest.split_at(length.ok_or(Unreadable::Syntax)? + 2);
        self.rest = rest;
        serde_json::from_str(literal).map_err(|_surrogate| Unreadable::Text)
    }

    fn number(&mut self) -> Result<Json, Unreadable> {
        let is_part = |c: char| matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E');
        let length = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at(length);
        self.rest = rest;
        let value: f64 = text.parse().map_err(|_malformed| Unreadable::Syntax)?;
        if value.is_finite() && Decimal::read(text).is_some() {
            Ok(Json::Number(text.to_owned()))
        } else {
            Err(Unreadable::Number)
        }
    }
}

/// The user and the subscription that an event's data name. The rest of the data need not be readable.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// The user that the event concerns.
    pub(crate) user_id: Option<String>,
    /// The subscription that the event concerns.
    pub(crate) subscription_id: Option<String>,
}

impl Names {
    /// Reads the members of an object; anything else names nothing.
    pub(crate) fn read(data: &RawValue) -> Self {
        serde_json::Deserializer::from_str(data.get()).deserialize_map(NamesVisitor).unwrap_or_default()
    }
}

struct NamesVisitor;

impl<'de> Visitor<'de> for NamesVisitor {
    type Value = Names;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Names, A::Error> {
        let mut names = Names::default();
        while let Some((name, value)) = members.next_entry::<&RawValue, &RawValue>()? {
            let found = match serde_json::from_str::<String>(name.get()).as_deref() {
                Ok("user_id") => &mut names.user_id,
                Ok("subscription_id") => &mut names.subscription_id,
                _ => continue,
            };
            *found = serde_json::from_str(value.get()).ok();
        }
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use serde_json::value::RawValue;

    use super::{Json, Names, Unreadable};

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn values_are_written_as_they_were_read() {
        let text = r#" { "b" : [ 1.10 , -0 , 12345678901234567890123, {}, [] ] , "a\"\\" : "\u00f3\n" , "n":null,
            "t":true, "f":false, "b": [1e2] } "#;
        let read = Json::read(&raw(text)).unwrap();
        assert_eq!(read.to_string(), r#"{"a\"\\":"ó\n","b":[1e2],"f":false,"n":null,"t":true}"#);
        let list = Json::read(&raw(r"[1.10, -0, 12345678901234567890123, {}, []]")).unwrap();
        assert_eq!(list.to_string(), "[1.10,-0,12345678901234567890123,{},[]]");
    }

    #[test]
    fn pointers_lead_into_arrays_and_objects() {
        let read = Json::read(&raw(r#"{"a/b":{"~":[1,{"":2}]}}"#)).unwrap();
        for (pointer, expected) in [
            ("/a~1b/~0/0", Some("1")),
            ("/a~1b/~0/1/", Some("2")),
            ("/a~1b/~0/01", None),
            ("/a~1b/~0/+1", None),
            ("/a~1b/~0/2", None),
            ("/a~1b/~0/0/x", None),
            ("/c", None),
        ] {
            assert_eq!(read.pointer(pointer).map(ToString::to_string).as_deref(), expected, "{pointer}");
        }
        assert!(matches!(read.pointer(""), Some(Json::Object(_))));
    }

    #[test]
    fn unreadable_json_has_a_reason() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        Json::read(&raw(&nested(128))).unwrap();
        Json::read(&raw("1e308")).unwrap();
        for (text, expected) in [
            (nested(129).as_str(), Unreadable::Depth),
            (nested(100_000).as_str(), Unreadable::Depth),
            (r#"{"a":"\ud800"}"#, Unreadable::Text),
            (r#"{"\udc00":1}"#, Unreadable::Text),
            ("[1e309]", Unreadable::Number),
            ("-1e999999999", Unreadable::Number),
            ("1e-99999999999999999999", Unreadable::Number),
            (&format!("0.{}", "0".repeat(1023)), Unreadable::Number),
        ] {
            assert_eq!(Json::read(&raw(text)).unwrap_err(), expected, "{text:.40}");
        }
    }

    #[test]
    fn names_are_read_beside_unreadable_data() {
        let deep = "[".repeat(1000) + &"]".repeat(1000);
        for (text, expected) in [
            (r#"{"user_id":"anna"}"#.to_owned(), Some("anna")),
            (format!(r#"{{"x":{deep},"\ud800":1e999,"user\u005fid":"anna","y":"\udc00"}}"#), Some("anna")),
            (r#"{"user_id":"anna","user_id":"jan"}"#.to_owned(), Some("jan")),
            (r#"{"user_id":7}"#.to_owned(), None),
            (r#"{"user_id":"\ud800"}"#.to_owned(), None),
            (r#"["user_id"]"#.to_owned(), None),
        ] {
            assert_eq!(Names::read(&raw(&text)).user_id.as_deref(), expected, "{text:.60}");
        }
    }
}
