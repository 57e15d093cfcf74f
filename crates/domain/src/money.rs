//! Money: an integer of minor units and a currency, never a float.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An ISO 4217 currency code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency([u8; 3]);

/// The reason why a text is not an amount of money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not three upper-case letters.
    #[error("a currency is three upper-case letters (ISO 4217)")]
    Currency,
    /// Not a decimal number.
    #[error("an amount is a decimal number such as 12.34")]
    NotDecimal,
    /// More digits after the point than the currency has.
    #[error("an amount has at most {0} digits after the point in this currency")]
    TooPrecise(u32),
    /// Does not fit 63 bits of minor units.
    #[error("the amount is too large")]
    TooLarge,
}

impl Currency {
    /// The złoty.
    pub const PLN: Self = Self(*b"PLN");

    /// The three letters.
    pub fn as_str(&self) -> &str {
        // Only ASCII letters are accepted.
        str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Digits after the point (ISO 4217 minor units). Allegro trades in PLN, CZK, EUR and HUF, and has two digits for
    /// HUF, as ISO lists it.
    const fn digits(self) -> u32 {
        match &self.0 {
            b"JPY" | b"KRW" | b"CLP" | b"ISK" | b"VND" => 0,
            b"BHD" | b"KWD" | b"OMR" | b"TND" | b"JOD" => 3,
            _ => 2,
        }
    }
}

impl FromStr for Currency {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match <[u8; 3]>::try_from(text.as_bytes()) {
            Ok(code) if code.iter().all(u8::is_ascii_uppercase) => Ok(Self(code)),
            _ => Err(MoneyError::Currency),
        }
    }
}

impl TryFrom<String> for Currency {
    type Error = MoneyError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> Self {
        currency.as_str().to_owned()
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An amount in minor units (grosz, cent) of a currency. In JSON: `{"amount": "12.34", "currency": "PLN"}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "MoneyText", into = "MoneyText")]
pub struct Money {
    minor: i64,
    currency: Currency,
}

/// The JSON form of money, here and at Allegro.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = Money)]
pub struct MoneyText {
    /// A decimal number with a point before the minor units.
    #[schema(example = "12.34")]
    amount: String,
    /// ISO 4217 code.
    #[schema(example = "PLN")]
    currency: String,
}

impl Money {
    /// An amount in minor units.
    pub const fn from_minor(minor: i64, currency: Currency) -> Self {
        Self { minor, currency }
    }

    /// Parses a decimal amount such as `"123.4"`.
    ///
    /// # Errors
    /// The text is not a decimal number, is more precise than the currency, or is too large.
    pub fn parse(amount: &str, currency: Currency) -> Result<Self, MoneyError> {
        let (negative, digits) = match amount.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, amount),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) || digits.ends_with('.') {
            return Err(MoneyError::NotDecimal);
        }
        let places = currency.digits();
        let significant = fraction.trim_end_matches('0');
        let missing = usize::try_from(places)
            .ok()
            .and_then(|p| p.checked_sub(significant.len()))
            .ok_or(MoneyError::TooPrecise(places))?;
        let text = format!("{whole}{significant}{}", "0".repeat(missing));
        let minor: i64 = text.parse().map_err(|_too_long| MoneyError::TooLarge)?;
        Ok(Self { minor: if negative { -minor } else { minor }, currency })
    }

    /// The amount in minor units.
    pub const fn minor(self) -> i64 {
        self.minor
    }

    /// The currency.
    pub const fn currency(self) -> Currency {
        self.currency
    }
}

impl utoipa::PartialSchema for Money {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        MoneyText::schema()
    }
}

impl utoipa::ToSchema for Money {
    fn name() -> std::borrow::Cow<'static, str> {
        "Money".into()
    }
}

impl fmt::Display for Money {
    /// The decimal amount without the currency, with all minor digits: `12.30`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = self.currency.digits();
        let unit = 10_u64.pow(places);
        let sign = if self.minor < 0 { "-" } else { "" };
        let size = self.minor.unsigned_abs();
        let whole = size / unit;
        if places == 0 {
            return write!(f, "{sign}{whole}");
        }
        let width = usize::try_from(places).unwrap_or_default();
        write!(f, "{sign}{whole}.{:0width$}", size % unit)
    }
}

impl TryFrom<MoneyText> for Money {
    type Error = MoneyError;

    fn try_from(text: MoneyText) -> Result<Self, Self::Error> {
        Self::parse(&text.amount, text.currency.parse()?)
    }
}

impl From<Money> for MoneyText {
    fn from(money: Money) -> Self {
        Self { amount: money.to_string(), currency: money.currency.into() }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use proptest::prelude::*;

    use super::{Currency, Money, MoneyError};

    #[test]
    fn decimal_texts_become_minor_units() {
        for (text, minor) in [
            ("0", 0),
            ("0.01", 1),
            ("12.3", 1230),
            ("12.30", 1230),
            ("12.300", 1230),
            ("-0.05", -5),
            ("7", 700),
        ] {
            assert_eq!(Money::parse(text, Currency::PLN).map(Money::minor), Ok(minor), "{text}");
        }
        let huf: Currency = "JPY".parse().unwrap();
        assert_eq!(Money::parse("1200", huf).map(|m| m.to_string()), Ok("1200".to_owned()));
    }

    #[test]
    fn an_invalid_amount_is_rejected() {
        for text in ["", "-", ".", "1.", ".5", "1,20", "1e3", "+1", "0x1", " 1", "NaN", "--1", "1.2.3", "١"]
        {
            assert_eq!(Money::parse(text, Currency::PLN), Err(MoneyError::NotDecimal), "{text:?}");
        }
        assert_eq!(Money::parse("0.001", Currency::PLN), Err(MoneyError::TooPrecise(2)));
        assert_eq!(Money::parse("99999999999999999999", Currency::PLN), Err(MoneyError::TooLarge));
        assert!("pln".parse::<Currency>().is_err() && "ZŁ".parse::<Currency>().is_err());
    }

    proptest! {
        #[test]
        fn a_written_amount_is_read_back(minor in -i64::MAX..i64::MAX) {
            let money = Money::from_minor(minor, Currency::PLN);
            let json = serde_json::to_string(&money).unwrap();
            prop_assert_eq!(serde_json::from_str::<Money>(&json).unwrap(), money);
        }
    }
}
