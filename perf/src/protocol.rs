//! The two requests of a cache and their answers, on the wire: RESP2, RESP3 and memcached's text.
//! Sources: <https://redis.io/docs/latest/develop/reference/protocol-spec/>,
//! <https://github.com/memcached/memcached/blob/master/doc/protocol.txt>.

use std::io::Write;

/// How a server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    Resp2,
    Resp3,
    Memcached,
}

/// An answer to a get or a set, borrowed from the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    Value(&'a [u8]),
    Missing,
    Stored,
    /// The server's error, without its type byte.
    Error(&'a [u8]),
}

/// What stands at the beginning of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan<'a> {
    /// Needs more bytes: this many in all, where that is known already.
    Incomplete { needed: usize },
    /// One answer, and how many bytes it took.
    Whole { answer: Answer<'a>, length: usize },
    /// Not of this protocol; the connection is of no more use.
    Malformed,
}

impl Protocol {
    /// Appends a get of this key.
    #[inline]
    pub fn push_get(self, key: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Resp2 | Self::Resp3 => {
                out.extend_from_slice(b"*2\r\n$3\r\nGET\r\n");
                push_bulk(key, out);
            }
            Self::Memcached => {
                out.extend_from_slice(b"get ");
                out.extend_from_slice(key);
                out.extend_from_slice(b"\r\n");
            }
        }
    }

    /// Appends a set with a lifetime in milliseconds (0 = none), leaving its value of `value_bytes`
    /// to `push_value`. memcached counts whole seconds: rounded up.
    #[inline]
    pub fn push_set(
        self,
        key: &[u8],
        ttl_ms: u64,
        value_bytes: usize,
        push_value: impl FnOnce(&mut Vec<u8>),
        out: &mut Vec<u8>,
    ) {
        match self {
            Self::Resp2 | Self::Resp3 => {
                out.extend_from_slice(if ttl_ms == 0 {
                    b"*3\r\n$3\r\nSET\r\n"
                } else {
                    b"*5\r\n$3\r\nSET\r\n"
                });
                push_bulk(key, out);
                push_header(b'$', value_bytes as u64, out);
                push_value(out);
                out.extend_from_slice(b"\r\n");
                if ttl_ms != 0 {
                    out.extend_from_slice(b"$2\r\nPX\r\n");
                    push_bulk(ttl_ms.to_string().as_bytes(), out);
                }
            }
            Self::Memcached => {
                out.extend_from_slice(b"set ");
                out.extend_from_slice(key);
                // Writing to a Vec cannot fail.
                write!(out, " 0 {} {value_bytes}\r\n", memcached_seconds(ttl_ms))
                    .expect("Vec grows");
                push_value(out);
                out.extend_from_slice(b"\r\n");
            }
        }
    }

    /// Reads the answer at the beginning of `input`.
    #[inline]
    pub fn scan(self, input: &[u8]) -> Scan<'_> {
        match self {
            Self::Resp2 | Self::Resp3 => scan_resp(input),
            Self::Memcached => scan_memcached(input),
        }
    }
}

/// Lifetimes above 30 days would be read as a date; no measurement needs them.
fn memcached_seconds(ttl_ms: u64) -> u64 {
    const RELATIVE_MAX_S: u64 = 60 * 60 * 24 * 30;
    ttl_ms.div_ceil(1000).min(RELATIVE_MAX_S)
}

#[inline]
fn push_header(kind: u8, number: u64, out: &mut Vec<u8>) {
    out.push(kind);
    if number < 10 {
        out.push(b'0' + number as u8);
    } else if number < 100 {
        out.extend_from_slice(&[b'0' + (number / 10) as u8, b'0' + (number % 10) as u8]);
    } else {
        write!(out, "{number}").expect("Vec grows");
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends a bulk string.
#[inline]
pub fn push_bulk(bytes: &[u8], out: &mut Vec<u8>) {
    push_header(b'$', bytes.len() as u64, out);
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

/// Appends a command of any arguments.
pub fn push_command(arguments: &[&[u8]], out: &mut Vec<u8>) {
    push_header(b'*', arguments.len() as u64, out);
    for argument in arguments {
        push_bulk(argument, out);
    }
}

/// Longest header or error line that is accepted, in bytes.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// Where the line at the beginning ends, without its CRLF.
#[inline]
fn line_end(input: &[u8]) -> Option<usize> {
    let end = input.iter().position(|&byte| byte == b'\r')?;
    (end + 1 < input.len()).then_some(end)
}

#[inline]
fn no_line(input: &[u8]) -> Scan<'static> {
    if input.len() > LINE_BYTES_MAX {
        Scan::Malformed
    } else {
        Scan::Incomplete { needed: input.len() + 1 }
    }
}

#[inline]
fn parse_number(digits: &[u8]) -> Option<usize> {
    const DIGITS_MAX: usize = 12;
    if digits.is_empty() || digits.len() > DIGITS_MAX {
        return None;
    }
    digits.iter().try_fold(0usize, |number, &digit| {
        digit.is_ascii_digit().then(|| number * 10 + usize::from(digit - b'0'))
    })
}

/// The bytes after a header of `start` bytes that says `size`, with CRLF and `tail` after them.
#[inline]
fn body<'a>(input: &'a [u8], start: usize, size: usize, tail: &[u8]) -> Scan<'a> {
    let length = start + size + tail.len();
    if input.len() < length {
        return Scan::Incomplete { needed: length };
    }
    if &input[start + size..length] != tail {
        return Scan::Malformed;
    }
    Scan::Whole { answer: Answer::Value(&input[start..start + size]), length }
}

#[inline]
fn scan_resp(input: &[u8]) -> Scan<'_> {
    let Some(end) = line_end(input) else { return no_line(input) };
    let length = end + 2;
    let Some((kind, line)) = input[..end].split_first() else { return Scan::Malformed };
    match (kind, line) {
        (b'$', b"-1") | (b'_', b"") => Scan::Whole { answer: Answer::Missing, length },
        (b'$', digits) => match parse_number(digits) {
            Some(size) => body(input, length, size, b"\r\n"),
            None => Scan::Malformed,
        },
        (b'+', _) => Scan::Whole { answer: Answer::Stored, length },
        (b'-', text) => Scan::Whole { answer: Answer::Error(text), length },
        (_, _) => Scan::Malformed,
    }
}

#[inline]
fn scan_memcached(input: &[u8]) -> Scan<'_> {
    let Some(end) = line_end(input) else { return no_line(input) };
    let length = end + 2;
    match &input[..end] {
        b"END" => Scan::Whole { answer: Answer::Missing, length },
        b"STORED" => Scan::Whole { answer: Answer::Stored, length },
        line if line.starts_with(b"VALUE ") => {
            match line.rsplit(|&byte| byte == b' ').next().and_then(parse_number) {
                Some(size) => body(input, length, size, b"\r\nEND\r\n"),
                None => Scan::Malformed,
            }
        }
        line if line.starts_with(b"ERROR") || line.windows(7).any(|part| part == b"_ERROR ") => {
            Scan::Whole { answer: Answer::Error(line), length }
        }
        _ => Scan::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(build: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        build(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn requests_are_as_the_protocols_say() {
        let value = |out: &mut Vec<u8>| out.extend_from_slice(b"abc");
        for (expected, got) in [
            ("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", text(|out| Protocol::Resp2.push_get(b"k", out))),
            ("get k\r\n", text(|out| Protocol::Memcached.push_get(b"k", out))),
            (
                "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3\r\nabc\r\n",
                text(|out| Protocol::Resp3.push_set(b"k", 0, 3, value, out)),
            ),
            (
                "*5\r\n$3\r\nSET\r\n$1\r\nk\r\n$3\r\nabc\r\n$2\r\nPX\r\n$4\r\n1500\r\n",
                text(|out| Protocol::Resp2.push_set(b"k", 1500, 3, value, out)),
            ),
            (
                "set k 0 2 3\r\nabc\r\n",
                text(|out| Protocol::Memcached.push_set(b"k", 1500, 3, value, out)),
            ),
        ] {
            assert_eq!(got, expected);
        }
    }

    #[test]
    fn answers_are_read_whole_or_not_at_all() {
        for (protocol, input, answer) in [
            (Protocol::Resp2, "$3\r\nabc\r\n", Answer::Value(b"abc")),
            (Protocol::Resp2, "$0\r\n\r\n", Answer::Value(b"")),
            (Protocol::Resp2, "$-1\r\n", Answer::Missing),
            (Protocol::Resp3, "_\r\n", Answer::Missing),
            (Protocol::Resp2, "+OK\r\n", Answer::Stored),
            (Protocol::Resp2, "-MOVED 1 h:2\r\n", Answer::Error(b"MOVED 1 h:2")),
            (Protocol::Memcached, "VALUE k 0 3\r\nabc\r\nEND\r\n", Answer::Value(b"abc")),
            (Protocol::Memcached, "END\r\n", Answer::Missing),
            (Protocol::Memcached, "STORED\r\n", Answer::Stored),
            (Protocol::Memcached, "SERVER_ERROR full\r\n", Answer::Error(b"SERVER_ERROR full")),
        ] {
            for cut in 0..input.len() {
                let scan = protocol.scan(&input.as_bytes()[..cut]);
                assert!(
                    matches!(scan, Scan::Incomplete { needed } if needed > cut),
                    "{input:?} {cut} {scan:?}"
                );
            }
            let more = format!("{input}+OK\r\n");
            let expected = Scan::Whole { answer, length: input.len() };
            assert_eq!(protocol.scan(more.as_bytes()), expected, "{input:?}");
        }
    }

    #[test]
    fn nonsense_is_malformed() {
        for (protocol, input) in [
            (Protocol::Resp2, "hello\r\n"),
            (Protocol::Resp2, "$x\r\n"),
            (Protocol::Resp2, "$99999999999999\r\n"),
            (Protocol::Resp2, "$1\r\nabc\r\n"),
            (Protocol::Resp2, "\r\n"),
            (Protocol::Memcached, "VALUE k 0 x\r\n"),
            (Protocol::Memcached, "VALUE k 0 1\r\naEND\r\n\r\n\r\n"),
            (Protocol::Memcached, "hello\r\n"),
        ] {
            assert_eq!(protocol.scan(input.as_bytes()), Scan::Malformed, "{input:?}");
        }
        let endless = vec![b'$'; LINE_BYTES_MAX + 1];
        assert_eq!(Protocol::Resp2.scan(&endless), Scan::Malformed);
    }
}
