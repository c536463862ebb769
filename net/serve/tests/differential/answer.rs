//! Replies as values, and what two servers may differ in. Every kind of difference has its reason here.

use std::cmp::Ordering;

use crate::grammar::has_word;
use crate::words::DURATION_STEP;

/// A RESP value of either version.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// `+`, `:`, `#`, `_`, `(`, and the nulls of RESP2: the line as it is.
    Line(String),
    Error(String),
    Integer(i64),
    /// The text of a RESP3 double.
    Double(String),
    Bulk(Vec<u8>),
    /// An array, a set, a map or a push: the mark, then the elements, a map's keys and values in turn.
    Many(u8, Vec<Value>),
}

impl std::fmt::Debug for Value {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Line(line) => write!(out, "{line}"),
            Self::Error(text) => write!(out, "-{text}"),
            Self::Integer(value) => write!(out, ":{value}"),
            Self::Double(text) => write!(out, ",{text}"),
            Self::Bulk(text) => write!(out, "\"{}\"", text.escape_ascii()),
            Self::Many(mark, elements) => {
                write!(out, "{}", char::from(*mark))?;
                out.debug_list().entries(elements).finish()
            }
        }
    }
}

impl Value {
    /// A whole reply.
    pub fn parse(bytes: &[u8]) -> Self {
        Self::take(&mut &bytes[..])
    }

    fn take(bytes: &mut &[u8]) -> Self {
        let end = bytes.windows(2).position(|pair| pair == b"\r\n").expect("a whole line");
        let (line, rest) = (&bytes[..end], &bytes[end + 2..]);
        *bytes = rest;
        let text = String::from_utf8_lossy(&line[1..]).into_owned();
        let number = || text.parse::<i64>().expect("a number");
        match line[0] {
            b'-' => Self::Error(text),
            b':' => Self::Integer(number()),
            b',' => Self::Double(text),
            b'$' | b'=' if number() >= 0 => {
                let (value, after) = rest.split_at(usize::try_from(number()).expect("a length"));
                *bytes = &after[2..];
                Self::Bulk(value.to_vec())
            }
            mark @ (b'*' | b'~' | b'>' | b'%') if number() >= 0 => {
                let count = number() * if mark == b'%' { 2 } else { 1 };
                Self::Many(mark, (0..count).map(|_| Self::take(bytes)).collect())
            }
            _ => Self::Line(String::from_utf8_lossy(line).into_owned()),
        }
    }

    /// The elements; none of what has none.
    pub fn elements(&self) -> &[Self] {
        match self {
            Self::Many(_, elements) => elements,
            Self::Line(_) | Self::Error(_) | Self::Integer(_) | Self::Double(_) | Self::Bulk(_) => {
                &[]
            }
        }
    }

    /// Every string within.
    pub fn strings(&self) -> Vec<Vec<u8>> {
        match self {
            Self::Bulk(text) => vec![text.clone()],
            Self::Many(_, elements) => elements.iter().flat_map(Self::strings).collect(),
            Self::Line(_) | Self::Error(_) | Self::Integer(_) | Self::Double(_) => Vec::new(),
        }
    }

    fn sorted(&self) -> Self {
        match self {
            Self::Many(mark, elements) => {
                let mut elements = elements.clone();
                elements.sort();
                Self::Many(*mark, elements)
            }
            other => other.clone(),
        }
    }

    /// With its fields in order, each before its value.
    fn sorted_pairs(&self) -> Self {
        match self {
            Self::Many(mark, elements) if elements.len() % 2 == 0 => {
                let mut pairs: Vec<&[Value]> = elements.chunks(2).collect();
                pairs.sort();
                Self::Many(*mark, pairs.concat())
            }
            other => other.clone(),
        }
    }

    /// The number that a text or a double spells.
    fn number(&self) -> Option<f64> {
        match self {
            Self::Double(text) => text.parse().ok(),
            Self::Bulk(text) => std::str::from_utf8(text).ok()?.parse().ok(),
            Self::Line(_) | Self::Error(_) | Self::Integer(_) | Self::Many(..) => None,
        }
    }
}

/// Replies whose elements have no order.
const UNORDERED: [&str; 7] = ["keys", "smembers", "sinter", "sunion", "sdiff", "hkeys", "hvals"];
/// Replies of times that run on between the one server's answer and the other's.
const TIMES: [&str; 4] = ["ttl", "pttl", "expiretime", "pexpiretime"];
/// Encodings that came after 7.0, and strings whose encoding is a matter of how they were made: the old
/// name beside ours.
const ENCODINGS: [(&str, &str); 7] = [
    ("hashtable", "listpack"),
    ("quicklist", "listpack"),
    ("raw", "embstr"),
    ("embstr", "raw"),
    ("embstr", "int"),
    ("raw", "int"),
    // SORT makes a sorted set large there.
    ("skiplist", "listpack"),
];

/// Whether the two replies to the command, in lower case its name first, say the same.
pub fn same(words: &[Vec<u8>], ours: &Value, theirs: &Value) -> bool {
    if ours == theirs {
        return true;
    }
    let name = String::from_utf8_lossy(&words[0]).to_ascii_lowercase();
    // Redis 7.0 looks for the key first, and answers as for an empty string or refuses its type; from
    // 7.2 on malformed arguments are refused whatever the key.
    if matches!(ours, Value::Error(_)) && ["bitcount", "bitpos"].contains(&&name[..]) {
        return matches!(theirs, Value::Integer(0 | -1) | Value::Error(_));
    }
    // Redis 7.0 takes the least rank for one that it cannot negate; later ones refuse it.
    if name == "lpos" && has_word(words, &["-9223372036854775808"]) {
        return matches!(ours, Value::Error(_));
    }
    // Redis 7.0 counts a negative cursor from 2^64 down; later ones refuse it.
    let cursor = words.get(if name == "scan" { 1 } else { 2 });
    if name.ends_with("scan") && cursor.is_some_and(|cursor| cursor.starts_with(b"-")) {
        return matches!(ours, Value::Error(_));
    }
    if let (Value::Error(ours), Value::Error(theirs)) = (ours, theirs) {
        return reworded(&name, ours, theirs);
    }
    match &name[..] {
        name if UNORDERED.contains(&name) => ours.sorted() == theirs.sorted(),
        "hgetall" => ours.sorted_pairs() == theirs.sorted_pairs(),
        name if TIMES.contains(&name) => near(name, ours, theirs),
        "object" => match (ours, theirs) {
            (Value::Bulk(ours), Value::Bulk(theirs)) => ENCODINGS
                .iter()
                .any(|(old, new)| old.as_bytes() == theirs && new.as_bytes() == ours),
            (Value::Integer(_), Value::Integer(_)) => true,
            _ => false,
        },
        "scan" | "sscan" | "hscan" | "zscan" => {
            ours.elements().len() == 2 && theirs.elements().len() == 2
        }
        "geosearch"
        | "georadius"
        | "georadius_ro"
        | "georadiusbymember"
        | "georadiusbymember_ro"
            if has_word(words, &["asc", "desc", "count"]) =>
        {
            // Redis's sort leaves open who of two at one place comes first.
            ours.sorted() == theirs.sorted()
        }
        "sort" | "sort_ro" if has_word(words, &["nosort"]) => {
            // A set's elements have no order, and LIMIT takes any of them.
            let (ours, theirs) = (ours.sorted(), theirs.sorted());
            ours == theirs
                || has_word(words, &["limit"]) && ours.elements().len() == theirs.elements().len()
        }
        "xinfo" | "xpending" => same_but_times(ours, theirs),
        name if name.starts_with('z') || name.starts_with("bz") || name.starts_with("geo") => {
            same_numbers(ours, theirs)
        }
        _ => false,
    }
}

/// Refusals whose text is that of a version after 7.0, or that name another of several reasons.
fn reworded(name: &str, ours: &str, theirs: &str) -> bool {
    let known = [
        ("xread", "ERR Unbalanced 'xread", "ERR Unbalanced XREAD"),
        ("b", "ERR timeout is out of range", "ERR timeout is negative"),
    ];
    // A command that has travelled to another lane or to a helper is named as its row names it.
    let names_itself = name.starts_with("geosearch") && ours.eq_ignore_ascii_case(theirs);
    names_itself
        || known.iter().any(|(of, new, old)| {
            name.starts_with(of) && ours.starts_with(new) && theirs.starts_with(old)
        })
}

/// Times that are the same but for what passed between the questions.
fn near(name: &str, ours: &Value, theirs: &Value) -> bool {
    let unit = if name.starts_with('p') { 1_000 } else { 1 };
    match (ours, theirs) {
        (Value::Integer(ours), Value::Integer(theirs)) => {
            *ours >= 0 && *theirs >= 0 && ours.abs_diff(*theirs) < DURATION_STEP * unit / 2
        }
        _ => false,
    }
}

/// Equal but for the spelling of numbers: before 7.2 with 17 digits, and minus zero is zero here.
fn same_numbers(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Many(mark, ours), Value::Many(other, theirs)) => {
            mark == other
                && ours.len() == theirs.len()
                && ours.iter().zip(theirs).all(|(ours, theirs)| same_numbers(ours, theirs))
        }
        _ if ours == theirs => true,
        _ => {
            matches!((ours.number(), theirs.number()), (Some(ours), Some(theirs)) if ours.partial_cmp(&theirs) == Some(Ordering::Equal))
        }
    }
}

/// Fields of XINFO whose numbers are of another kind or depend on the clock, or that have another
/// meaning from 7.4 on.
const NOT_COMPARED: [&[u8]; 5] =
    [b"radix-tree-nodes", b"radix-tree-keys", b"idle", b"seen-time", b"lag"];
/// Fields of XINFO that came after 7.0.
const NEWER: [&[u8]; 2] = [b"inactive", b"active-time"];

/// Equal but for times, and fields that came later. A time is a number behind a name of
/// `NOT_COMPARED`, or the last but one in a pending entry: of a group (id, consumer, time, count) or of
/// a consumer (id, time, count).
fn same_but_times(ours: &Value, theirs: &Value) -> bool {
    let (Value::Many(_, ours), Value::Many(_, theirs)) = (ours, theirs) else {
        return ours == theirs;
    };
    let ours = without_newer(ours);
    let mut before: &[u8] = b"";
    let theirs_len = theirs.len();
    let entry = (3..=4).contains(&theirs_len) && matches!(theirs.last(), Some(Value::Integer(_)));
    ours.len() == theirs.len()
        && ours.iter().zip(theirs).enumerate().all(|(index, (ours, theirs))| {
            let pending = entry && index + 2 == theirs_len && matches!(ours, Value::Integer(_));
            let skipped = pending || NOT_COMPARED.contains(&before);
            before = match theirs {
                Value::Bulk(name) => name,
                _ => b"",
            };
            skipped || same_but_times(ours, theirs)
        })
}

fn without_newer(elements: &[Value]) -> Vec<Value> {
    let mut kept = Vec::new();
    let mut rest = elements.iter();
    while let Some(element) = rest.next() {
        match element {
            Value::Bulk(name) if NEWER.contains(&&name[..]) => {
                rest.next();
            }
            other => kept.push(other.clone()),
        }
    }
    kept
}
