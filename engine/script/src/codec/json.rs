//! cjson: JSON as the Lua library of that name writes and reads it, with its options and its words.
//! <https://www.kyne.com.au/~mark/software/lua-cjson-manual.html>

use super::{Desk, Fault, Look, STEPS_A_LOOK};
use crate::number;
use crate::tape::{Item, Tape};

/// What `cjson.encode_…` and `cjson.decode_…` set. One set a lane: scripts share it, as in Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "the switches of the library")]
pub struct Options {
    /// Arrays with more holes become objects instead of an error.
    pub sparse_convert: bool,
    pub sparse_ratio: usize,
    pub sparse_safe: usize,
    pub encode_max_depth: usize,
    pub decode_max_depth: usize,
    /// Significant digits.
    pub number_precision: usize,
    pub keep_buffer: bool,
    pub encode_invalid_numbers: Invalid,
    pub decode_invalid_numbers: bool,
}

/// What becomes of numbers that JSON does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalid {
    Refused,
    Written,
    Null,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            sparse_convert: false,
            sparse_ratio: 2,
            sparse_safe: 10,
            encode_max_depth: 1000,
            decode_max_depth: 1000,
            number_precision: 14,
            keep_buffer: true,
            encode_invalid_numbers: Invalid::Refused,
            decode_invalid_numbers: true,
        }
    }
}

impl Options {
    /// Whether an array of `count` elements up to index `length` has too many holes.
    pub fn is_sparse(&self, length: usize, count: usize) -> bool {
        self.sparse_ratio > 0
            && length > count.saturating_mul(self.sparse_ratio)
            && length > self.sparse_safe
    }
}

/// `cjson.encode(value)`.
pub fn encode(desk: &mut Desk, look: Look<'_>) -> Result<(), Fault> {
    if desk.arguments != 1 {
        return Err(desk.bad_argument(1, "expected 1 argument"));
    }
    let start = desk.output.bytes.len();
    let mut writer = Encoder {
        tape: &desk.input,
        out: &mut desk.output.bytes,
        options: &desk.json,
        look,
        stopped: false,
    };
    let written = writer.value(0);
    if writer.stopped {
        return Err(Fault::Stopped);
    }
    if written.is_none() {
        return Err(desk.failed("Cannot serialise number: must not be NaN or Inf"));
    }
    let text = desk.output.text_since(start);
    desk.output.push(Item::Text(text));
    desk.results = 1;
    Ok(())
}

struct Encoder<'a> {
    tape: &'a Tape,
    out: &'a mut Vec<u8>,
    options: &'a Options,
    look: Look<'a>,
    stopped: bool,
}

impl Encoder<'_> {
    /// Writes the value at `at` and returns what comes after it; None: a number that JSON has not,
    /// or the script is overdue.
    fn value(&mut self, at: usize) -> Option<usize> {
        if at % STEPS_A_LOOK == STEPS_A_LOOK - 1 {
            self.pace(STEPS_A_LOOK)?;
        }
        match self.tape.items[at] {
            Item::Bool(true) => self.out.extend_from_slice(b"true"),
            Item::Bool(false) => self.out.extend_from_slice(b"false"),
            Item::Number(value) => self.number(value)?,
            Item::Integer(value) => self.number(value as f64)?,
            Item::Array(length) => return self.array(at + 1, length),
            Item::Map(pairs) => return self.object(at + 1, pairs),
            item => match self.tape.text_of(item) {
                Some(text) => self.string(text)?,
                None => self.out.extend_from_slice(b"null"),
            },
        }
        Some(at + 1)
    }

    fn pace(&mut self, steps: usize) -> Option<()> {
        self.stopped |= (self.look)(steps);
        (!self.stopped).then_some(())
    }

    fn string(&mut self, text: &[u8]) -> Option<()> {
        self.out.reserve(text.len() + 2);
        self.out.push(b'"');
        for piece in text.chunks(PIECE_BYTES) {
            if text.len() > PIECE_BYTES {
                self.pace(piece.len() / BYTES_A_STEP)?;
            }
            write_escaped(self.out, piece);
        }
        self.out.push(b'"');
        Some(())
    }

    fn array(&mut self, mut at: usize, length: usize) -> Option<usize> {
        self.out.push(b'[');
        for index in 0..length {
            if index > 0 {
                self.out.push(b',');
            }
            at = self.value(at)?;
        }
        self.out.push(b']');
        Some(at)
    }

    fn object(&mut self, mut at: usize, pairs: usize) -> Option<usize> {
        self.out.push(b'{');
        for index in 0..pairs {
            if index > 0 {
                self.out.push(b',');
            }
            if let Item::Number(key) = self.tape.items[at] {
                self.out.push(b'"');
                self.number(key)?;
                self.out.push(b'"');
                at += 1;
            } else {
                at = self.value(at)?;
            }
            self.out.push(b':');
            at = self.value(at)?;
        }
        self.out.push(b'}');
        Some(at)
    }

    fn number(&mut self, value: f64) -> Option<()> {
        // The common case is spelled without a detour; both agree below 10^precision.
        const SHORT: f64 = 1e9;
        if !value.is_finite() {
            match self.options.encode_invalid_numbers {
                Invalid::Refused => return None,
                Invalid::Written => {}
                Invalid::Null => {
                    self.out.extend_from_slice(b"null");
                    return Some(());
                }
            }
        }
        match number::exact_integer(value) {
            Some(integer) if value.abs() < SHORT && self.options.number_precision >= 10 => {
                self.out.extend_from_slice(itoa::Buffer::new().format(integer).as_bytes());
            }
            Some(_) | None => {
                number::write_general(self.out, value, self.options.number_precision);
            }
        }
        Some(())
    }
}

/// Bytes of a string that are written between two looks, and those of one step.
const PIECE_BYTES: usize = 64 << 10;
const BYTES_A_STEP: usize = 8;

/// The inside of a string. Bytes beyond ASCII are taken as they are.
fn write_escaped(out: &mut Vec<u8>, text: &[u8]) {
    for &byte in text {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'/' => out.extend_from_slice(b"\\/"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            0..=0x1f | 0x7f => {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                out.extend_from_slice(b"\\u00");
                out.push(DIGITS[usize::from(byte >> 4)]);
                out.push(DIGITS[usize::from(byte & 15)]);
            }
            _ => out.push(byte),
        }
    }
}

/// `cjson.decode(text)`.
pub fn decode(desk: &mut Desk, look: Look<'_>) -> Result<(), Fault> {
    if desk.arguments != 1 {
        return Err(desk.bad_argument(1, "expected 1 argument"));
    }
    let text = desk.input.text_of(desk.input.items[0]).unwrap_or_default();
    let mut decoder = Decoder {
        text,
        at: 0,
        start: 0,
        tape: &mut desk.output,
        options: &desk.json,
        look,
        steps: 0,
        stopped: false,
    };
    let outcome = decoder.whole();
    if decoder.stopped {
        return Err(Fault::Stopped);
    }
    match outcome {
        Ok(()) => {
            desk.results = 1;
            Ok(())
        }
        Err(message) => Err(desk.failed(message)),
    }
}

/// What stands at a place of a text.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Token {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    /// Its text is the last that was kept.
    String(crate::tape::Text),
    Number(f64),
    Boolean(bool),
    Null,
    Colon,
    Comma,
    End,
    Invalid(&'static str),
}

impl Token {
    /// As cjson's errors call it.
    fn name(self) -> &'static str {
        match self {
            Self::ObjectBegin => "T_OBJ_BEGIN",
            Self::ObjectEnd => "T_OBJ_END",
            Self::ArrayBegin => "T_ARR_BEGIN",
            Self::ArrayEnd => "T_ARR_END",
            Self::String(_) => "T_STRING",
            Self::Number(_) => "T_NUMBER",
            Self::Boolean(_) => "T_BOOLEAN",
            Self::Null => "T_NULL",
            Self::Colon => "T_COLON",
            Self::Comma => "T_COMMA",
            Self::End => "T_END",
            Self::Invalid(what) => what,
        }
    }
}

struct Decoder<'a> {
    text: &'a [u8],
    at: usize,
    /// Where the last token began.
    start: usize,
    tape: &'a mut Tape,
    options: &'a Options,
    look: Look<'a>,
    /// Tokens that were read.
    steps: usize,
    stopped: bool,
}

impl Decoder<'_> {
    fn whole(&mut self) -> Result<(), String> {
        // As the library: of the encodings of Unicode, only UTF-8 is read.
        if self.text.len() >= 2 && (self.text[0] == 0 || self.text[1] == 0) {
            return Err("JSON parser does not support UTF-16 or UTF-32".into());
        }
        let first = self.next();
        self.value(first, 0)?;
        match self.next() {
            Token::End => Ok(()),
            other => Err(self.expected("the end", other)),
        }
    }

    fn expected(&self, what: &str, found: Token) -> String {
        format!("Expected {what} but found {} at character {}", found.name(), self.start + 1)
    }

    fn value(&mut self, token: Token, depth: usize) -> Result<(), String> {
        let item = match token {
            Token::String(text) => Item::Text(text),
            Token::Number(value) => Item::Number(value),
            Token::Boolean(value) => Item::Bool(value),
            Token::Null => Item::JsonNull,
            Token::ObjectBegin => return self.object(depth + 1),
            Token::ArrayBegin => return self.array(depth + 1),
            Token::ObjectEnd
            | Token::ArrayEnd
            | Token::Colon
            | Token::Comma
            | Token::End
            | Token::Invalid(_) => return Err(self.expected("value", token)),
        };
        self.tape.push(item);
        Ok(())
    }

    fn check_depth(&self, depth: usize) -> Result<(), String> {
        if depth <= self.options.decode_max_depth {
            return Ok(());
        }
        let at = self.at;
        Err(format!("Found too many nested data structures ({depth}) at character {at}"))
    }

    fn object(&mut self, depth: usize) -> Result<(), String> {
        self.check_depth(depth)?;
        let header = self.tape.items.len();
        self.tape.push(Item::Map(0));
        let mut pairs = 0;
        let mut token = self.next();
        if token == Token::ObjectEnd {
            return Ok(());
        }
        loop {
            let Token::String(key) = token else {
                return Err(self.expected("object key string", token));
            };
            self.tape.push(Item::Text(key));
            token = self.next();
            if token != Token::Colon {
                return Err(self.expected("colon", token));
            }
            token = self.next();
            self.value(token, depth)?;
            pairs += 1;
            match self.next() {
                Token::ObjectEnd => break,
                Token::Comma => token = self.next(),
                other => return Err(self.expected("comma or object end", other)),
            }
        }
        self.tape.items[header] = Item::Map(pairs);
        Ok(())
    }

    fn array(&mut self, depth: usize) -> Result<(), String> {
        self.check_depth(depth)?;
        let header = self.tape.items.len();
        self.tape.push(Item::Array(0));
        let mut length = 0;
        let mut token = self.next();
        if token == Token::ArrayEnd {
            return Ok(());
        }
        loop {
            self.value(token, depth)?;
            length += 1;
            match self.next() {
                Token::ArrayEnd => break,
                Token::Comma => token = self.next(),
                other => return Err(self.expected("comma or array end", other)),
            }
        }
        self.tape.items[header] = Item::Array(length);
        Ok(())
    }

    fn next(&mut self) -> Token {
        self.steps += 1;
        if self.steps.is_multiple_of(STEPS_A_LOOK) {
            self.stopped |= (self.look)(STEPS_A_LOOK);
        }
        if self.stopped {
            return Token::Invalid("nothing, for the script is overdue");
        }
        while matches!(self.text.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        self.start = self.at;
        // A zero byte ends the text, as it ends C's.
        let Some(&byte) = self.text.get(self.at).filter(|byte| **byte != 0) else {
            return Token::End;
        };
        let simple = match byte {
            b'{' => Token::ObjectBegin,
            b'}' => Token::ObjectEnd,
            b'[' => Token::ArrayBegin,
            b']' => Token::ArrayEnd,
            b':' => Token::Colon,
            b',' => Token::Comma,
            b'"' => return self.string(),
            b'-' | b'+' | b'0'..=b'9' => return self.number(),
            _ => return self.word(),
        };
        self.at += 1;
        simple
    }

    fn word(&mut self) -> Token {
        let rest = &self.text[self.at..];
        for (word, token) in [
            ("true", Token::Boolean(true)),
            ("false", Token::Boolean(false)),
            ("null", Token::Null),
        ] {
            if rest.starts_with(word.as_bytes()) {
                self.at += word.len();
                return token;
            }
        }
        if self.options.decode_invalid_numbers
            && let Some((value, length)) = unusual_number(rest)
        {
            self.at += length;
            return Token::Number(value);
        }
        Token::Invalid("invalid token")
    }

    /// A number as C's `strtod` reads it: hexadecimal and leading zeros too, unless the options
    /// refuse them.
    fn number(&mut self) -> Token {
        let rest = &self.text[self.at..];
        let unsigned = &rest[usize::from(matches!(rest[0], b'-' | b'+'))..];
        let strange = rest[0] == b'+'
            || matches!(unsigned, [b'0', b'0'..=b'9' | b'x' | b'X', ..])
            || matches!(unsigned.first(), Some(b'i' | b'I' | b'n' | b'N'));
        if strange && !self.options.decode_invalid_numbers {
            return Token::Invalid("invalid number");
        }
        match unusual_number(rest).or_else(|| usual_number(rest)) {
            Some((value, length)) => {
                self.at += length;
                Token::Number(value)
            }
            None => Token::Invalid("invalid number"),
        }
    }

    fn string(&mut self) -> Token {
        let begin = self.tape.bytes.len();
        self.at += 1;
        loop {
            let rest = &self.text[self.at..];
            let plain = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0));
            let Some(plain) = plain else {
                self.at = self.text.len();
                return self.unfinished();
            };
            self.tape.bytes.extend_from_slice(&rest[..plain]);
            self.at += plain;
            match rest[plain] {
                b'"' => {
                    self.at += 1;
                    return Token::String(self.tape.text_since(begin));
                }
                0 => return self.unfinished(),
                _ => {
                    if let Err(what) = self.escape() {
                        self.start = self.at;
                        return Token::Invalid(what);
                    }
                }
            }
        }
    }

    fn unfinished(&mut self) -> Token {
        self.start = self.at;
        Token::Invalid("unexpected end of string")
    }

    fn escape(&mut self) -> Result<(), &'static str> {
        let byte = match self.text.get(self.at + 1) {
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'r') => b'\r',
            Some(b'b') => 0x08,
            Some(b'f') => 0x0c,
            Some(byte @ (b'"' | b'\\' | b'/')) => *byte,
            Some(b'u') => {
                let (letter, length) =
                    unicode(&self.text[self.at..]).ok_or("invalid unicode escape code")?;
                let mut bytes = [0; 4];
                let spelled = letter.encode_utf8(&mut bytes);
                self.tape.bytes.extend_from_slice(spelled.as_bytes());
                self.at += length;
                return Ok(());
            }
            Some(_) | None => return Err("invalid escape code"),
        };
        self.tape.bytes.push(byte);
        self.at += 2;
        Ok(())
    }
}

/// The letter that `\u` and four hexadecimal digits stand for, or two of those that are a surrogate pair,
/// and their length.
fn unicode(text: &[u8]) -> Option<(char, usize)> {
    let unit = |at: usize| -> Option<u32> {
        let digits = text.get(at..at + 6)?.strip_prefix(b"\\u")?;
        let is_hex = digits.iter().all(u8::is_ascii_hexdigit);
        let digits = std::str::from_utf8(digits).ok().filter(|_| is_hex)?;
        u32::from_str_radix(digits, 16).ok()
    };
    let first = unit(0)?;
    if let Some(letter) = char::from_u32(first) {
        return Some((letter, 6));
    }
    let second = unit(6).filter(|second| (0xdc00..0xe000).contains(second))?;
    if !(0xd800..0xdc00).contains(&first) {
        return None;
    }
    let joined = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
    char::from_u32(joined).map(|letter| (letter, 12))
}

/// Infinity, NaN and hexadecimal integers, in any case, and their length.
fn unusual_number(text: &[u8]) -> Option<(f64, usize)> {
    let sign = usize::from(matches!(text.first(), Some(b'-' | b'+')));
    let negative = text.first() == Some(&b'-');
    let rest = &text[sign..];
    let starts = |word: &str| {
        rest.len() >= word.len() && rest[..word.len()].eq_ignore_ascii_case(word.as_bytes())
    };
    let (value, length) = if starts("infinity") {
        (f64::INFINITY, 8)
    } else if starts("inf") {
        (f64::INFINITY, 3)
    } else if starts("nan") {
        (f64::NAN, 3)
    } else if starts("0x") {
        let digits = rest[2..].iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        if digits == 0 {
            return None;
        }
        let value = rest[2..2 + digits].iter().fold(0.0, |value: f64, digit| {
            value.mul_add(16.0, f64::from((*digit as char).to_digit(16).unwrap_or(0)))
        });
        (value, 2 + digits)
    } else {
        return None;
    };
    Some((if negative { -value } else { value }, sign + length))
}

/// A decimal number and its length.
fn usual_number(text: &[u8]) -> Option<(f64, usize)> {
    let digits_from = |from: usize| {
        text[from.min(text.len())..].iter().take_while(|byte| byte.is_ascii_digit()).count()
    };
    let sign = usize::from(matches!(text.first(), Some(b'-' | b'+')));
    let whole = digits_from(sign);
    let mut end = sign + whole;
    let mut fraction = 0;
    if text.get(end) == Some(&b'.') {
        fraction = digits_from(end + 1);
        if whole + fraction > 0 {
            end += 1 + fraction;
        }
    }
    if whole + fraction == 0 {
        return None;
    }
    if let Some(b'e' | b'E') = text.get(end) {
        let signed = usize::from(matches!(text.get(end + 1), Some(b'-' | b'+')));
        let exponent = digits_from(end + 1 + signed);
        if exponent > 0 {
            end += 1 + signed + exponent;
        }
    }
    let spelled = std::str::from_utf8(&text[..end]).ok()?;
    spelled.trim_start_matches('+').parse().ok().map(|value| (value, end))
}

/// The integer that argument 1 is, if it is one of the range; else a fault with cjson's words.
fn integer_option(desk: &mut Desk, argument: usize, max: usize) -> Result<Option<usize>, Fault> {
    let Some(value) = desk.optional_number(argument)? else { return Ok(None) };
    if value >= 1.0 && value <= max as f64 {
        return Ok(Some(value as usize));
    }
    Err(desk.bad_argument(argument, format!("expected integer between 1 and {max}")))
}

const DEPTH_OPTION_MAX: usize = i32::MAX as usize;
/// The deepest that values may be nested in fact, whatever the option says: each level is a frame.
const DEPTH_MAX: usize = 4000;

macro_rules! integer_options {
    ($($(#[$doc:meta])* $name:ident $field:ident up to $max:expr, held to $held:expr;)*) => {
        $($(#[$doc])* pub fn $name(desk: &mut Desk, _: Look<'_>) -> Result<(), Fault> {
            if let Some(value) = integer_option(desk, 1, $max)? {
                desk.json.$field = value.min($held);
            }
            desk.output.push(Item::Integer(desk.json.$field as i64));
            desk.results = 1;
            Ok(())
        })*
    };
}

integer_options! {
    /// `cjson.encode_max_depth([depth])`.
    encode_max_depth encode_max_depth up to DEPTH_OPTION_MAX, held to DEPTH_MAX;
    /// `cjson.decode_max_depth([depth])`.
    decode_max_depth decode_max_depth up to DEPTH_OPTION_MAX, held to DEPTH_MAX;
    /// `cjson.encode_number_precision([digits])`.
    encode_number_precision number_precision up to 14, held to 14;
}

/// The switch that argument 1 is, if it is there.
fn flag_option(desk: &mut Desk) -> Result<Option<bool>, Fault> {
    match desk.input.items.first() {
        None | Some(Item::Nil) => Ok(None),
        Some(Item::Bool(value)) => Ok(Some(*value)),
        Some(item) => match desk.input.text_of(*item) {
            Some(b"on") => Ok(Some(true)),
            Some(b"off") => Ok(Some(false)),
            Some(other) => {
                let text = format!("invalid option '{}'", String::from_utf8_lossy(other));
                Err(desk.bad_argument(1, text))
            }
            None => Err(desk.bad_argument(1, "string expected, got number")),
        },
    }
}

/// `cjson.encode_keep_buffer([flag])`: kept and told, of no effect.
pub fn encode_keep_buffer(desk: &mut Desk, _: Look<'_>) -> Result<(), Fault> {
    if let Some(value) = flag_option(desk)? {
        desk.json.keep_buffer = value;
    }
    desk.output.push(Item::Bool(desk.json.keep_buffer));
    desk.results = 1;
    Ok(())
}

/// `cjson.decode_invalid_numbers([flag])`.
pub fn decode_invalid_numbers(desk: &mut Desk, _: Look<'_>) -> Result<(), Fault> {
    if let Some(value) = flag_option(desk)? {
        desk.json.decode_invalid_numbers = value;
    }
    desk.output.push(Item::Bool(desk.json.decode_invalid_numbers));
    desk.results = 1;
    Ok(())
}

/// `cjson.encode_invalid_numbers([flag | "null"])`.
pub fn encode_invalid_numbers(desk: &mut Desk, _: Look<'_>) -> Result<(), Fault> {
    let null = desk.input.items.first().and_then(|item| desk.input.text_of(*item));
    if null == Some(b"null") {
        desk.json.encode_invalid_numbers = Invalid::Null;
    } else if let Some(value) = flag_option(desk)? {
        desk.json.encode_invalid_numbers = if value { Invalid::Written } else { Invalid::Refused };
    }
    match desk.json.encode_invalid_numbers {
        Invalid::Refused => desk.output.push(Item::Bool(false)),
        Invalid::Written => desk.output.push(Item::Bool(true)),
        Invalid::Null => desk.output.push_text(b"null"),
    }
    desk.results = 1;
    Ok(())
}

/// `cjson.encode_sparse_array([convert[, ratio[, safe]]])`.
pub fn encode_sparse_array(desk: &mut Desk, _: Look<'_>) -> Result<(), Fault> {
    if let Some(convert) = flag_option(desk)? {
        desk.json.sparse_convert = convert;
    }
    for argument in [2, 3] {
        let Some(value) = desk.optional_number(argument)? else { continue };
        if !(0.0..=f64::from(i32::MAX)).contains(&value) {
            let text = format!("expected integer between 0 and {}", i32::MAX);
            return Err(desk.bad_argument(argument, text));
        }
        if argument == 2 {
            desk.json.sparse_ratio = value as usize;
        } else {
            desk.json.sparse_safe = value as usize;
        }
    }
    desk.output.push(Item::Bool(desk.json.sparse_convert));
    desk.output.push(Item::Integer(desk.json.sparse_ratio as i64));
    desk.output.push(Item::Integer(desk.json.sparse_safe as i64));
    desk.results = 3;
    Ok(())
}
