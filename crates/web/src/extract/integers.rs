//! Integers as JSON Schema defines them: any number with a zero fraction (`46`, `46.0`, `4.6e1`).

use std::fmt;

use serde::Deserialize;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, Unexpected, Visitor,
};
use serde_json::Value;
use serde_json::value::RawValue;

/// A deserializer of JSON whose integer fields accept every number with a zero fraction. The literal is parsed exactly,
/// never as a double. Other values are unchanged. The same type wraps the nested visitors, seeds and accesses. The
/// content of enum variants is not wrapped.
pub(super) struct Integers<T>(pub(super) T);

macro_rules! deserialize {
    ($($method:ident($($argument:ident: $type:ty)?))+) => {$(
        fn $method<V: Visitor<'de>>(self, $($argument: $type,)? visitor: V) -> Result<V::Value, Self::Error> {
            self.0.$method($($argument,)? Integers(visitor))
        }
    )+};
}

macro_rules! deserialize_integer {
    ($($method:ident)+) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
            integer(self.0, visitor)
        }
    )+};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Integers<D> {
    type Error = D::Error;

    deserialize_integer! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
    }

    deserialize! {
        deserialize_any() deserialize_bool() deserialize_f32() deserialize_f64() deserialize_char() deserialize_str()
        deserialize_string() deserialize_bytes() deserialize_byte_buf() deserialize_option() deserialize_unit()
        deserialize_unit_struct(name: &'static str) deserialize_newtype_struct(name: &'static str) deserialize_seq()
        deserialize_tuple(length: usize) deserialize_map() deserialize_identifier() deserialize_ignored_any()
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.0.deserialize_tuple_struct(name, length, Integers(visitor))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.0.deserialize_struct(name, fields, ObjectOnly(visitor))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.0.deserialize_enum(name, variants, Integers(visitor))
    }
}

/// Deserializes a struct from an object only. Serde also accepts an array, which no API document describes.
struct ObjectOnly<V>(V);

impl<'de, V: Visitor<'de>> Visitor<'de> for ObjectOnly<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(Integers(fields))
    }
}

macro_rules! visit {
    ($($method:ident($type:ty))+) => {$(
        fn $method<E: Error>(self, value: $type) -> Result<V::Value, E> {
            self.0.$method(value)
        }
    )+};
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Integers<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    visit! {
        visit_bool(bool) visit_i64(i64) visit_u64(u64) visit_f64(f64) visit_str(&str) visit_borrowed_str(&'de str)
        visit_string(String) visit_bytes(&[u8]) visit_borrowed_bytes(&'de [u8]) visit_byte_buf(Vec<u8>)
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_none()
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.0.visit_some(Integers(inner))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.0.visit_newtype_struct(Integers(inner))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<V::Value, A::Error> {
        self.0.visit_seq(Integers(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(Integers(fields))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, variant: A) -> Result<V::Value, A::Error> {
        self.0.visit_enum(variant)
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Integers<A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.0.next_element_seed(Integers(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Integers<A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.0.next_key_seed(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.0.next_value_seed(Integers(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Integers<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(Integers(inner))
    }
}

/// A JSON literal, parsed as an integer if possible.
#[derive(Debug, PartialEq, Eq)]
enum Literal {
    Integer(i128),
    /// An integer beyond `i128`.
    TooLarge,
    Other,
}

fn integer<'de, D: Deserializer<'de>, V: Visitor<'de>>(inner: D, visitor: V) -> Result<V::Value, D::Error> {
    let literal = Box::<RawValue>::deserialize(inner)?;
    let too_large = Unexpected::Other("integer out of range");
    match read(literal.get()) {
        Literal::Integer(number) => {
            if let Ok(number) = u64::try_from(number) {
                visitor.visit_u64(number)
            } else if let Ok(number) = i64::try_from(number) {
                visitor.visit_i64(number)
            } else {
                Err(D::Error::invalid_value(too_large, &visitor))
            }
        }
        Literal::TooLarge => Err(D::Error::invalid_value(too_large, &visitor)),
        Literal::Other => {
            let value: Value = serde_json::from_str(literal.get()).map_err(D::Error::custom)?;
            value.deserialize_any(visitor).map_err(D::Error::custom)
        }
    }
}

/// Parses a literal, which must be well-formed JSON.
fn read(literal: &str) -> Literal {
    let unsigned = literal.trim_start_matches('-');
    if !unsigned.starts_with(|first: char| first.is_ascii_digit()) {
        return Literal::Other;
    }
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let without_zeros = digits.trim_end_matches('0');
    let significant = without_zeros.trim_start_matches('0');
    if significant.is_empty() {
        return Literal::Integer(0);
    }
    let furthest = if exponent.starts_with('-') { i64::MIN } else { i64::MAX };
    let length = |text: &str| i64::try_from(text.len()).unwrap_or(i64::MAX);
    // The number is `significant` times ten to this power.
    let power = exponent
        .parse()
        .unwrap_or(furthest)
        .saturating_sub(length(fraction))
        .saturating_add(length(&digits) - length(without_zeros));
    if power < 0 {
        return Literal::Other;
    }
    let scale = u32::try_from(power).ok().and_then(|power| 10_i128.checked_pow(power));
    let number = significant.parse().ok().zip(scale).and_then(|(digits, scale)| scale.checked_mul(digits));
    let sign = if literal.starts_with('-') { -1 } else { 1 };
    number.map_or(Literal::TooLarge, |number| Literal::Integer(sign * number))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_number_with_a_zero_fraction_is_an_integer() {
        for (literal, expected) in [
            ("46", Literal::Integer(46)),
            ("46.0", Literal::Integer(46)),
            ("46.000", Literal::Integer(46)),
            ("1e2", Literal::Integer(100)),
            ("1E+2", Literal::Integer(100)),
            ("1.50e1", Literal::Integer(15)),
            ("120e-1", Literal::Integer(12)),
            ("-46.0", Literal::Integer(-46)),
            ("-0", Literal::Integer(0)),
            ("0e999999999999999999999", Literal::Integer(0)),
            ("9007199254740993.0", Literal::Integer(9_007_199_254_740_993)),
            ("18446744073709551616", Literal::Integer(1 << 64)),
            ("1e999", Literal::TooLarge),
            ("1e999999999999999999999", Literal::TooLarge),
            ("123456789012345678901234567890123456789012", Literal::TooLarge),
            ("46.5", Literal::Other),
            ("46.0000000000000000000000000001", Literal::Other),
            ("9007199254740991.4", Literal::Other),
            ("1e-1", Literal::Other),
            ("1e-999999999999999999999", Literal::Other),
            ("\"46\"", Literal::Other),
            ("null", Literal::Other),
            ("-\u{0}", Literal::Other),
        ] {
            assert_eq!(read(literal), expected, "{literal}");
        }
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Everything {
        small: u8,
        large: i64,
        maybe: Option<u32>,
        list: Vec<i32>,
        by_name: BTreeMap<String, u16>,
        ratio: f64,
        any: Value,
    }

    const EVERYTHING: &str = r#"{"small":46.0,"large":-9007199254740993.0,"maybe":1e2,"list":[1.0,20e-1],
        "by_name":{"a":7.0},"ratio":1.0,"any":[1.0,{"b":2.50}]}"#;

    #[test]
    fn integers_are_found_at_every_depth() {
        let mut json = serde_json::Deserializer::from_str(EVERYTHING);
        let found = Everything::deserialize(Integers(&mut json)).unwrap();
        let expected = Everything {
            small: 46,
            large: -9_007_199_254_740_993,
            maybe: Some(100),
            list: vec![1, 2],
            by_name: BTreeMap::from([("a".to_owned(), 7)]),
            ratio: 1.0,
            any: serde_json::json!([1.0, { "b": 2.5 }]),
        };
        assert_eq!(found, expected);

        let mut tree: Value = serde_json::from_str(EVERYTHING).unwrap();
        *tree.get_mut("large").unwrap() = 5.0.into();
        assert_eq!(Everything::deserialize(Integers(tree)).unwrap(), Everything { large: 5, ..expected });
    }

    #[test]
    fn raw_values_are_unchanged() {
        let mut json = serde_json::Deserializer::from_str(r#"[{"a":1.0,"a":1e2}]"#);
        let found = Vec::<Box<RawValue>>::deserialize(Integers(&mut json)).unwrap();
        assert_eq!(found.first().unwrap().get(), r#"{"a":1.0,"a":1e2}"#);
    }
}
