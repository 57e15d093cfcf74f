//! Compares decimal numbers of any length exactly.

use std::cmp::Ordering;

/// Characters of a number, at most: each comparison costs time in proportion to them.
const LONGEST: usize = 1024;

/// A decimal number in its written form, for example `-120.50` or `1.5e3`. Its value is ±0.d₁d₂d₃… × 10^`magnitude`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Decimal<'a> {
    is_negative: bool,
    whole: &'a str,
    fraction: &'a str,
    magnitude: i64,
}

impl<'a> Decimal<'a> {
    /// Reads a JSON number or decimal text; a sign, leading zeros and a bare point are
    /// accepted. `inf`, `NaN` and hexadecimal forms are no numbers, nor is an exponent beyond 64 bits or text longer than
    /// 1024 characters.
    pub(crate) fn read(text: &'a str) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let (is_negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse().ok()?),
            None => (unsigned, 0_i64),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_digits(whole) || !is_digits(fraction) || whole.len() + fraction.len() == 0 {
            return None;
        }
        let zeros = whole.bytes().chain(fraction.bytes()).take_while(|digit| *digit == b'0').count();
        let shift = i64::try_from(whole.len()).ok()? - i64::try_from(zeros).ok()?;
        Some(Self { is_negative, whole, fraction, magnitude: exponent.checked_add(shift)? })
    }

    /// The digits from the first one that is not 0.
    fn digits(&self) -> impl Iterator<Item = u8> + use<'a> {
        self.whole.bytes().chain(self.fraction.bytes()).skip_while(|digit| *digit == b'0')
    }

    fn signum(&self) -> i8 {
        match (self.digits().next(), self.is_negative) {
            (None, _) => 0,
            (Some(_), true) => -1,
            (Some(_), false) => 1,
        }
    }
}

impl Ord for Decimal<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let sign = self.signum();
        let by_size = || match self.magnitude.cmp(&other.magnitude) {
            Ordering::Equal => compare_digits(self.digits(), other.digits()),
            unequal => unequal,
        };
        sign.cmp(&other.signum()).then_with(|| match sign {
            0 => Ordering::Equal,
            1 => by_size(),
            _ => by_size().reverse(),
        })
    }
}

impl PartialOrd for Decimal<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Decimal<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Decimal<'_> {}

/// Compares digits behind a decimal point; missing digits are zeros.
fn compare_digits(mut left: impl Iterator<Item = u8>, mut right: impl Iterator<Item = u8>) -> Ordering {
    loop {
        match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (left, right) => match left.unwrap_or(b'0').cmp(&right.unwrap_or(b'0')) {
                Ordering::Equal => {}
                unequal => return unequal,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::cmp::Ordering;

    use super::Decimal;

    #[test]
    fn numbers_compare_by_their_exact_value() {
        let zeros = "0".repeat(400);
        for (left, right, expected) in [
            ("9007199254740993", "9007199254740992", Ordering::Greater),
            ("12345678901234567890123", "12345678901234567890124", Ordering::Less),
            ("0.1", "0.1000000000000000055511151231257827", Ordering::Less),
            ("1.10", "1.1", Ordering::Equal),
            ("120.50", "120.5", Ordering::Equal),
            ("1e2", "100.00", Ordering::Equal),
            ("12.5e-1", "1.25", Ordering::Equal),
            ("0.001", "1E-3", Ordering::Equal),
            ("-5", "-4.999", Ordering::Less),
            ("-0", "0.0e7", Ordering::Equal),
            ("-1", "0", Ordering::Less),
            ("007", "7", Ordering::Equal),
            ("+7", "7", Ordering::Equal),
            ("0.9", "1", Ordering::Less),
            ("99", "100", Ordering::Less),
            ("1e999999999", "9e999999998", Ordering::Greater),
            ("1e-999999999", "0", Ordering::Greater),
            (&format!("1{zeros}"), "1e400", Ordering::Equal),
            (&format!("1{zeros}1"), &format!("1{zeros}2"), Ordering::Less),
        ] {
            let (left_read, right_read) = (Decimal::read(left).unwrap(), Decimal::read(right).unwrap());
            assert_eq!(left_read.cmp(&right_read), expected, "{left} {right}");
            assert_eq!(right_read.cmp(&left_read), expected.reverse(), "{right} {left}");
        }
    }

    #[test]
    fn other_texts_are_not_read() {
        for text in
            ["", ".", "-", "+", "e5", "1e", "inf", "-inf", "NaN", "infinity", "0x10", "1 ", " 1", "1_000"]
        {
            assert!(Decimal::read(text).is_none(), "{text:?}");
        }
        for text in ["1.2.3", "--1", "1e1.5", "1,5", "٣", "1e99999999999999999999", "-9e9223372036854775807"]
        {
            assert!(Decimal::read(text).is_none(), "{text:?}");
        }
        assert!(Decimal::read(&"1".repeat(1024)).is_some());
        assert!(Decimal::read(&"1".repeat(1025)).is_none());
    }
}
