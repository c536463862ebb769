//! The two ways a handler's answer goes: encoded for a client, or added up.

use bytes::Bytes;
use ringlane_command::{CommandError, Reply};
use ringlane_resp::{Version, Writer};

use crate::reply_buffer::ReplyBuffer;

/// Values of this size and more are shared with the socket, smaller ones copied.
const SHARED_BYTES_MIN: usize = 16 << 10;

/// Writes answers as RESP2 or RESP3 into a buffer.
pub struct RespReply<'a> {
    out: &'a mut ReplyBuffer,
    version: Version,
}

impl<'a> RespReply<'a> {
    #[inline]
    pub fn new(out: &'a mut ReplyBuffer, version: Version) -> Self {
        Self { out, version }
    }

    #[inline]
    fn writer(&mut self) -> Writer<'_> {
        Writer::new(&mut self.out.bytes, self.version)
    }

    pub fn version(&self) -> Version {
        self.version
    }

    /// An error, for code that has no `dyn Reply` at hand.
    pub fn error_line(&mut self, error: &CommandError) {
        self.writer().error(error);
    }

    pub fn array_header(&mut self, length: usize) {
        self.writer().array(length);
    }

    /// The head of something that the client did not ask for: RESP3 a push, RESP2 an array.
    pub fn push_header(&mut self, length: usize) {
        self.writer().push(length);
    }

    pub fn integer_line(&mut self, value: i64) {
        self.writer().integer(value);
    }

    pub fn bulk_line(&mut self, bytes: &[u8]) {
        self.writer().bulk(bytes);
    }

    /// A text made of pieces, none of them copied: RESP3 `=txt:`, RESP2 a bulk string.
    pub fn verbatim_pieces(&mut self, pieces: &[Bytes]) {
        const FORMAT: &[u8] = b"txt:";
        let length = pieces.iter().map(Bytes::len).sum::<usize>();
        match self.version {
            Version::Resp2 => self.writer().bulk_header(length),
            Version::Resp3 => {
                let length = length + FORMAT.len();
                self.out.bytes.extend_from_slice(format!("={length}\r\n").as_bytes());
                self.out.bytes.extend_from_slice(FORMAT);
            }
        }
        for piece in pieces {
            self.out.push_blob(piece.clone());
        }
        self.writer().line_end();
    }
}

impl Reply for RespReply<'_> {
    fn simple(&mut self, text: &'static str) {
        self.writer().simple(text);
    }

    fn error(&mut self, error: &CommandError) {
        self.writer().error(error);
    }

    fn integer(&mut self, value: i64) {
        self.writer().integer(value);
    }

    #[inline]
    fn bulk(&mut self, bytes: &[u8]) {
        self.writer().bulk(bytes);
    }

    fn blob(&mut self, blob: &Bytes) {
        if blob.len() < SHARED_BYTES_MIN {
            return self.writer().bulk(blob);
        }
        self.writer().bulk_header(blob.len());
        self.out.push_blob(blob.clone());
        self.writer().line_end();
    }

    fn null(&mut self) {
        self.writer().null();
    }

    fn null_array(&mut self) {
        self.writer().null_array();
    }

    fn array(&mut self, length: usize) {
        self.writer().array(length);
    }

    fn map(&mut self, pairs: usize) {
        self.writer().map(pairs);
    }

    fn pairs(&mut self, pairs: usize) {
        match self.version {
            Version::Resp2 => self.array(2 * pairs),
            Version::Resp3 => self.array(pairs),
        }
    }

    fn pair(&mut self) {
        match self.version {
            Version::Resp2 => {}
            Version::Resp3 => self.array(2),
        }
    }

    fn parts(&mut self, parts: usize) {
        match self.version {
            Version::Resp2 => self.array(parts),
            Version::Resp3 => self.map(parts),
        }
    }

    fn part(&mut self) {
        match self.version {
            Version::Resp2 => self.array(2),
            Version::Resp3 => {}
        }
    }

    fn set(&mut self, length: usize) {
        self.writer().set(length);
    }

    fn double(&mut self, value: f64) {
        self.writer().double(value);
    }

    fn double_bulk(&mut self, value: f64) {
        Writer::new(&mut self.out.bytes, Version::Resp2).double(value);
    }

    fn spelled_double(&mut self, text: &str) {
        self.writer().spelled_double(text);
    }

    fn boolean(&mut self, value: bool) {
        self.writer().boolean(value);
    }

    fn verbatim(&mut self, text: &str) {
        self.writer().verbatim(text);
    }

    fn status(&mut self, text: &[u8]) {
        self.writer().status(text);
    }

    fn big_number(&mut self, digits: &[u8]) {
        self.writer().big_number(digits);
    }

    fn verbatim_as(&mut self, format: [u8; 3], text: &[u8]) {
        self.writer().verbatim_as(format, text);
    }
}

/// Adds up the integers that handlers answer (`Merge::Sum`).
#[derive(Default)]
pub struct SumReply {
    pub total: i64,
}

impl Reply for SumReply {
    fn integer(&mut self, value: i64) {
        self.total += value;
    }

    fn simple(&mut self, _: &'static str) {
        not_an_integer();
    }

    fn error(&mut self, _: &CommandError) {
        not_an_integer();
    }

    fn bulk(&mut self, _: &[u8]) {
        not_an_integer();
    }

    fn blob(&mut self, _: &Bytes) {
        not_an_integer();
    }

    fn null(&mut self) {
        not_an_integer();
    }

    fn null_array(&mut self) {
        not_an_integer();
    }

    fn array(&mut self, _: usize) {
        not_an_integer();
    }

    fn map(&mut self, _: usize) {
        not_an_integer();
    }

    fn set(&mut self, _: usize) {
        not_an_integer();
    }

    fn double(&mut self, _: f64) {
        not_an_integer();
    }

    fn boolean(&mut self, _: bool) {
        not_an_integer();
    }

    fn verbatim(&mut self, _: &str) {
        not_an_integer();
    }

    fn status(&mut self, _: &[u8]) {
        not_an_integer();
    }

    fn big_number(&mut self, _: &[u8]) {
        not_an_integer();
    }

    fn verbatim_as(&mut self, _: [u8; 3], _: &[u8]) {
        not_an_integer();
    }
}

/// A row that says `Merge::Sum` promises a handler that answers with an integer.
fn not_an_integer() -> ! {
    panic!("a command whose answers are summed answered with something else");
}
