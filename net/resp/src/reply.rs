//! Reads replies, RESP2 and RESP3: where one ends, and what it says. For the code that joins the
//! answers of several lanes, for clients and for tests; a server's own replies are well-formed, yet
//! nothing here trusts its input.

use std::fmt;

/// Aggregates nested deeper than this are refused by `Value::parse`.
pub const REPLY_DEPTH_MAX: usize = 32;
/// The longest line of a reply that is waited for, in bytes.
pub const REPLY_LINE_BYTES_MAX: usize = 1 << 20;
/// The most elements still to come that an aggregate, or several within each other, may announce.
const PENDING_MAX: u64 = u32::MAX as u64;
/// Elements for which room is made before they have come.
const RESERVE_MAX: usize = 1024;

/// These bytes are no reply; nothing says where the next one begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MalformedReply;

impl fmt::Display for MalformedReply {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("malformed RESP reply")
    }
}

impl std::error::Error for MalformedReply {}

/// One reply. Text that is not UTF-8 stays bytes.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Simple(Vec<u8>),
    /// With its code: `ERR …`. RESP3's bulk errors too.
    Error(Vec<u8>),
    Integer(i64),
    Bulk(Vec<u8>),
    /// `$-1`, `_`.
    Null,
    /// `*-1`.
    NullArray,
    Array(Vec<Value>),
    Map(Vec<(Value, Value)>),
    Set(Vec<Value>),
    Push(Vec<Value>),
    Double(f64),
    Boolean(bool),
    /// Without its format (`txt:`).
    Verbatim(Vec<u8>),
    /// Decimal digits.
    BigNumber(Vec<u8>),
}

impl Value {
    /// The first reply in `input` and its length in bytes; `None`: it is not all there. Attributes
    /// (`|`) are passed over.
    pub fn parse(input: &[u8]) -> Result<Option<(Self, usize)>, MalformedReply> {
        // A reply that is not all there is not built half.
        let Some(length) = skip(input)? else { return Ok(None) };
        let mut rest = &input[..length];
        let value = Self::read(&mut rest, REPLY_DEPTH_MAX)?;
        debug_assert!(rest.is_empty(), "both readers agree on the length");
        Ok(Some((value, length)))
    }

    /// `rest` holds the whole reply.
    fn read(rest: &mut &[u8], depth: usize) -> Result<Self, MalformedReply> {
        let depth = depth.checked_sub(1).ok_or(MalformedReply)?;
        let (header, used) = Header::read(rest)?.ok_or(MalformedReply)?;
        *rest = &rest[used..];
        match header {
            Header::Line(kind, text) => Self::from_line(kind, text),
            Header::Null => Ok(Self::Null),
            Header::NullArray => Ok(Self::NullArray),
            Header::Bytes(kind, length) => {
                let bytes = rest.get(..length).ok_or(MalformedReply)?.to_vec();
                *rest = rest.get(length + 2..).ok_or(MalformedReply)?;
                Ok(match kind {
                    b'!' => Self::Error(bytes),
                    b'=' => Self::Verbatim(bytes.get(4..).ok_or(MalformedReply)?.to_vec()),
                    _ => Self::Bulk(bytes),
                })
            }
            Header::Aggregate(kind @ (b'%' | b'|'), pairs) => {
                let mut map = Vec::with_capacity(pairs.min(RESERVE_MAX));
                for _ in 0..pairs {
                    map.push((Self::read(rest, depth)?, Self::read(rest, depth)?));
                }
                if kind == b'|' { Self::read(rest, depth) } else { Ok(Self::Map(map)) }
            }
            Header::Aggregate(kind, length) => {
                let mut elements = Vec::with_capacity(length.min(RESERVE_MAX));
                for _ in 0..length {
                    elements.push(Self::read(rest, depth)?);
                }
                Ok(match kind {
                    b'~' => Self::Set(elements),
                    b'>' => Self::Push(elements),
                    _ => Self::Array(elements),
                })
            }
        }
    }

    fn from_line(kind: u8, text: &[u8]) -> Result<Self, MalformedReply> {
        Ok(match kind {
            b'+' => Self::Simple(text.to_vec()),
            b'-' => Self::Error(text.to_vec()),
            b':' => Self::Integer(number(text)?),
            b',' => Self::Double(number(text)?),
            b'#' => Self::Boolean(text == b"t"),
            _ => Self::BigNumber(text.to_vec()),
        })
    }
}

/// The length in bytes of the first reply in `input`; `None`: it is not all there.
pub fn skip(input: &[u8]) -> Result<Option<usize>, MalformedReply> {
    ReplyEnd::new().find(input)
}

/// Finds where a reply ends that arrives in pieces, without reading again what it has read.
#[derive(Clone, Copy, Debug)]
pub struct ReplyEnd {
    /// Replies still to come, the outermost included.
    pending: u64,
    /// Where the next header begins. May lie beyond the input: a long string is stepped over.
    position: usize,
}

impl Default for ReplyEnd {
    fn default() -> Self {
        Self::new()
    }
}

impl ReplyEnd {
    pub fn new() -> Self {
        Self { pending: 1, position: 0 }
    }

    /// `input` begins with the reply's first byte and may have grown since the last call. The
    /// reply's length; `None`: it is not all there. (A header line that is cut is read again.)
    pub fn find(&mut self, input: &[u8]) -> Result<Option<usize>, MalformedReply> {
        while self.pending > 0 {
            let Some(rest) = input.get(self.position..) else { return Ok(None) };
            let Some((header, used)) = Header::read(rest)? else { return Ok(None) };
            let mut length = used;
            self.pending -= 1;
            match header {
                Header::Line(..) | Header::Null | Header::NullArray => {}
                Header::Bytes(_, bytes) => {
                    length += bytes + 2;
                    let end = bytes + used;
                    if rest.get(end..end + 2).is_some_and(|end| end != b"\r\n") {
                        return Err(MalformedReply);
                    }
                    if rest.len() < length {
                        // Looked at again when the end is there, so that it is checked.
                        self.pending += 1;
                        return Ok(None);
                    }
                }
                Header::Aggregate(kind, elements) => {
                    self.pending += match kind {
                        b'%' => elements as u64 * 2,
                        // An attribute stands before the reply that it describes.
                        b'|' => elements as u64 * 2 + 1,
                        _ => elements as u64,
                    };
                    if self.pending > PENDING_MAX {
                        return Err(MalformedReply);
                    }
                }
            }
            self.position += length;
        }
        Ok((self.position <= input.len()).then_some(self.position))
    }
}

/// The first line of a reply.
enum Header<'a> {
    /// All of it: `+ - : , # (`. The text has been checked.
    Line(u8, &'a [u8]),
    Null,
    NullArray,
    /// `$ ! =` and a length; that many bytes and CR LF follow.
    Bytes(u8, usize),
    /// `* ~ > % |` and a count.
    Aggregate(u8, usize),
}

impl<'a> Header<'a> {
    /// The header and the length of its line; `None`: the line is not all there.
    fn read(input: &'a [u8]) -> Result<Option<(Self, usize)>, MalformedReply> {
        let Some((&kind, rest)) = input.split_first() else { return Ok(None) };
        let window = &rest[..rest.len().min(REPLY_LINE_BYTES_MAX)];
        let Some(end) = window.iter().position(|&byte| byte == b'\n') else {
            return if window.len() < rest.len() { Err(MalformedReply) } else { Ok(None) };
        };
        let text = window[..end].strip_suffix(b"\r").ok_or(MalformedReply)?;
        let header = match kind {
            b'+' | b'-' => Self::Line(kind, text),
            b':' if number::<i64>(text).is_ok() => Self::Line(kind, text),
            b',' if number::<f64>(text).is_ok() => Self::Line(kind, text),
            b'#' if text == b"t" || text == b"f" => Self::Line(kind, text),
            b'(' if is_integer(text) => Self::Line(kind, text),
            b'_' if text.is_empty() => Self::Null,
            b'$' if text == b"-1" => Self::Null,
            b'*' if text == b"-1" => Self::NullArray,
            b'$' | b'!' => Self::Bytes(kind, length(text)?),
            // Three letters and a colon come first.
            b'=' if length(text)? >= 4 => Self::Bytes(kind, length(text)?),
            b'*' | b'~' | b'>' | b'%' | b'|' => Self::Aggregate(kind, length(text)?),
            _ => return Err(MalformedReply),
        };
        Ok(Some((header, end + 2)))
    }
}

fn is_integer(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

fn number<T: std::str::FromStr>(text: &[u8]) -> Result<T, MalformedReply> {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(MalformedReply)
}

/// A length or count, held to 32 bits so that sums of them do not overflow.
fn length(text: &[u8]) -> Result<usize, MalformedReply> {
    Ok(number::<u32>(text)? as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Version, Writer};

    fn parsed(input: &[u8]) -> Value {
        let (value, length) = Value::parse(input).unwrap().unwrap();
        assert_eq!(length, input.len());
        value
    }

    #[test]
    fn reads_each_type() {
        let bulk = |text: &str| Value::Bulk(text.into());
        for (input, expected) in [
            ("+OK\r\n", Value::Simple(b"OK".into())),
            ("-ERR no\r\n", Value::Error(b"ERR no".into())),
            ("!5\r\nE\r\nno\r\n", Value::Error(b"E\r\nno".into())),
            (":-5\r\n", Value::Integer(-5)),
            ("$0\r\n\r\n", bulk("")),
            ("$4\r\na\r\nb\r\n", bulk("a\r\nb")),
            ("$-1\r\n", Value::Null),
            ("_\r\n", Value::Null),
            ("*-1\r\n", Value::NullArray),
            ("*0\r\n", Value::Array(vec![])),
            ("*2\r\n*1\r\n:1\r\n$1\r\na\r\n", {
                Value::Array(vec![Value::Array(vec![Value::Integer(1)]), bulk("a")])
            }),
            ("%1\r\n+a\r\n#t\r\n", {
                Value::Map(vec![(Value::Simple(b"a".into()), Value::Boolean(true))])
            }),
            ("~1\r\n,1.5\r\n", Value::Set(vec![Value::Double(1.5)])),
            (">1\r\n,-inf\r\n", Value::Push(vec![Value::Double(f64::NEG_INFINITY)])),
            ("=6\r\ntxt:hi\r\n", Value::Verbatim(b"hi".into())),
            ("(-123456789012345678901234567890\r\n", {
                Value::BigNumber(b"-123456789012345678901234567890".into())
            }),
            ("|1\r\n+ttl\r\n:9\r\n+OK\r\n", Value::Simple(b"OK".into())),
        ] {
            assert_eq!(parsed(input.as_bytes()), expected, "{input:?}");
            let mut end = ReplyEnd::new();
            for cut in 0..input.len() {
                assert_eq!(Value::parse(&input.as_bytes()[..cut]), Ok(None), "{input:?}");
                assert_eq!(end.find(&input.as_bytes()[..cut]), Ok(None), "{input:?}");
            }
            // What follows belongs to the next reply.
            let more = [input.as_bytes(), b"x"].concat();
            assert_eq!(end.find(&more), Ok(Some(input.len())));
            assert_eq!(skip(&more), Ok(Some(input.len())));
        }
    }

    #[test]
    fn refuses_what_is_no_reply() {
        let deep = "*1\r\n".repeat(REPLY_DEPTH_MAX) + ":1\r\n";
        for input in [
            "x\r\n",
            "+OK\n",
            ":\r\n",
            ":1x\r\n",
            ",abc\r\n",
            "#x\r\n",
            "(1.5\r\n",
            "_x\r\n",
            "$-2\r\n",
            "$x\r\n",
            "$1\r\nabc",
            "=3\r\nabc\r\n",
            "*99999999999999999999\r\n",
            "*4294967295\r\n*4294967295\r\n",
            deep.as_str(),
        ] {
            assert_eq!(Value::parse(input.as_bytes()), Err(MalformedReply), "{input:?}");
        }
        let endless = vec![b'+'; REPLY_LINE_BYTES_MAX + 2];
        assert_eq!(skip(&endless), Err(MalformedReply));
    }

    #[test]
    fn reads_what_the_writer_writes() {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out, Version::Resp3);
        writer.map(2);
        writer.bulk(b"key");
        writer.double(0.1);
        writer.set(1);
        writer.null();
        writer.verbatim("text");
        assert_eq!(
            parsed(&out),
            Value::Map(vec![
                (Value::Bulk(b"key".into()), Value::Double(0.1)),
                (Value::Set(vec![Value::Null]), Value::Verbatim(b"text".into())),
            ])
        );
    }
}
