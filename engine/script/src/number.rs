//! Numbers of Lua as texts, as C's `%.14g` and `%.17g` spell them.

/// Appends `value` with this many significant digits, as `%.*g` does.
pub fn write_general(out: &mut Vec<u8>, value: f64, digits: usize) {
    if value.is_nan() {
        let text: &[u8] = if value.is_sign_negative() { b"-nan" } else { b"nan" };
        out.extend_from_slice(text);
        return;
    }
    if value.is_infinite() {
        let text: &[u8] = if value < 0.0 { b"-inf" } else { b"inf" };
        out.extend_from_slice(text);
        return;
    }
    let digits = digits.max(1);
    let spelled = format!("{value:.*e}", digits - 1);
    let (mantissa, exponent) = spelled.split_once('e').expect("`e` is asked for");
    let exponent: i32 = exponent.parse().expect("an exponent is a number");
    if exponent < -4 || exponent >= digits as i32 {
        out.extend_from_slice(without_zeros(mantissa).as_bytes());
        let sign = if exponent < 0 { '-' } else { '+' };
        out.extend_from_slice(format!("e{sign}{:02}", exponent.abs()).as_bytes());
    } else {
        let decimals = (digits as i32 - 1 - exponent) as usize;
        out.extend_from_slice(without_zeros(&format!("{value:.decimals$}")).as_bytes());
    }
}

fn without_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

/// The integer that a double is, if it is one of 64 bits.
#[inline]
#[allow(clippy::float_cmp, reason = "whether it is exactly an integer is the question")]
pub fn exact_integer(value: f64) -> Option<i64> {
    // 2^63 itself is out of range; the cast saturates, so the comparison tells.
    let integer = value as i64;
    let exact = integer as f64 == value && integer != i64::MAX;
    (exact && (integer != 0 || value.is_sign_positive())).then_some(integer)
}

/// A number of Lua as an argument of a command: an integer if it is one, else 17 digits.
pub fn write_argument(out: &mut Vec<u8>, value: f64) {
    match exact_integer(value) {
        Some(integer) => out.extend_from_slice(itoa::Buffer::new().format(integer).as_bytes()),
        None => write_general(out, value, 17),
    }
}

/// The number that a text spells, as Lua reads it: with space around it, in decimal or hexadecimal digits.
pub fn read(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?;
    let text = text.trim_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c']);
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let value = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            u64::from_str_radix(digits, 16).ok()? as f64
        }
        Some(_) => return None,
        None if digits.starts_with(['+', '-']) => return None,
        None => digits.parse().ok()?,
    };
    Some(if negative { -value } else { value })
}

/// A number as C casts it to 64 bits: what does not fit is the least integer.
#[inline]
pub fn cast_integer(value: f64) -> i64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if (-LIMIT..LIMIT).contains(&value) { value as i64 } else { i64::MIN }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_spelled_as_c_spells_them() {
        for (value, digits, expected) in [
            (0.1, 17, "0.10000000000000001"),
            (0.1, 14, "0.1"),
            (1e15, 14, "1e+15"),
            (1e14, 14, "1e+14"),
            (12_345_678_901_234.0, 14, "12345678901234"),
            (123_456_789_012_345_678.0, 14, "1.2345678901235e+17"),
            (1e-7, 14, "1e-07"),
            (1e-5, 14, "1e-05"),
            (0.0001, 14, "0.0001"),
            (-0.0, 14, "-0"),
            (1.0 / 3.0, 3, "0.333"),
            (999.9, 3, "1e+03"),
            (f64::INFINITY, 14, "inf"),
            (1e100, 17, "1e+100"),
        ] {
            let mut out = Vec::new();
            write_general(&mut out, value, digits);
            assert_eq!(String::from_utf8_lossy(&out), expected);
        }
    }

    #[test]
    fn texts_are_read_as_lua_reads_them() {
        for (text, expected) in [
            ("12", Some(12.0)),
            (" -1.5e3\n", Some(-1500.0)),
            ("0x10", Some(16.0)),
            ("-0XfF", Some(-255.0)),
            ("inf", Some(f64::INFINITY)),
            (".5", Some(0.5)),
            ("", None),
            ("0x", None),
            ("0xg", None),
            ("--1", None),
            ("1 2", None),
        ] {
            assert_eq!(read(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn arguments_are_integers_where_they_can_be() {
        for (value, expected) in [
            (3.0, "3"),
            (-3.0, "-3"),
            (1e15, "1000000000000000"),
            (1e20, "1e+20"),
            (-0.0, "-0"),
            (9_223_372_036_854_775_808.0, "9.2233720368547758e+18"),
            (-9_223_372_036_854_775_808.0, "-9223372036854775808"),
        ] {
            let mut out = Vec::new();
            write_argument(&mut out, value);
            assert_eq!(String::from_utf8_lossy(&out), expected);
        }
        assert_eq!(cast_integer(1e30), i64::MIN);
        assert_eq!(cast_integer(f64::NAN), i64::MIN);
        assert_eq!(cast_integer(-3.99), -3);
    }
}
