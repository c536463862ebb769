//! What a setting may hold: its kind reads a text into a value, and a value is written as
//! `CONFIG GET` shows it.

use std::fmt;
use std::net::IpAddr;

use ringlane_store::NoticeClasses;

use crate::table::Machine;
use crate::units::{format_bytes, parse_bytes};

/// The type and range of a setting.
#[derive(Clone, Copy)]
pub enum Kind {
    /// `yes` or `no`; files may also say `true` and `false`.
    Flag,
    Integer {
        min: i64,
        max: i64,
    },
    /// Bytes, with the units of Redis (`1k` is 1000, `1kb` 1024).
    Memory {
        min: u64,
        max: u64,
    },
    /// Bytes, or a share of what the machine allows (`80%`).
    MemoryOrPercent,
    /// Bytes, or a share of `maxmemory`, whatever that is at the time.
    MemoryOrShare,
    /// One of these names, case ignored.
    Choice(fn() -> Vec<&'static str>),
    /// Any text without line breaks.
    Text,
    /// Addresses apart from each other by spaces or commas; `-` before one: do without it if this host has none.
    Addresses,
    /// CPU numbers as in `taskset`: `0-3,8`.
    Cores,
    /// `class hard soft seconds`, once for each class that is changed.
    BufferLimits,
    /// Letters of classes of keyspace notices.
    Notices,
    /// Present because clients ask for it; the one value it can have, and why no other.
    Only {
        value: &'static str,
        refusal: &'static str,
    },
}

/// A checked value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Flag(bool),
    Integer(i64),
    Bytes(u64),
    /// In percent.
    Share(u64),
    Choice(&'static str),
    Text(String),
    Addresses(Vec<BindAddress>),
    Cores(Vec<usize>),
    BufferLimits(BufferLimits),
    Notices(NoticeClasses),
}

/// An address of `bind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindAddress {
    pub address: IpAddr,
    /// Written with a `-`: the start goes on without it where the host does not have it.
    pub optional: bool,
}

/// When a connection whose client reads too slowly is closed. 0 bytes: never for this reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct BufferLimit {
    /// At once beyond this many bytes of output.
    pub hard_bytes: u64,
    /// After `soft_seconds` in a row beyond this many bytes.
    pub soft_bytes: u64,
    pub soft_seconds: u64,
}

/// `client-output-buffer-limit` by class of connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct BufferLimits {
    pub normal: BufferLimit,
    pub replica: BufferLimit,
    pub pubsub: BufferLimit,
}

/// Why a text is no value of a kind, in the words that `CONFIG SET` answers with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid(pub String);

impl fmt::Display for Invalid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

fn invalid<T>(reason: impl Into<String>) -> Result<T, Invalid> {
    Err(Invalid(reason.into()))
}

impl Kind {
    /// Reads `text`. `before` is the value that stands: buffer limits change only the classes named.
    pub fn parse(
        self,
        text: &str,
        machine: &Machine,
        before: Option<&Value>,
    ) -> Result<Value, Invalid> {
        match self {
            Self::Flag => parse_flag(text),
            Self::Integer { min, max } => match text.parse::<i64>() {
                Ok(number) if (min..=max).contains(&number) => Ok(Value::Integer(number)),
                Ok(_) => invalid(format!("argument must be between {min} and {max} inclusive")),
                Err(_) => invalid("argument couldn't be parsed into an integer"),
            },
            Self::Memory { min, max } => match parse_bytes(text) {
                Some(bytes) if (min..=max).contains(&bytes) => Ok(Value::Bytes(bytes)),
                Some(_) => invalid(format!("argument must be between {min} and {max} inclusive")),
                None => invalid("argument must be a memory value"),
            },
            Self::MemoryOrPercent => {
                parse_memory_or_percent(text, |share| Value::Bytes(machine.share(share)))
            }
            Self::MemoryOrShare => parse_memory_or_percent(text, Value::Share),
            Self::Choice(names) => {
                match names().into_iter().find(|name| name.eq_ignore_ascii_case(text)) {
                    Some(name) => Ok(Value::Choice(name)),
                    None => invalid(format!(
                        "argument(s) must be one of the following: {}",
                        names().join(", ")
                    )),
                }
            }
            Self::Text if text.contains(['\n', '\r', '\0']) => {
                invalid("argument must not hold line breaks")
            }
            Self::Text => Ok(Value::Text(text.to_owned())),
            Self::Addresses => parse_addresses(text),
            Self::Cores => parse_cores(text),
            Self::BufferLimits => {
                let before = match before {
                    Some(Value::BufferLimits(limits)) => *limits,
                    Some(_) | None => BufferLimits::default(),
                };
                parse_buffer_limits(text, before)
            }
            Self::Notices => match NoticeClasses::parse(text) {
                Some(classes) => Ok(Value::Notices(classes)),
                None => invalid("Invalid event class character. Use 'Ag$lshzxeKEtmdn'."),
            },
            Self::Only { value, refusal } => {
                if text == value
                    || matches!(parse_flag(text), Ok(Value::Flag(false)) if value == "no")
                {
                    Ok(Value::Text(value.to_owned()))
                } else {
                    invalid(refusal)
                }
            }
        }
    }

    /// Whether several texts add up to one value.
    pub fn is_list(self) -> bool {
        matches!(self, Self::Addresses | Self::Cores | Self::BufferLimits)
    }

    /// What the help shows in the value's place.
    pub fn placeholder(self) -> &'static str {
        match self {
            Self::Flag => "yes|no",
            Self::Integer { .. } => "NUMBER",
            Self::Memory { .. } => "SIZE",
            Self::MemoryOrPercent | Self::MemoryOrShare => "SIZE|PERCENT",
            Self::Choice(_) => "NAME",
            Self::Text => "TEXT",
            Self::Addresses => "ADDRESSES",
            Self::Cores => "LIST",
            Self::BufferLimits => "LIMITS",
            Self::Notices => "LETTERS",
            Self::Only { value: "", .. } => "''",
            Self::Only { value, .. } => value,
        }
    }

    /// Values to go by where a mistake is told, of kinds that are not plain.
    pub fn example(self) -> Option<&'static str> {
        match self {
            Self::Memory { .. } => Some("64kb, 100mb or 1gb"),
            Self::MemoryOrPercent => Some("100mb, 1gb or 80%"),
            Self::MemoryOrShare => Some("100mb, 1gb or 5%"),
            Self::Flag
            | Self::Integer { .. }
            | Self::Choice(_)
            | Self::Text
            | Self::Addresses
            | Self::Cores
            | Self::BufferLimits
            | Self::Notices
            | Self::Only { .. } => None,
        }
    }

    /// The range in words, for the help and the reference page.
    pub fn words(self) -> String {
        match self {
            Self::Flag => "yes or no".to_owned(),
            Self::Integer { min, max: i64::MAX } => format!("integer from {min}"),
            Self::Integer { min, max } => format!("integer, {min} to {max}"),
            Self::Memory { min, max: u64::MAX } => format!("size from {}", format_bytes(min)),
            Self::Memory { min, max } => {
                format!("size, {} to {}", format_bytes(min), format_bytes(max))
            }
            Self::MemoryOrPercent => "size (100mb, 2gb) or percent (80%)".to_owned(),
            Self::MemoryOrShare => "size (100mb, 2gb) or percent of maxmemory (5%)".to_owned(),
            Self::Choice(names) => names().join(", "),
            Self::Text => "text".to_owned(),
            Self::Addresses => "addresses".to_owned(),
            Self::Cores => "CPU list (0-3,8)".to_owned(),
            Self::BufferLimits => "class hard soft seconds …".to_owned(),
            Self::Notices => "letters of Ag$lshzxeKEtmdn".to_owned(),
            Self::Only { value, .. } => {
                if value.is_empty() {
                    "empty".to_owned()
                } else {
                    value.to_owned()
                }
            }
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => formatter.write_str(if *flag { "yes" } else { "no" }),
            Self::Integer(number) => write!(formatter, "{number}"),
            Self::Bytes(bytes) => write!(formatter, "{bytes}"),
            Self::Share(percent) => write!(formatter, "{percent}%"),
            Self::Choice(name) => formatter.write_str(name),
            Self::Text(text) => formatter.write_str(text),
            Self::Addresses(addresses) => {
                let words: Vec<String> = addresses
                    .iter()
                    .map(|bind| format!("{}{}", if bind.optional { "-" } else { "" }, bind.address))
                    .collect();
                formatter.write_str(&words.join(" "))
            }
            Self::Cores(cores) => formatter.write_str(&format_cores(cores)),
            Self::Notices(classes) => formatter.write_str(&classes.letters()),
            Self::BufferLimits(limits) => {
                // Redis still prints the old name of the replicas' class.
                let classes = [
                    ("normal", limits.normal),
                    ("slave", limits.replica),
                    ("pubsub", limits.pubsub),
                ];
                let words: Vec<String> = classes
                    .iter()
                    .map(|(class, limit)| {
                        let BufferLimit { hard_bytes, soft_bytes, soft_seconds } = limit;
                        format!("{class} {hard_bytes} {soft_bytes} {soft_seconds}")
                    })
                    .collect();
                formatter.write_str(&words.join(" "))
            }
        }
    }
}

fn parse_flag(text: &str) -> Result<Value, Invalid> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "true" => Ok(Value::Flag(true)),
        "no" | "false" => Ok(Value::Flag(false)),
        _ => invalid("argument must be 'yes' or 'no'"),
    }
}

fn parse_memory_or_percent(text: &str, share: impl FnOnce(u64) -> Value) -> Result<Value, Invalid> {
    let value = match text.strip_suffix('%') {
        Some(percent) => {
            percent.parse::<u64>().ok().filter(|percent| (1..=100).contains(percent)).map(share)
        }
        None => parse_bytes(text).map(Value::Bytes),
    };
    match value {
        Some(value) => Ok(value),
        None => invalid("argument must be a memory or percent value"),
    }
}

/// Words apart from each other by spaces or commas.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split([' ', ',', '\t']).filter(|word| !word.is_empty())
}

fn parse_addresses(text: &str) -> Result<Value, Invalid> {
    let mut addresses = Vec::new();
    for word in words(text) {
        let (optional, bare) = match word.strip_prefix('-') {
            Some(bare) => (true, bare),
            None => (false, word),
        };
        let name = match bare {
            "*" => "0.0.0.0",
            "::*" => "::",
            "localhost" => "127.0.0.1",
            _ => bare.trim_start_matches('[').trim_end_matches(']'),
        };
        match name.parse::<IpAddr>() {
            Ok(address) => addresses.push(BindAddress { address, optional }),
            Err(_) => return invalid(format!("'{word}' is not an IP address")),
        }
    }
    if addresses.is_empty() {
        return invalid("at least one address is needed");
    }
    Ok(Value::Addresses(addresses))
}

/// The highest CPU number that is accepted, so that `0-99999999` stays a typing error.
const CPU_MAX: usize = 4095;

fn parse_cores(text: &str) -> Result<Value, Invalid> {
    let mut cores = Vec::new();
    for word in words(text) {
        let (first, last) = word.split_once('-').unwrap_or((word, word));
        match (first.parse::<usize>(), last.parse::<usize>()) {
            (Ok(first), Ok(last)) if first <= last && last <= CPU_MAX => cores.extend(first..=last),
            _ => return invalid(format!("'{word}' is not a CPU number or a range of them")),
        }
    }
    cores.sort_unstable();
    cores.dedup();
    if cores.is_empty() {
        return invalid("at least one CPU is needed");
    }
    Ok(Value::Cores(cores))
}

/// `0-3,8`.
pub fn format_cores(cores: &[usize]) -> String {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for &core in cores {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == core => *last = core,
            Some(_) | None => ranges.push((core, core)),
        }
    }
    let words: Vec<String> = ranges
        .iter()
        .map(
            |(first, last)| {
                if first == last { first.to_string() } else { format!("{first}-{last}") }
            },
        )
        .collect();
    words.join(",")
}

fn parse_buffer_limits(text: &str, mut limits: BufferLimits) -> Result<Value, Invalid> {
    let words: Vec<&str> = words(text).collect();
    if words.is_empty() || !words.len().is_multiple_of(4) {
        return invalid("Wrong number of arguments in buffer limit configuration.");
    }
    for class in words.chunks_exact(4) {
        let limit = match class[0].to_ascii_lowercase().as_str() {
            "normal" => &mut limits.normal,
            "slave" | "replica" => &mut limits.replica,
            "pubsub" => &mut limits.pubsub,
            _ => return invalid("Invalid client class specified in buffer limit configuration."),
        };
        let (Some(hard_bytes), Some(soft_bytes), Ok(soft_seconds)) =
            (parse_bytes(class[1]), parse_bytes(class[2]), class[3].parse::<u64>())
        else {
            return invalid(
                "Error in hard, soft or soft_seconds setting in buffer limit configuration.",
            );
        };
        *limit = BufferLimit { hard_bytes, soft_bytes, soft_seconds };
    }
    Ok(Value::BufferLimits(limits))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        Machine { cores: vec![0, 1], cpus: 2, memory_bytes: 1000 }
    }

    fn parsed(kind: Kind, text: &str) -> String {
        match kind.parse(text, &machine(), None) {
            Ok(value) => value.to_string(),
            Err(invalid) => format!("! {invalid}"),
        }
    }

    #[test]
    fn texts_become_values_or_the_words_of_redis() {
        let integer = Kind::Integer { min: 0, max: 10 };
        let choice = Kind::Choice(|| vec!["one", "two"]);
        let nothing = Kind::Only { value: "no", refusal: "never" };
        for (kind, text, expected) in [
            (Kind::Flag, "YES", "yes"),
            (Kind::Flag, "false", "no"),
            (Kind::Flag, "1", "! argument must be 'yes' or 'no'"),
            (integer, "10", "10"),
            (integer, "11", "! argument must be between 0 and 10 inclusive"),
            (integer, "x", "! argument couldn't be parsed into an integer"),
            (Kind::Memory { min: 1, max: 1 << 30 }, "1mb", "1048576"),
            (Kind::Memory { min: 1, max: 1 << 30 }, "-1", "! argument must be a memory value"),
            (Kind::MemoryOrPercent, "50%", "500"),
            (Kind::MemoryOrPercent, "0", "0"),
            (Kind::MemoryOrShare, "5%", "5%"),
            (Kind::MemoryOrShare, "1kb", "1024"),
            (Kind::MemoryOrShare, "101%", "! argument must be a memory or percent value"),
            (Kind::MemoryOrPercent, "101%", "! argument must be a memory or percent value"),
            (choice, "TWO", "two"),
            (choice, "three", "! argument(s) must be one of the following: one, two"),
            (Kind::Text, "a b", "a b"),
            (Kind::Text, "a\nb", "! argument must not hold line breaks"),
            (Kind::Addresses, "* -::1,10.0.0.1", "0.0.0.0 -::1 10.0.0.1"),
            (Kind::Addresses, "nowhere", "! 'nowhere' is not an IP address"),
            (Kind::Addresses, "", "! at least one address is needed"),
            (Kind::Cores, "3,0-1,8", "0-1,3,8"),
            (Kind::Cores, "2-1", "! '2-1' is not a CPU number or a range of them"),
            (nothing, "no", "no"),
            (nothing, "yes", "! never"),
        ] {
            assert_eq!(parsed(kind, text), expected, "{text:?}");
        }
    }

    #[test]
    fn buffer_limits_change_only_the_classes_named() {
        let kind = Kind::BufferLimits;
        let before = kind.parse("normal 1 2 3 pubsub 32mb 8mb 60", &machine(), None).ok();
        let after =
            kind.parse("replica 1kb 0 0", &machine(), before.as_ref()).map(|v| v.to_string());
        assert_eq!(after.as_deref(), Ok("normal 1 2 3 slave 1024 0 0 pubsub 33554432 8388608 60"));
        for (text, expected) in [
            ("normal 1 2", "! Wrong number of arguments in buffer limit configuration."),
            ("", "! Wrong number of arguments in buffer limit configuration."),
            ("other 1 2 3", "! Invalid client class specified in buffer limit configuration."),
            (
                "normal x 2 3",
                "! Error in hard, soft or soft_seconds setting in buffer limit configuration.",
            ),
        ] {
            assert_eq!(parsed(kind, text), expected, "{text:?}");
        }
    }
}
