//! 80-bit extended floating point (64-bit mantissa, 15-bit exponent) as INCRBYFLOAT needs it: read
//! from decimal text, added, and written with 17 decimals, each step rounded to nearest even as
//! the x87 `long double` in Redis does, so that a client sees the same digits.
//! Computed with exact big integers whose size the format's exponent range bounds: at most some
//! 16,500 bits, whatever the text says.
//! Format: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, 4.2.2.

use std::cmp::Ordering;

use bigdecimal::num_bigint::{BigInt, BigUint, Sign};

/// The longest text that is read as a number, as in Redis (`MAX_LONG_DOUBLE_CHARS`).
const TEXT_BYTES_MAX: usize = 5 * 1024 - 1;
const MANTISSA_BITS: i64 = 64;
/// The exponent of the mantissa's lowest bit, for the largest finite and for subnormal numbers.
const EXPONENT_MAX: i64 = 16_383 - (MANTISSA_BITS - 1);
const EXPONENT_MIN: i64 = -16_382 - (MANTISSA_BITS - 1);
/// Beyond these powers of ten every number overflows, or underflows to nothing.
const DECIMAL_EXPONENT_MAX: i64 = 4_950;
const DECIMAL_EXPONENT_MIN: i64 = -5_000;
/// Digits after the point, as Redis prints (`%.17Lf`).
const DECIMALS: u32 = 17;

/// `mantissa * 2^exponent`, or an infinity. Never NaN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extended {
    negative: bool,
    magnitude: Magnitude,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Magnitude {
    Finite { mantissa: u64, exponent: i64 },
    Infinite,
}

/// A number in decimal: `digits * 10^exponent`.
struct Decimal<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent: i64,
}

impl Extended {
    pub const ZERO: Self =
        Self { negative: false, magnitude: Magnitude::Finite { mantissa: 0, exponent: 0 } };
    pub const ONE: Self =
        Self { negative: false, magnitude: Magnitude::Finite { mantissa: 1, exponent: 0 } };
    /// The finite one that is farthest above zero, and farthest below.
    pub const MAX: Self = Self {
        negative: false,
        magnitude: Magnitude::Finite { mantissa: u64::MAX, exponent: EXPONENT_MAX },
    };
    pub const LEAST: Self = Self { negative: true, ..Self::MAX };

    /// Reads all of `text`: an optional sign, digits with an optional point, an optional power of
    /// ten; the same in hexadecimal after `0x`, with a power of two after `p`; or an infinity by
    /// name. None for anything else, for what overflows and for what is too small to be told from
    /// nothing.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.len() > TEXT_BYTES_MAX {
            return None;
        }
        let (negative, unsigned) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            _ => (false, text),
        };
        if unsigned.eq_ignore_ascii_case(b"inf") || unsigned.eq_ignore_ascii_case(b"infinity") {
            return Some(Self { negative, magnitude: Magnitude::Infinite });
        }
        match unsigned {
            [b'0', b'x' | b'X', rest @ ..] => parse_hexadecimal(negative, rest),
            _ => split_decimal(negative, unsigned)?.round(),
        }
    }

    pub fn is_finite(self) -> bool {
        match self.magnitude {
            Magnitude::Finite { .. } => true,
            Magnitude::Infinite => false,
        }
    }

    /// The sum, rounded; None if it is infinite or no number.
    pub fn plus(self, other: Self) -> Option<Self> {
        let (Magnitude::Finite { exponent: a, .. }, Magnitude::Finite { exponent: b, .. }) =
            (self.magnitude, other.magnitude)
        else {
            return None;
        };
        let exponent = a.min(b);
        let sum = self.scaled(exponent) + other.scaled(exponent);
        let (sign, magnitude) = sum.into_parts();
        round(sign == Sign::Minus, &magnitude, exponent, false)
    }

    #[must_use]
    pub fn negated(self) -> Self {
        Self { negative: !self.negative, ..self }
    }

    /// The difference, rounded; None if it is infinite or no number.
    pub fn minus(self, other: Self) -> Option<Self> {
        self.plus(other.negated())
    }

    /// Which of the two is greater; the two zeros are equal.
    pub fn compare(self, other: Self) -> Ordering {
        let sign = |number: Self| if number.negative { -1 } else { 1 };
        match (self.magnitude, other.magnitude) {
            (Magnitude::Infinite, Magnitude::Infinite) => sign(self).cmp(&sign(other)),
            (Magnitude::Infinite, Magnitude::Finite { .. }) => sign(self).cmp(&0),
            (Magnitude::Finite { .. }, Magnitude::Infinite) => 0.cmp(&sign(other)),
            (Magnitude::Finite { exponent: a, .. }, Magnitude::Finite { exponent: b, .. }) => {
                let exponent = a.min(b);
                self.scaled(exponent).cmp(&other.scaled(exponent))
            }
        }
    }

    /// The value in units of `2^exponent`, which must divide it.
    fn scaled(self, exponent: i64) -> BigInt {
        let Magnitude::Finite { mantissa, exponent: own } = self.magnitude else {
            unreachable!("infinities were refused");
        };
        let sign = if self.negative { Sign::Minus } else { Sign::Plus };
        BigInt::from_biguint(sign, BigUint::from(mantissa) << (own - exponent) as u64)
    }

    /// In thousandths, rounded up; None beyond 64 bits.
    pub fn thousandths_up(self) -> Option<i64> {
        let Magnitude::Finite { mantissa, exponent } = self.magnitude else { return None };
        let sign = if self.negative { Sign::Minus } else { Sign::Plus };
        let value = BigInt::from_biguint(sign, BigUint::from(mantissa) * 1000u32);
        let whole = if exponent >= 0 {
            value << exponent as u64
        } else {
            // Shifting rounds down.
            -((-value) >> exponent.unsigned_abs())
        };
        i64::try_from(whole).ok()
    }

    pub fn is_negative(self) -> bool {
        self.negative
    }

    /// With at most 17 decimals, zeros at the end removed, never `-0`.
    pub fn to_text(self) -> String {
        let Magnitude::Finite { mantissa, exponent } = self.magnitude else {
            return if self.negative { "-inf".into() } else { "inf".into() };
        };
        let scaled = BigUint::from(mantissa) * BigUint::from(10u32).pow(DECIMALS);
        let units = if exponent >= 0 {
            scaled << exponent as u64
        } else {
            divide_to_even(&scaled, exponent.unsigned_abs())
        };
        let digits = units.to_string();
        let decimals = DECIMALS as usize;
        let digits = format!("{digits:0>width$}", width = decimals + 1);
        let (whole, fraction) = digits.split_at(digits.len() - decimals);
        let fraction = fraction.trim_end_matches('0');
        let point = if fraction.is_empty() { "" } else { "." };
        let sign = if self.negative && !(whole == "0" && fraction.is_empty()) { "-" } else { "" };
        format!("{sign}{whole}{point}{fraction}")
    }
}

impl Decimal<'_> {
    /// The nearest extended number.
    fn round(&self) -> Option<Extended> {
        let digits: Vec<u8> = self.whole.iter().chain(self.fraction).copied().collect();
        let first = digits.iter().position(|&digit| digit != b'0');
        let Some(first) = first else {
            return Some(Extended { negative: self.negative, ..Extended::ZERO });
        };
        let digits = &digits[first..];
        let exponent = self.exponent - self.fraction.len() as i64;
        // The place of the first digit decides whether the number can exist at all, before any
        // power of ten is computed.
        let leading = exponent + digits.len() as i64;
        if !(DECIMAL_EXPONENT_MIN..=DECIMAL_EXPONENT_MAX).contains(&leading) {
            return None;
        }
        let value = BigUint::parse_bytes(digits, 10).expect("only digits were taken");
        let power = BigUint::from(10u32).pow(exponent.unsigned_abs() as u32);
        let rounded = if exponent >= 0 {
            round(self.negative, &(value * power), 0, false)?
        } else {
            // Enough bits that the quotient has more than a mantissa's.
            let shift = (power.bits() as i64 - value.bits() as i64 + MANTISSA_BITS + 2).max(0);
            let value = value << shift as u64;
            let quotient = &value / &power;
            let inexact = &quotient * &power != value;
            round(self.negative, &quotient, -shift, inexact)?
        };
        (!rounded.is_zero()).then_some(rounded)
    }
}

impl Extended {
    fn is_zero(self) -> bool {
        matches!(self.magnitude, Magnitude::Finite { mantissa: 0, .. })
    }
}

/// `digits[.digits][p exponent]` after `0x`, as C's `strtold` reads it.
fn parse_hexadecimal(negative: bool, text: &[u8]) -> Option<Extended> {
    let end = text.iter().position(|byte| matches!(byte, b'p' | b'P')).unwrap_or(text.len());
    let (mantissa, exponent) = text.split_at(end);
    let exponent = match exponent {
        [] => 0,
        [_, rest @ ..] => parse_exponent(rest)?,
    };
    let point = mantissa.iter().position(|&byte| byte == b'.');
    let (whole, fraction) = match point {
        Some(point) => (&mantissa[..point], &mantissa[point + 1..]),
        None => (mantissa, &[][..]),
    };
    let digits: Vec<u8> = whole.iter().chain(fraction).copied().collect();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let value = BigUint::parse_bytes(&digits, 16).expect("only digits were taken");
    if value.bits() == 0 {
        return Some(Extended { negative, ..Extended::ZERO });
    }
    let exponent = exponent - 4 * fraction.len() as i64;
    // The place of the first bit decides whether the number can exist at all, before it is shifted.
    let leading = exponent + value.bits() as i64;
    if !(EXPONENT_MIN - 1..=EXPONENT_MAX + MANTISSA_BITS).contains(&leading) {
        return None;
    }
    let rounded = round(negative, &value, exponent, false)?;
    (!rounded.is_zero()).then_some(rounded)
}

fn split_decimal(negative: bool, text: &[u8]) -> Option<Decimal<'_>> {
    let mantissa_end =
        text.iter().position(|byte| matches!(byte, b'e' | b'E')).unwrap_or(text.len());
    let (mantissa, exponent) = text.split_at(mantissa_end);
    let exponent = match exponent {
        [] => 0,
        [_, rest @ ..] => parse_exponent(rest)?,
    };
    let (whole, fraction) = match mantissa.iter().position(|&byte| byte == b'.') {
        Some(point) => (&mantissa[..point], &mantissa[point + 1..]),
        None => (mantissa, &[][..]),
    };
    let digits_only = whole.iter().chain(fraction).all(u8::is_ascii_digit);
    let some = !whole.is_empty() || !fraction.is_empty();
    (digits_only && some).then_some(Decimal { negative, whole, fraction, exponent })
}

/// An exponent, held to a range in which sums cannot overflow.
fn parse_exponent(text: &[u8]) -> Option<i64> {
    const BOUND: i64 = 1_000_000;
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let magnitude =
        digits.iter().fold(0, |sum: i64, &digit| (sum * 10 + i64::from(digit - b'0')).min(BOUND));
    Some(if negative { -magnitude } else { magnitude })
}

/// `value * 2^exponent` with a 64-bit mantissa, to nearest even; `inexact` says that a little more
/// than `value` is meant. None if it overflows.
fn round(negative: bool, value: &BigUint, exponent: i64, inexact: bool) -> Option<Extended> {
    let excess = (value.bits() as i64 - MANTISSA_BITS).max(EXPONENT_MIN - exponent);
    let (mut mantissa, mut exponent) = if excess <= 0 {
        (value.clone(), exponent)
    } else {
        let mut kept = value >> excess as u64;
        let cut = value - (&kept << excess as u64);
        let half = BigUint::from(1u32) << (excess - 1) as u64;
        let odd = kept.bit(0);
        if cut > half || (cut == half && (inexact || odd)) {
            kept += 1u32;
        }
        (kept, exponent + excess)
    };
    if mantissa.bits() as i64 > MANTISSA_BITS {
        mantissa >>= 1u32;
        exponent += 1;
    }
    if mantissa.bits() as i64 + exponent > EXPONENT_MAX + MANTISSA_BITS {
        return None;
    }
    let mantissa = u64::try_from(mantissa).expect("at most 64 bits were kept");
    Some(Extended { negative, magnitude: Magnitude::Finite { mantissa, exponent } })
}

/// `value / 2^shift` to the nearest integer, ties to even.
fn divide_to_even(value: &BigUint, shift: u64) -> BigUint {
    let quotient = value >> shift;
    let cut = value - (&quotient << shift);
    let half = BigUint::from(1u32) << (shift - 1);
    if cut > half || (cut == half && quotient.bit(0)) { quotient + 1u32 } else { quotient }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(a: &str, b: &str) -> String {
        let read = |text: &str| Extended::parse(text.as_bytes()).unwrap();
        read(a).plus(read(b)).map_or("none".into(), Extended::to_text)
    }

    #[test]
    fn sums_are_those_of_a_long_double() {
        // The answers of INCRBYFLOAT on redis-server 7.0.15, x86-64.
        for (a, b, expected) in [
            ("10.5", "0.1", "10.6"),
            ("5.0e3", "2.0e2", "5200"),
            ("3", "1.1", "4.1"),
            ("0", "-0", "0"),
            ("-1", "1", "0"),
            ("1", "-1.5", "-0.5"),
            ("0", "1e-17", "0.00000000000000001"),
            ("0", "1e-18", "0"),
            ("0", "-1e-18", "0"),
            ("10000000000", "0.1", "10000000000.09999999962747097"),
            ("1e18", "0.3", "1000000000000000000.3125"),
            ("9223372036854775807", "1", "9223372036854775808"),
            ("0.1", "0.2", "0.3"),
            ("1e20", "0", "100000000000000000000"),
            ("+.5", "5.", "5.5"),
            ("0x10", "0X1f", "47"),
            ("0x.8", "-0x1p3", "-7.5"),
            ("0x1.8p1", "0x0p0", "3"),
            ("0x123456789abcdef01", "0", "20988295479420645120"),
        ] {
            assert_eq!(sum(a, b), expected, "{a} + {b}");
        }
    }

    #[test]
    fn hostile_numbers_are_refused_without_work() {
        for text in [
            "",
            " 1",
            "1 ",
            "nan",
            "-nan",
            "0x",
            "0x.",
            "0x1g",
            "0x1p",
            "0x1p99999",
            "0x1p-99999",
            "1e",
            "1e+",
            "e5",
            ".",
            "-",
            "1.2.3",
            "1e5000",
            "1e-6000",
            "1e99999999999999999999",
            "1e-99999999999999999999",
            "--1",
            "1_0",
        ] {
            assert_eq!(Extended::parse(text.as_bytes()), None, "{text:?}");
        }
        assert!(Extended::parse("9".repeat(TEXT_BYTES_MAX + 1).as_bytes()).is_none());
        assert!(Extended::parse(b"0e99999999999999999999").is_some_and(Extended::is_zero));
        assert_eq!(sum("inf", "1"), "none");
        assert_eq!(sum("1e4932", "1e4932"), "none");
        let longest = sum("1.1e4932", "-1");
        assert_eq!(longest.len(), 4933);
    }

    #[test]
    fn numbers_are_in_order() {
        let read = |text: &str| Extended::parse(text.as_bytes()).unwrap();
        let ordered =
            ["-inf", "-1e4932", "-2", "-1.5", "0", "1e-17", "0x.8", "1", "1.25", "1e4932", "inf"];
        for (at, a) in ordered.iter().enumerate() {
            for (other, b) in ordered.iter().enumerate() {
                assert_eq!(read(a).compare(read(b)), at.cmp(&other), "{a} and {b}");
            }
        }
        assert_eq!(read("-0").compare(read("0")), Ordering::Equal);
        assert_eq!(Extended::MAX.compare(read("1.1897314953572317650e4932")), Ordering::Equal);
        assert_eq!(Extended::MAX.plus(Extended::MAX), None);
        assert_eq!(read("1.5").minus(read("4")).map(Extended::to_text).as_deref(), Some("-2.5"));
    }
}
