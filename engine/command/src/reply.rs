//! What a handler answers, independent of the protocol version that carries it.

use bytes::Bytes;

use crate::CommandError;

/// The answer of one command, in the order it is written. The implementation chooses RESP2 or RESP3.
/// Every `array`, `map` or `set` is followed by exactly that many elements (a map by twice as many).
pub trait Reply {
    /// `+text`, one line.
    fn simple(&mut self, text: &'static str);
    /// `-CODE message`, one line.
    fn error(&mut self, error: &CommandError);
    fn integer(&mut self, value: i64);
    /// A string of bytes, copied.
    fn bulk(&mut self, bytes: &[u8]);
    /// A string of bytes, shared: a large value goes to the socket without being copied.
    fn blob(&mut self, blob: &Bytes);
    /// RESP2 `$-1`, RESP3 `_`.
    fn null(&mut self);
    /// RESP2 `*-1`, RESP3 `_`.
    fn null_array(&mut self);
    fn array(&mut self, length: usize);
    /// RESP2: an array of `2 * pairs`.
    fn map(&mut self, pairs: usize);
    /// As many pairs follow, each after `pair`: RESP3 an array of arrays of two, RESP2 a flat array.
    fn pairs(&mut self, pairs: usize) {
        self.array(2 * pairs);
    }
    /// A pair of `pairs` follows.
    fn pair(&mut self) {}
    /// As many parts follow, each after `part` a name and a value: RESP3 a map, RESP2 an array of arrays
    /// of two.
    fn parts(&mut self, parts: usize) {
        self.array(parts);
    }
    /// A part of `parts` follows.
    fn part(&mut self) {
        self.array(2);
    }
    /// RESP2: an array.
    fn set(&mut self, length: usize);
    /// RESP2: a bulk string of the shortest spelling that reads back the same.
    fn double(&mut self, value: f64);
    /// A bulk string in both versions, spelled as `double` spells it in RESP2.
    fn double_bulk(&mut self, value: f64) {
        self.double(value);
    }
    /// A double in this spelling. RESP2: a bulk string.
    fn spelled_double(&mut self, text: &str) {
        self.bulk(text.as_bytes());
    }
    /// RESP2: `:1` or `:0`.
    fn boolean(&mut self, value: bool);
    /// RESP3 `=txt:`; RESP2: a bulk string.
    fn verbatim(&mut self, text: &str);
    /// `+text`, one line, of a text that was not known beforehand; its line breaks become blanks.
    fn status(&mut self, text: &[u8]);
    /// RESP3 `(digits`; RESP2: a bulk string. Line breaks become blanks.
    fn big_number(&mut self, digits: &[u8]);
    /// RESP3 `=fmt:text` with the first three bytes of `format`; RESP2: a bulk string.
    fn verbatim_as(&mut self, format: [u8; 3], text: &[u8]);
}
