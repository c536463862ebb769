//! Writes replies as RESP2 or RESP3 into a buffer. Never fails, never sends; the caller bounds the
//! buffer. Every aggregate is followed by exactly as many elements as it announced.

use std::fmt::Display;
use std::io::Write;

/// The protocol a connection speaks; HELLO changes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    #[default]
    Resp2,
    Resp3,
}

/// Numbers below this are written by table.
const TABLE_LENGTH: usize = 1000;

/// The decimal digits of 0 to 999 with CR LF, lowest byte first; the highest byte says how many
/// bytes that is.
static LINES: [u64; TABLE_LENGTH] = {
    let mut lines = [0; TABLE_LENGTH];
    let mut number = 0;
    while number < TABLE_LENGTH {
        let digits = if number < 10 {
            1
        } else if number < 100 {
            2
        } else {
            3
        };
        let mut line = 0x0a0d_u64; // CR LF
        let mut rest = number;
        let mut written = 0;
        while written < digits {
            line = line << 8 | (b'0' as u64 + rest as u64 % 10);
            rest /= 10;
            written += 1;
        }
        lines[number] = line | (digits + 2) << 56;
        number += 1;
    }
    lines
};

/// Writes to the end of a buffer.
#[derive(Debug)]
pub struct Writer<'a> {
    pub out: &'a mut Vec<u8>,
    pub version: Version,
}

impl<'a> Writer<'a> {
    #[inline]
    pub fn new(out: &'a mut Vec<u8>, version: Version) -> Self {
        Self { out, version }
    }

    /// `+text`: a text of ours, without line breaks.
    #[inline]
    pub fn simple(&mut self, text: &'static str) {
        debug_assert!(!text.contains(['\r', '\n']), "a simple string is one line");
        self.out.reserve(text.len() + 3);
        self.out.push(b'+');
        self.out.extend_from_slice(text.as_bytes());
        self.line_end();
    }

    /// `-CODE message`; the text brings its code. Line breaks become spaces.
    #[cold]
    pub fn error(&mut self, text: &dyn Display) {
        self.out.push(b'-');
        let start = self.out.len();
        write!(self.out, "{text}").expect("a Vec takes every write");
        self.finish_line(start);
    }

    #[inline]
    pub fn integer(&mut self, value: i64) {
        match usize::try_from(value) {
            Ok(small) => self.header(b':', small),
            Err(_) => self.long_number(b':', itoa::Buffer::new().format(value)),
        }
    }

    #[inline]
    pub fn bulk(&mut self, bytes: &[u8]) {
        if SHORT_BYTES.contains(&bytes.len()) {
            return self.short_bulk(bytes);
        }
        // Once for all: the writes below then find room.
        self.out.reserve(bytes.len() + 32);
        self.header(b'$', bytes.len());
        self.out.extend_from_slice(bytes);
        self.out.extend_from_slice(b"\r\n");
    }

    /// A bulk string of 8 to 32 bytes: room for the longest at once, stores of known lengths into it
    /// that may overlap, then back.
    #[inline]
    fn short_bulk(&mut self, bytes: &[u8]) {
        let start = self.out.len();
        self.out.extend_from_slice(&[0; SHORT_LINE]);
        let line = self.out.last_chunk_mut::<SHORT_LINE>().expect("just added");
        let head = LINES[bytes.len()];
        line[..8].copy_from_slice(&(head << 8 | u64::from(b'$')).to_le_bytes());
        let from = 1 + (head >> 56) as usize;
        let end = from + bytes.len();
        if let (Some(head), Some(tail)) = (bytes.first_chunk::<16>(), bytes.last_chunk::<16>()) {
            line[from..from + 16].copy_from_slice(head);
            line[end - 16..end].copy_from_slice(tail);
        } else if let (Some(head), Some(tail)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>())
        {
            line[from..from + 8].copy_from_slice(head);
            line[end - 8..end].copy_from_slice(tail);
        }
        line[end..end + 2].copy_from_slice(b"\r\n");
        self.out.truncate(start + end + 2);
    }

    /// The line before a bulk string whose bytes go another way (a shared blob). The caller sends
    /// them, then `line_end`.
    #[inline]
    pub fn bulk_header(&mut self, length: usize) {
        self.header(b'$', length);
    }

    /// CR LF: the end of a bulk string.
    #[inline]
    pub fn line_end(&mut self) {
        self.out.extend_from_slice(b"\r\n");
    }

    /// RESP2 `$-1`, RESP3 `_`.
    #[inline]
    pub fn null(&mut self) {
        let null: &[u8] = match self.version {
            Version::Resp2 => b"$-1\r\n",
            Version::Resp3 => b"_\r\n",
        };
        self.out.extend_from_slice(null);
    }

    /// RESP2 `*-1`, RESP3 `_`.
    pub fn null_array(&mut self) {
        let null: &[u8] = match self.version {
            Version::Resp2 => b"*-1\r\n",
            Version::Resp3 => b"_\r\n",
        };
        self.out.extend_from_slice(null);
    }

    #[inline]
    pub fn array(&mut self, length: usize) {
        self.header(b'*', length);
    }

    /// RESP2: an array of `2 * pairs`.
    pub fn map(&mut self, pairs: usize) {
        match self.version {
            Version::Resp2 => self.header(b'*', pairs * 2),
            Version::Resp3 => self.header(b'%', pairs),
        }
    }

    /// RESP2: an array.
    pub fn set(&mut self, length: usize) {
        match self.version {
            Version::Resp2 => self.header(b'*', length),
            Version::Resp3 => self.header(b'~', length),
        }
    }

    /// Something the client did not ask for. RESP2: an array.
    pub fn push(&mut self, length: usize) {
        match self.version {
            Version::Resp2 => self.header(b'*', length),
            Version::Resp3 => self.header(b'>', length),
        }
    }

    /// RESP2: a bulk string. Both spell the number as Redis does.
    pub fn double(&mut self, value: f64) {
        let mut text = Vec::with_capacity(DOUBLE_BYTES_MAX);
        write_double(&mut text, value);
        self.scalar(b',', &text);
    }

    /// A double in a spelling of the caller's. RESP2: a bulk string.
    pub fn spelled_double(&mut self, text: &str) {
        debug_assert!(text.parse::<f64>().is_ok(), "the text is a number");
        self.scalar(b',', text.as_bytes());
    }

    /// RESP2: `:1` or `:0`.
    pub fn boolean(&mut self, value: bool) {
        self.out.extend_from_slice(match (self.version, value) {
            (Version::Resp2, true) => b":1\r\n",
            (Version::Resp2, false) => b":0\r\n",
            (Version::Resp3, true) => b"#t\r\n",
            (Version::Resp3, false) => b"#f\r\n",
        });
    }

    /// Text for a person to read. RESP2: a bulk string.
    pub fn verbatim(&mut self, text: &str) {
        match self.version {
            Version::Resp2 => self.bulk(text.as_bytes()),
            Version::Resp3 => {
                self.header(b'=', text.len() + 4);
                self.out.extend_from_slice(b"txt:");
                self.out.extend_from_slice(text.as_bytes());
                self.line_end();
            }
        }
    }

    /// `+text` of somebody else's choice; line breaks become spaces.
    pub fn status(&mut self, text: &[u8]) {
        self.out.push(b'+');
        let start = self.out.len();
        self.out.extend_from_slice(text);
        self.finish_line(start);
    }

    /// Text of a format of three letters (`txt`, `mkd`). RESP2: a bulk string.
    pub fn verbatim_as(&mut self, format: [u8; 3], text: &[u8]) {
        match self.version {
            Version::Resp2 => self.bulk(text),
            Version::Resp3 => {
                self.header(b'=', text.len() + 4);
                self.out.extend_from_slice(&format);
                self.out.push(b':');
                self.out.extend_from_slice(text);
                self.line_end();
            }
        }
    }

    /// `digits`: an integer of any size in decimal. RESP2: a bulk string. Line breaks, which only a
    /// script could hide in it, become spaces.
    pub fn big_number(&mut self, digits: &[u8]) {
        let start = match self.version {
            Version::Resp2 => {
                self.header(b'$', digits.len());
                self.out.len()
            }
            Version::Resp3 => {
                self.out.push(b'(');
                self.out.len()
            }
        };
        self.out.extend_from_slice(digits);
        self.finish_line(start);
    }

    /// A line of `kind` in RESP3, a bulk string in RESP2.
    fn scalar(&mut self, kind: u8, text: &[u8]) {
        match self.version {
            Version::Resp2 => self.bulk(text),
            Version::Resp3 => {
                self.out.push(kind);
                self.out.extend_from_slice(text);
                self.line_end();
            }
        }
    }

    /// `kind`, the number, CR LF.
    #[inline]
    fn header(&mut self, kind: u8, number: usize) {
        match LINES.get(number) {
            Some(&line) => {
                let end = self.out.len() + 1 + (line >> 56) as usize;
                // All eight bytes at once, then back: one store instead of a copy of unknown length.
                self.out.extend_from_slice(&(line << 8 | u64::from(kind)).to_le_bytes());
                self.out.truncate(end);
            }
            None => self.long_number(kind, itoa::Buffer::new().format(number)),
        }
    }

    fn long_number(&mut self, kind: u8, digits: &str) {
        self.out.reserve(digits.len() + 3);
        self.out.push(kind);
        self.out.extend_from_slice(digits.as_bytes());
        self.out.extend_from_slice(b"\r\n");
    }

    /// Ends the line whose text began at `start`. A line break within it would let whoever chose the
    /// text answer in our name.
    fn finish_line(&mut self, start: usize) {
        for byte in &mut self.out[start..] {
            if matches!(byte, b'\r' | b'\n') {
                *byte = b' ';
            }
        }
        self.line_end();
    }
}

/// Lengths of strings that `short_bulk` writes.
const SHORT_BYTES: std::ops::RangeInclusive<usize> = 8..=32;
/// `$32`, CR LF, the bytes, CR LF; and what the table's entry writes beyond its line.
const SHORT_LINE: usize = 48;
const _: () = assert!(*SHORT_BYTES.end() + 5 + 2 <= SHORT_LINE);

/// `-2.2250738585072014e-308` and some.
const DOUBLE_BYTES_MAX: usize = 32;
/// Doubles up to here are written as integers if they are integers: 2^52, as in Redis's `d2string`.
const DOUBLE_INTEGER_MAX: f64 = 4_503_599_627_370_496.0;

/// Appends the shortest spelling that reads back the same, in the layout of Redis's `d2string`
/// (fpconv): `3`, `0.1`, `1e+21`, `inf`, `-inf`, `nan`.
pub fn write_double(out: &mut Vec<u8>, value: f64) {
    if value.is_nan() {
        out.extend_from_slice(b"nan");
        return;
    }
    if value.is_sign_negative() {
        out.push(b'-');
    }
    let value = value.abs();
    if value.is_infinite() {
        out.extend_from_slice(b"inf");
    } else if value <= DOUBLE_INTEGER_MAX && value.fract() == 0.0 {
        out.extend_from_slice(itoa::Buffer::new().format(value as u64).as_bytes());
    } else {
        lay_out(out, ryu::Buffer::new().format_finite(value));
    }
}

/// Takes a positive number as `ryu` writes it (`12.5`, `1.25e-7`) apart into digits and a power of
/// ten, and writes it by fpconv's rules.
fn lay_out(out: &mut Vec<u8>, text: &str) {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().expect("ryu writes a decimal exponent");
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut power = exponent - fraction.len() as i32;
    let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
    let zeros = digits.iter().take_while(|&&digit| digit == b'0').count();
    digits.drain(..zeros);
    while digits.last() == Some(&b'0') {
        digits.pop();
        power += 1;
    }
    // The value is 0.digits * 10^point.
    let count = digits.len() as i32;
    let point = count + power;
    let magnitude = (point - 1).abs();
    if power >= 0 && magnitude < count + 7 {
        out.extend_from_slice(&digits);
        out.extend(std::iter::repeat_n(b'0', power as usize));
    } else if power < 0 && (power > -7 || magnitude < 4) {
        if point <= 0 {
            out.extend_from_slice(b"0.");
            out.extend(std::iter::repeat_n(b'0', -point as usize));
            out.extend_from_slice(&digits);
        } else {
            out.extend_from_slice(&digits[..point as usize]);
            out.push(b'.');
            out.extend_from_slice(&digits[point as usize..]);
        }
    } else {
        out.push(digits[0]);
        if digits.len() > 1 {
            out.push(b'.');
            out.extend_from_slice(&digits[1..]);
        }
        out.extend_from_slice(if point > 0 { b"e+" } else { b"e-" });
        out.extend_from_slice(itoa::Buffer::new().format(magnitude).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(version: Version, write: impl Fn(&mut Writer<'_>)) -> String {
        let mut out = b"before".to_vec();
        write(&mut Writer::new(&mut out, version));
        assert!(out.starts_with(b"before"));
        String::from_utf8(out.split_off(6)).unwrap()
    }

    #[test]
    fn each_type_in_both_versions() {
        type Write = fn(&mut Writer<'_>);
        let table: &[(Write, &str, &str)] = &[
            (|w| w.simple("OK"), "+OK\r\n", "+OK\r\n"),
            (|w| w.error(&"ERR no\r\n+OK"), "-ERR no  +OK\r\n", "-ERR no  +OK\r\n"),
            (|w| w.integer(0), ":0\r\n", ":0\r\n"),
            (|w| w.integer(-1), ":-1\r\n", ":-1\r\n"),
            (|w| w.integer(i64::MIN), ":-9223372036854775808\r\n", ":-9223372036854775808\r\n"),
            (|w| w.integer(i64::MAX), ":9223372036854775807\r\n", ":9223372036854775807\r\n"),
            (|w| w.spelled_double("1.50"), "$4\r\n1.50\r\n", ",1.50\r\n"),
            (|w| w.bulk(b""), "$0\r\n\r\n", "$0\r\n\r\n"),
            (|w| w.bulk(b"a\r\nb"), "$4\r\na\r\nb\r\n", "$4\r\na\r\nb\r\n"),
            (|w| w.bulk_header(1 << 29), "$536870912\r\n", "$536870912\r\n"),
            (|w| w.line_end(), "\r\n", "\r\n"),
            (|w| w.null(), "$-1\r\n", "_\r\n"),
            (|w| w.null_array(), "*-1\r\n", "_\r\n"),
            (|w| w.array(0), "*0\r\n", "*0\r\n"),
            (|w| w.map(7), "*14\r\n", "%7\r\n"),
            (|w| w.set(100), "*100\r\n", "~100\r\n"),
            (|w| w.push(3), "*3\r\n", ">3\r\n"),
            (|w| w.boolean(true), ":1\r\n", "#t\r\n"),
            (|w| w.boolean(false), ":0\r\n", "#f\r\n"),
            (|w| w.double(1.5), "$3\r\n1.5\r\n", ",1.5\r\n"),
            (|w| w.double(f64::NEG_INFINITY), "$4\r\n-inf\r\n", ",-inf\r\n"),
            (|w| w.verbatim("hi"), "$2\r\nhi\r\n", "=6\r\ntxt:hi\r\n"),
            (|w| w.big_number(b"-12"), "$3\r\n-12\r\n", "(-12\r\n"),
        ];
        for (write, resp2, resp3) in table {
            assert_eq!(written(Version::Resp2, write), *resp2);
            assert_eq!(written(Version::Resp3, write), *resp3);
        }
    }

    #[test]
    fn every_number_of_the_table_and_its_edges() {
        for number in (0..1100).chain([9_999, 10_000, 65_535, 1 << 40]) {
            assert_eq!(written(Version::Resp2, |w| w.array(number)), format!("*{number}\r\n"));
            assert_eq!(
                written(Version::Resp2, |w| w.integer(number as i64)),
                format!(":{number}\r\n")
            );
        }
    }

    #[test]
    fn strings_of_every_length_come_whole() {
        let bytes: Vec<u8> = (0..=255).collect();
        for length in 0..200 {
            let mut out = b"before".to_vec();
            Writer::new(&mut out, Version::Resp2).bulk(&bytes[..length]);
            let head = format!("before${length}\r\n").into_bytes();
            assert_eq!(out, [&head[..], &bytes[..length], b"\r\n"].concat(), "{length}");
        }
    }

    /// The right column as Redis 7.2's `d2string` prints it.
    #[test]
    fn doubles_are_spelt_as_in_redis() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (3.0, "3"),
            (-17.25, "-17.25"),
            (0.1, "0.1"),
            (0.001, "0.001"),
            (1e-5, "0.00001"),
            (1e-7, "1e-7"),
            (1.25e-9, "1.25e-9"),
            (123_456.789, "123456.789"),
            (1e15, "1000000000000000"),
            (1e16, "1e+16"),
            (1e21, "1e+21"),
            (1.5e300, "1.5e+300"),
            (2_251_799_813_685_249.5, "2251799813685249.5"),
            (9_007_199_254_740_993.0, "9007199254740992"),
            (f64::INFINITY, "inf"),
            (f64::NAN, "nan"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
        ] {
            let mut out = Vec::new();
            write_double(&mut out, value);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn doubles_read_back_the_same() {
        let mut state = 1_u64;
        for _ in 0..100_000 {
            // Knuth's MMIX generator: any bits will do.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let value = f64::from_bits(state);
            if value.is_nan() {
                continue;
            }
            let mut out = Vec::new();
            write_double(&mut out, value);
            assert!(out.len() <= DOUBLE_BYTES_MAX);
            let text = String::from_utf8(out).unwrap();
            assert_eq!(text.parse::<f64>().unwrap().to_bits(), value.to_bits(), "{text}");
        }
    }
}
