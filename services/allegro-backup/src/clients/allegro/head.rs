//! What an answer begins with that cannot be read to its end: the id of its first order or event, by which it can be
//! asked for, or passed over.

use std::fmt;

use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Lists of Allegro's.
const LISTS: [&str; 2] = ["checkoutForms", "events"];

/// The id of the first thing in the list that `body` begins with.
pub(super) fn first_id(body: &[u8]) -> Option<String> {
    let mut found = None;
    // It ends in an error where it is cut off, or at once when the id is found.
    let _ended = Looking { level: Level::Answer, found: &mut found }
        .deserialize(&mut serde_json::Deserializer::from_slice(body));
    found
}

/// How deep in the answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Answer,
    List,
    Thing,
}

struct Looking<'a> {
    level: Level,
    found: &'a mut Option<String>,
}

impl<'de> DeserializeSeed<'de> for Looking<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Looking<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of Allegro's")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if self.level == Level::Answer && LISTS.contains(&key.as_str()) {
                return map.next_value_seed(Looking { level: Level::List, found: self.found });
            }
            if self.level == Level::Thing && key == "id" {
                *self.found = String::deserialize(map.next_value::<serde_json::Value>()?).ok();
                return Err(A::Error::custom("found"));
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        if self.level == Level::List {
            list.next_element_seed(Looking { level: Level::Thing, found: self.found })?;
        }
        Err(A::Error::custom("no other is the first"))
    }
}

#[cfg(test)]
mod tests {
    use super::first_id;

    #[test]
    fn the_first_id_is_found_in_what_is_cut_off_and_no_other() {
        for (body, expected) in [
            (r#"{"checkoutForms":[{"id":"a","buyer":{"login":"x"#, Some("a")),
            (
                r#"{"count":1,"checkoutForms":[{"buyer":{"id":"7","no":[1]},"id":"a","messageToSeller":"x"#,
                Some("a"),
            ),
            (r#"{"events":[{"id":"1700000000000001","order":{"#, Some("1700000000000001")),
            (r#"{"checkoutForms":[{"buyer":{"id":"7"},"messageToSeller":"x"#, None),
            (r#"{"checkoutForms":[{"status":"BOUGHT"},{"id":"second"}]}"#, None),
            (r#"{"checkoutForms":[],"totalCount":3"#, None),
            (r#"{"id":"an order"}"#, None),
            (r#"{"checkoutForms":[{"id":7}]}"#, None),
            ("<html>", None),
        ] {
            assert_eq!(first_id(body.as_bytes()).as_deref(), expected, "{body}");
        }
    }
}
