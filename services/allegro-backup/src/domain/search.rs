//! The words an order is found by.
//!
//! Invariant: what is stored and what is asked for are folded by the same code, so that neither the database's locale
//! nor its dictionaries decide what is found: case and accents do not count ("zurawia" finds "Żurawia"), in any script.

use std::collections::BTreeSet;

use serde_json_borrow::Value;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Where an order says who bought, and where it goes.
const PLACES: [&[&str]; 6] = [
    &["buyer"],
    &["delivery", "address"],
    &["delivery", "pickupPoint"],
    &["invoice", "address"],
    &["messageToSeller"],
    &["note"],
];
/// Where an offer says what it is; the rest are ids nobody looks for.
const OF_AN_OFFER: [&[&str]; 3] = [&["id"], &["name"], SKU];
/// Where its SKU stands.
const SKU: &[&str] = &["external", "id"];
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

/// A text without case and accents.
fn folded(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.nfkd()
        .flat_map(char::to_lowercase)
        .filter(|it| !is_combining_mark(*it))
        // The one Polish letter whose stroke is not an accent to Unicode.
        .map(|it| if it == 'ł' { 'l' } else { it })
        .collect()
}

/// The words of a folded text.
fn words(folded: &str) -> impl Iterator<Item = &str> {
    folded.split(|it: char| !it.is_alphanumeric()).filter(|word| !word.is_empty()).map(shortened)
}

/// A word, or its beginning.
fn shortened(word: &str) -> &str {
    word.char_indices().nth(LONGEST).and_then(|(end, _)| word.get(..end)).unwrap_or(word)
}

/// Every text inside a value.
fn collect(value: &Value<'_>, found: &mut BTreeSet<String>) {
    match value {
        Value::Str(text) => {
            let space = MOST.saturating_sub(found.len());
            found.extend(words(&folded(text)).take(space).map(str::to_owned));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Object(fields) => fields.values().for_each(|field| collect(field, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Allegro's id of an order, a UUID, as one word: its five parts would be the rarest words of all, each dear to keep.
fn one_word(id: &str) -> String {
    let letters: String = folded(id).chars().filter(|it| it.is_alphanumeric()).collect();
    shortened(&letters).to_owned()
}

/// Whether something may be a UUID, or its beginning beyond the first hyphen.
fn is_like_uuid(text: &str) -> bool {
    let is_hex = |text: &str| text.bytes().all(|it| it.is_ascii_hexdigit() || it == b'-');
    text.split_once('-').is_some_and(|(first, rest)| first.len() == 8 && is_hex(first) && is_hex(rest))
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

/// The words of an order as Allegro sent it, parted by spaces: its id, buyer, addresses, messages, offers, and the SKUs of
/// its lines once more as they are written. Among the words and not only in a table of lines: the index knows how rare each
/// one is, so that a page is found without looking at everything.
pub(crate) fn words_of(order: &Value<'_>) -> String {
    let (mut found, mut skus) = (BTreeSet::new(), BTreeSet::new());
    found.extend(at(order, &["id"]).and_then(Value::as_str).map(one_word));
    for place in PLACES.iter().filter_map(|path| at(order, path)) {
        collect(place, &mut found);
    }
    let lines = at(order, &["lineItems"]).and_then(Value::as_array).unwrap_or_default();
    for offer in lines.iter().filter_map(|line| at(line, &["offer"])) {
        skus.extend(at(offer, SKU).and_then(Value::as_str).map(exact));
        for place in OF_AN_OFFER.iter().filter_map(|path| at(offer, path)) {
            collect(place, &mut found);
        }
    }
    skus.into_iter().chain(found).collect::<Vec<_>>().join(" ")
}

/// What stands there.
fn at<'a>(value: &'a Value<'a>, path: &[&str]) -> Option<&'a Value<'a>> {
    path.iter().try_fold(value, |value, name| value.as_object()?.get(name))
}

/// What is looked for, as a `tsquery`: every word, the longer ones by their beginning. `None` when there is no letter
/// or digit in it.
pub(crate) fn query(text: &str) -> Option<String> {
    let text = folded(text);
    let parts = text.split_whitespace().map(|part| part.trim_matches(|it: char| !it.is_alphanumeric()));
    let terms = parts.flat_map(|part| {
        let terms = words(part).take(MOST_ASKED).map(term);
        if is_like_uuid(part) {
            vec![format!("({} | ({}))", term(&one_word(part)), terms.collect::<Vec<_>>().join(" & "))]
        } else {
            terms.collect()
        }
    });
    let terms: Vec<String> = terms.take(MOST_ASKED).collect();
    (!terms.is_empty()).then(|| terms.join(" & "))
}

/// Letters and digits only: nothing in it could end the quotes.
fn term(word: &str) -> String {
    if word.chars().count() < PREFIX_FROM { format!("'{word}'") } else { format!("'{word}':*") }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{query, query_of_sku};

    fn words_of(order: &Value) -> String {
        super::words_of(&order.into())
    }

    #[test]
    fn case_accents_and_punctuation_do_not_count_in_any_script() {
        let order = json!({
            "id": "29738e61-7f6a-11e8-ac45-09db60ede9d6", "status": "BOUGHT",
            "buyer": { "login": "Zażółć_Gęślą", "email": "jan.kowalski+a@wp.pl", "guest": false },
            "lineItems": [{ "offer": {
                "id": "70", "name": "Свеча «Ёлка» 10 см", "external": { "id": "SKU/ŁÓDŹ-7" },
                "productSet": { "products": [{ "id": "a5b1" }] },
            } }],
            "note": null,
        });
        assert_eq!(
            words_of(&order),
            "=534b552fc581c39344c5b92d37 10 29738e617f6a11e8ac4509db60ede9d6 7 70 a gesla jan kowalski lodz pl sku wp zazolc \
             елка свеча см"
        );
        assert_eq!(query("ŁÓDŹ Ёл, 7").as_deref(), Some("'lodz':* & 'ел' & '7'"));
        assert_eq!(query("zażółć%_' | !:*").as_deref(), Some("'zazolc':*"));
        assert_eq!(query("%_'\\ ()"), None);
        // Perhaps an order's id, perhaps not.
        assert_eq!(
            query("“29738E61-7f” wp").as_deref(),
            Some("('29738e617f':* | ('29738e61':* & '7f')) & 'wp'")
        );
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
