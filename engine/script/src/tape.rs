//! Values on their way between Lua and commands, flat: a list of items, their texts in one buffer.
//! A handler writes its reply here, and only then, with nothing left to drop, does it become Lua
//! values: an error that Lua raises on the way jumps over our frames. Knows no Lua.

use bytes::Bytes;
use ringlane_command::{CommandError, Reply};

/// A stretch of `Tape::bytes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text {
    start: usize,
    end: usize,
}

/// One item. An aggregate is followed by its elements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Item {
    Nil,
    /// The null that stands for a whole array.
    NilArray,
    Bool(bool),
    Integer(i64),
    /// A number of Lua.
    Number(f64),
    /// A double of RESP.
    Double(f64),
    Text(Text),
    /// A text that is counted by references: `Tape::blobs`.
    Blob(usize),
    Status(Text),
    Error(Text),
    BigNumber(Text),
    Verbatim([u8; 3], Text),
    Array(usize),
    Set(usize),
    /// Followed by twice as many items.
    Map(usize),
    /// cjson's null.
    JsonNull,
}

/// Values, one after the other.
#[derive(Default)]
pub struct Tape {
    pub items: Vec<Item>,
    pub bytes: Vec<u8>,
    pub blobs: Vec<Bytes>,
}

/// What is kept of a tape's memory between uses, in bytes and in items.
const KEEP_MAX: usize = 64 << 10;

impl Tape {
    pub fn clear(&mut self) {
        self.items.clear();
        self.bytes.clear();
        self.blobs.clear();
        if self.bytes.capacity() > KEEP_MAX {
            self.bytes = Vec::new();
        }
        if self.items.capacity() > KEEP_MAX / size_of::<Item>() {
            self.items = Vec::new();
        }
    }

    /// Bytes that it holds, blobs apart.
    pub fn size(&self) -> usize {
        self.items.len() * size_of::<Item>() + self.bytes.len()
    }

    #[inline]
    pub fn push(&mut self, item: Item) {
        self.items.push(item);
    }

    /// Copies a text in.
    #[inline]
    pub fn keep(&mut self, text: &[u8]) -> Text {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(text);
        Text { start, end: self.bytes.len() }
    }

    /// The text written to `bytes` since it had this length.
    pub fn text_since(&self, start: usize) -> Text {
        Text { start, end: self.bytes.len() }
    }

    #[inline]
    pub fn push_text(&mut self, text: &[u8]) {
        let text = self.keep(text);
        self.items.push(Item::Text(text));
    }

    #[inline]
    pub fn text(&self, text: Text) -> &[u8] {
        &self.bytes[text.start..text.end]
    }

    /// The text of an item that is one.
    pub fn text_of(&self, item: Item) -> Option<&[u8]> {
        match item {
            Item::Text(text) => Some(self.text(text)),
            Item::Blob(index) => Some(&self.blobs[index]),
            Item::Nil
            | Item::NilArray
            | Item::Bool(_)
            | Item::Integer(_)
            | Item::Number(_)
            | Item::Double(_)
            | Item::Status(_)
            | Item::Error(_)
            | Item::BigNumber(_)
            | Item::Verbatim(..)
            | Item::Array(_)
            | Item::Set(_)
            | Item::Map(_)
            | Item::JsonNull => None,
        }
    }

    /// Says all of it as an answer.
    pub fn replay(&self, reply: &mut dyn Reply) {
        for item in &self.items {
            match *item {
                Item::Nil | Item::JsonNull => reply.null(),
                Item::NilArray => reply.null_array(),
                Item::Bool(value) => reply.boolean(value),
                Item::Integer(value) => reply.integer(value),
                Item::Number(value) | Item::Double(value) => reply.double(value),
                Item::Text(text) => reply.bulk(self.text(text)),
                Item::Blob(index) => reply.blob(&self.blobs[index]),
                Item::Status(text) => reply.status(self.text(text)),
                Item::Error(text) => {
                    let text = String::from_utf8_lossy(self.text(text)).into_owned();
                    reply.error(&CommandError::Text(text));
                }
                Item::BigNumber(text) => reply.big_number(self.text(text)),
                Item::Verbatim(format, text) => reply.verbatim_as(format, self.text(text)),
                Item::Array(length) => reply.array(length),
                Item::Set(length) => reply.set(length),
                Item::Map(pairs) => reply.map(pairs),
            }
        }
    }
}

impl Reply for Tape {
    fn simple(&mut self, text: &'static str) {
        self.status(text.as_bytes());
    }

    fn error(&mut self, error: &CommandError) {
        let text = self.keep(error.to_string().as_bytes());
        self.push(Item::Error(text));
    }

    fn integer(&mut self, value: i64) {
        self.push(Item::Integer(value));
    }

    fn bulk(&mut self, bytes: &[u8]) {
        self.push_text(bytes);
    }

    fn blob(&mut self, blob: &Bytes) {
        self.blobs.push(blob.clone());
        self.push(Item::Blob(self.blobs.len() - 1));
    }

    fn null(&mut self) {
        self.push(Item::Nil);
    }

    fn null_array(&mut self) {
        self.push(Item::NilArray);
    }

    fn array(&mut self, length: usize) {
        self.push(Item::Array(length));
    }

    fn map(&mut self, pairs: usize) {
        self.push(Item::Map(pairs));
    }

    fn set(&mut self, length: usize) {
        self.push(Item::Set(length));
    }

    fn double(&mut self, value: f64) {
        self.push(Item::Double(value));
    }

    fn boolean(&mut self, value: bool) {
        self.push(Item::Bool(value));
    }

    fn verbatim(&mut self, text: &str) {
        self.verbatim_as(*b"txt", text.as_bytes());
    }

    fn status(&mut self, text: &[u8]) {
        let text = self.keep(text);
        self.push(Item::Status(text));
    }

    fn big_number(&mut self, digits: &[u8]) {
        let text = self.keep(digits);
        self.push(Item::BigNumber(text));
    }

    fn verbatim_as(&mut self, format: [u8; 3], text: &[u8]) {
        let text = self.keep(text);
        self.push(Item::Verbatim(format, text));
    }
}
