//! The words an order is found by.
//!
//! Invariant: what is stored and what is asked for are folded by the same code, so that neither the database's locale
//! nor its dictionaries decide what is found: case and accents do not count ("zurawia" finds "Żurawia"), in any script.

use std::collections::BTreeSet;

use serde_json::Value;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Where an order says who bought what, and where it goes.
const PLACES: [&str; 7] = [
    "/id",
    "/buyer",
    "/delivery/address",
    "/delivery/pickupPoint",
    "/invoice/address",
    "/messageToSeller",
    "/note",
];
/// A word longer than this is found by its beginning. Postgres would refuse one of 2 KiB.
const LONGEST: usize = 40;
/// A SKU of more bytes is known by these; Allegro's have a hundred characters.
const LONGEST_SKU: usize = 400;
/// Words of one order, at most: a buyer may write a novel, and the index must not keep it.
const MOST: usize = 400;
/// From this length on a word that is asked for is found by its beginning; shorter ones would find half of everything.
const PREFIX_FROM: usize = 3;
/// Words that are looked for at once, at most.
const MOST_ASKED: usize = 12;

/// The words in a text, folded.
fn words(text: &str) -> Vec<String> {
    let folded: String = text
        .nfkd()
        .flat_map(char::to_lowercase)
        .filter(|it| !is_combining_mark(*it))
        // The one Polish letter whose stroke is not an accent to Unicode.
        .map(|it| if it == 'ł' { 'l' } else { it })
        .collect();
    let parts = folded.split(|it: char| !it.is_alphanumeric()).filter(|word| !word.is_empty());
    parts.map(|word| word.chars().take(LONGEST).collect()).collect()
}

/// Every text inside a value.
fn collect(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => found.extend(words(text).into_iter().take(MOST.saturating_sub(found.len()))),
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Object(fields) => fields.values().for_each(|field| collect(field, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A SKU as it stands among the words: written so that no word is like it, and none of its signs means anything there.
fn exact(sku: &str) -> String {
    let bytes = sku.as_bytes();
    format!("={}", hex::encode(bytes.get(..LONGEST_SKU).unwrap_or(bytes)))
}

/// What finds orders with a line of this SKU, written exactly so, as a `tsquery`.
pub(crate) fn query_of_sku(sku: &str) -> String {
    format!("'{}'", exact(sku))
}

/// The words of an order as Allegro sent it, parted by spaces: buyer, addresses, messages, offers, and the SKUs of its
/// lines once more as they are written. Among the words and not only in a table of lines: the index knows how rare each
/// one is, so that a page is found without looking at everything.
pub(crate) fn words_of(order: &Value) -> String {
    let mut found = BTreeSet::new();
    let places = PLACES.iter().filter_map(|place| order.pointer(place));
    let lines = order.get("lineItems").and_then(Value::as_array).into_iter().flatten();
    let skus: BTreeSet<String> = lines
        .clone()
        .filter_map(|line| line.pointer("/offer/external/id").and_then(Value::as_str).map(exact))
        .collect();
    places.chain(lines.filter_map(|line| line.get("offer"))).for_each(|value| collect(value, &mut found));
    skus.into_iter().chain(found).collect::<Vec<_>>().join(" ")
}

/// What is looked for, as a `tsquery`: every word, the longer ones by their beginning. `None` when there is no letter
/// or digit in it.
pub(crate) fn query(text: &str) -> Option<String> {
    let terms: Vec<String> = words(text)
        .into_iter()
        .take(MOST_ASKED)
        // Letters and digits only: nothing in it could end the quotes.
        .map(
            |word| {
                if word.chars().count() < PREFIX_FROM { format!("'{word}'") } else { format!("'{word}':*") }
            },
        )
        .collect();
    (!terms.is_empty()).then(|| terms.join(" & "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{query, query_of_sku, words_of};

    #[test]
    fn case_accents_and_punctuation_do_not_count_in_any_script() {
        let order = json!({
            "id": "29738e61-7f6a", "status": "BOUGHT",
            "buyer": { "login": "Zażółć_Gęślą", "email": "jan.kowalski+a@wp.pl", "guest": false },
            "lineItems": [{ "offer": { "name": "Свеча «Ёлка» 10 см", "external": { "id": "SKU/ŁÓDŹ-7" } } }],
            "note": null,
        });
        assert_eq!(
            words_of(&order),
            "=534b552fc581c39344c5b92d37 10 29738e61 7 7f6a a gesla jan kowalski lodz pl sku wp zazolc елка свеча см"
        );
        assert_eq!(query("ŁÓDŹ Ёл, 7").as_deref(), Some("'lodz':* & 'ел' & '7'"));
        assert_eq!(query("zażółć%_' | !:*").as_deref(), Some("'zazolc':*"));
        assert_eq!(query("%_'\\ ()"), None);
        assert_eq!(query_of_sku("SKU/ŁÓDŹ-7"), "'=534b552fc581c39344c5b92d37'");
    }

    #[test]
    fn what_an_order_is_found_by_is_bounded() {
        let novel: Vec<String> = (0..10_000).map(|number| format!("word{number}")).collect();
        let order = json!({ "messageToSeller": novel.join(" "), "note": { "text": "x".repeat(10_000) } });
        let found = words_of(&order);
        assert_eq!(found.split(' ').count(), 400);
        let long = words_of(&json!({ "note": { "text": "ж".repeat(10_000) } }));
        assert_eq!(long.chars().count(), 40);
    }
}
