//! COMMAND DOCS: what the rows say, for people and for clients' hints. The tree of arguments is read
//! from the row's `arguments` text, so that it is written once:
//!
//! ```text
//! choices  = sequence *("|" sequence)
//! sequence = *(word | TOKEN [values] | "[" choices "]" | "<" choices ">") ["..."]
//! ```
//! A bracket that repeats what stands before it (`key [key ...]`) means several of that. The shapes:
//! <https://redis.io/docs/latest/commands/command-docs/>.

use crate::spec::{CommandSpec, Keys};
use crate::{CommandError, Context, Reply, introspect, table};

/// Whole numbers, by the names that rows give them.
const INTEGERS: [&str; 25] = [
    "cursor",
    "seconds",
    "milliseconds",
    "offset",
    "start",
    "end",
    "stop",
    "count",
    "length",
    "increment",
    "decrement",
    "db",
    "number",
    "index",
    "index1",
    "index2",
    "timeout",
    "slot",
    "replicas",
    "numkeys",
    "bit",
    "rank",
    "level",
    "port",
    "samples",
];
const DOUBLES: [&str; 10] = [
    "score",
    "min",
    "max",
    "longitude",
    "latitude",
    "radius",
    "width",
    "height",
    "weight",
    "float-increment",
];
const TIMES: [&str; 2] = ["unix-seconds", "unix-milliseconds"];

/// What it takes to write a row with its tree, in elements that a handler may go through at once.
const VISITS_A_ROW: usize = 24;

/// `COMMAND DOCS [command …]`; unknown names are left out.
pub fn docs(context: &mut Context<'_>) -> Result<(), CommandError> {
    introspect::check_names(context.args, "command|docs")?;
    let mut found: Vec<&CommandSpec> = Vec::new();
    let mut rows = 0;
    let mut find = |spec: &'static CommandSpec| {
        found.push(spec);
        rows += introspect::rows_of(spec);
        context.limits.claim(rows * VISITS_A_ROW)
    };
    match context.args.from(2) {
        [] => table::all().iter().try_for_each(|spec| find(spec))?,
        names => names.iter().filter_map(|name| table::find(name)).try_for_each(find)?,
    }
    write_docs(context.reply, &found);
    Ok(())
}

fn write_docs(reply: &mut dyn Reply, specs: &[&CommandSpec]) {
    reply.map(specs.len());
    for spec in specs {
        reply.bulk(spec.name.as_bytes());
        let fields = [
            ("summary", spec.summary),
            ("since", spec.since),
            ("group", spec.group.name()),
            ("complexity", spec.complexity),
        ];
        let of_deprecated =
            spec.deprecated.map(|it| [("deprecated_since", it.since), ("replaced_by", it.instead)]);
        let arguments =
            if spec.subcommands.is_empty() { parse(spec.arguments) } else { Vec::new() };
        let more = usize::from(!arguments.is_empty()) + usize::from(!spec.subcommands.is_empty());
        reply.map(fields.len() + more + of_deprecated.map_or(0, |texts| 1 + texts.len()));
        for (name, text) in fields {
            reply.bulk(name.as_bytes());
            reply.bulk(text.as_bytes());
        }
        if let Some(texts) = of_deprecated {
            reply.bulk(b"doc_flags");
            reply.set(1);
            reply.simple("deprecated");
            for (name, text) in texts {
                reply.bulk(name.as_bytes());
                reply.bulk(text.as_bytes());
            }
        }
        if !arguments.is_empty() {
            reply.bulk(b"arguments");
            write_arguments(reply, &arguments, spec, &mut 0);
        }
        if !spec.subcommands.is_empty() {
            reply.bulk(b"subcommands");
            write_docs(reply, &spec.subcommands.iter().collect::<Vec<_>>());
        }
    }
}

/// One argument of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Argument {
    name: String,
    /// The word that announces it; of a word that stands alone, that word.
    token: Option<String>,
    shape: Shape,
    optional: bool,
    multiple: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Shape {
    Value,
    PureToken,
    OneOf(Vec<Argument>),
    Block(Vec<Argument>),
}

fn write_arguments(
    reply: &mut dyn Reply,
    arguments: &[Argument],
    spec: &CommandSpec,
    keys_seen: &mut usize,
) {
    reply.array(arguments.len());
    for argument in arguments {
        write_argument(reply, argument, spec, keys_seen);
    }
}

fn write_argument(
    reply: &mut dyn Reply,
    argument: &Argument,
    spec: &CommandSpec,
    keys_seen: &mut usize,
) {
    let (type_name, inner) = match &argument.shape {
        Shape::Value => (value_type(&argument.name, spec), None),
        Shape::PureToken => ("pure-token", None),
        Shape::OneOf(inner) => ("oneof", Some(inner)),
        Shape::Block(inner) => ("block", Some(inner)),
    };
    let flagged = argument.optional || argument.multiple;
    let is_key = type_name == "key";
    let plain = inner.is_none();
    reply.map(
        3 + usize::from(is_key) + usize::from(argument.token.is_some()) + usize::from(flagged),
    );
    let text = |reply: &mut dyn Reply, name: &str, value: &str| {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    };
    text(reply, "name", &argument.name);
    text(reply, "type", type_name);
    if plain {
        text(reply, "display_text", &argument.name);
    }
    if is_key {
        reply.bulk(b"key_spec_index");
        reply.integer((*keys_seen).min(spec.key_flags.len().saturating_sub(1)) as i64);
        *keys_seen += 1;
    }
    if let Some(token) = &argument.token {
        text(reply, "token", token);
    }
    if flagged {
        reply.bulk(b"flags");
        reply.set(usize::from(argument.optional) + usize::from(argument.multiple));
        if argument.optional {
            reply.simple("optional");
        }
        if argument.multiple {
            reply.simple("multiple");
        }
    }
    if let Some(inner) = inner {
        reply.bulk(b"arguments");
        write_arguments(reply, inner, spec, keys_seen);
    }
}

fn value_type(name: &str, spec: &CommandSpec) -> &'static str {
    let is_key = name.starts_with("key")
        || matches!(name, "newkey" | "source" | "destination" | "destkey" | "sourcekey");
    if is_key && spec.keys != Keys::None {
        "key"
    } else if INTEGERS.contains(&name) {
        "integer"
    } else if DOUBLES.contains(&name) {
        "double"
    } else if TIMES.contains(&name) {
        "unix-time"
    } else if name == "pattern" {
        "pattern"
    } else {
        "string"
    }
}

/// The arguments that a row's text describes.
fn parse(text: &str) -> Vec<Argument> {
    let spaced = text
        .replace('[', " [ ")
        .replace(']', " ] ")
        .replace('<', " < ")
        .replace('>', " > ")
        .replace('|', " | ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = &words[..];
    let choices = Choices::parse(&mut rest);
    assert!(rest.is_empty(), "brackets of a row's arguments do not match: {text}");
    match <[Vec<Argument>; 1]>::try_from(choices.sequences) {
        Ok([only]) => only,
        Err(several) => vec![group(several)],
    }
}

/// What stands between two brackets.
struct Choices {
    sequences: Vec<Vec<Argument>>,
    /// It ends with dots.
    repeats: bool,
}

impl Choices {
    /// Up to a closing bracket, which is left, or the end.
    fn parse(rest: &mut &[&str]) -> Self {
        let mut choices = Self { sequences: vec![Vec::new()], repeats: false };
        while let Some((&word, after)) = rest.split_first() {
            let sequence = choices.sequences.last_mut().expect("never empty");
            match word {
                "]" | ">" => break,
                "|" => choices.sequences.push(Vec::new()),
                "..." => choices.repeats = true,
                "[" => {
                    *rest = after;
                    let inner = Self::parse(rest);
                    add_optional(sequence, inner);
                }
                "<" => {
                    *rest = after;
                    let inner = Self::parse(rest);
                    sequence.push(group(inner.sequences));
                }
                word if is_token(word) => {
                    *rest = after;
                    sequence.push(announced(word, rest));
                    continue;
                }
                word => sequence.push(value(word)),
            }
            *rest = &rest[1..];
        }
        choices
    }
}

/// Words in capitals are sent as they stand.
fn is_token(word: &str) -> bool {
    word.bytes().all(|byte| !byte.is_ascii_lowercase())
        && word.bytes().any(|byte| byte.is_ascii_uppercase())
}

fn value(name: &str) -> Argument {
    Argument {
        name: name.to_owned(),
        token: None,
        shape: Shape::Value,
        optional: false,
        multiple: false,
    }
}

/// A token with the values that follow it.
fn announced(token: &str, rest: &mut &[&str]) -> Argument {
    let mut values = Vec::new();
    while let Some((&word, after)) = rest.split_first() {
        if word == "<" && values.is_empty() {
            *rest = after;
            let inner = Choices::parse(rest);
            *rest = &rest[1..];
            return Argument { token: Some(token.to_owned()), ..group(inner.sequences) };
        }
        if is_token(word) || matches!(word, "[" | "]" | "<" | ">" | "|" | "...") {
            break;
        }
        values.push(value(word));
        *rest = after;
    }
    let argument = match <[Argument; 1]>::try_from(values) {
        Ok([only]) => only,
        Err(none) if none.is_empty() => {
            Argument { shape: Shape::PureToken, ..value(&token.to_ascii_lowercase()) }
        }
        Err(several) => {
            Argument { shape: Shape::Block(several), ..value(&token.to_ascii_lowercase()) }
        }
    };
    Argument { token: Some(token.to_owned()), ..argument }
}

/// Several sequences are a choice; a sequence of several arguments is a block.
fn group(sequences: Vec<Vec<Argument>>) -> Argument {
    let mut choices: Vec<Argument> = sequences
        .into_iter()
        .map(|sequence| match <[Argument; 1]>::try_from(sequence) {
            Ok([only]) => only,
            Err(several) => Argument { shape: Shape::Block(several), ..value("group") },
        })
        .collect();
    if choices.len() == 1 {
        return choices.remove(0);
    }
    Argument { shape: Shape::OneOf(choices), ..value("option") }
}

/// Adds what brackets hold; if that repeats the end of the sequence, that end is meant several times.
fn add_optional(sequence: &mut Vec<Argument>, inner: Choices) {
    let repeated = match &inner.sequences[..] {
        [again] if inner.repeats && sequence.ends_with(again) => Some(again.len()),
        _ => None,
    };
    match repeated {
        Some(1) => sequence.last_mut().expect("it ends with one").multiple = true,
        Some(length) => {
            let block = sequence.split_off(sequence.len() - length);
            let shape = Shape::Block(block);
            sequence.push(Argument { shape, multiple: true, ..value("data") });
        }
        None => {
            let mut argument = group(inner.sequences);
            argument.optional = true;
            argument.multiple |= inner.repeats;
            sequence.push(argument);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As one line: `name:type`, `=TOKEN`, `?` for optional, `*` for multiple, inner ones in brackets.
    fn line(name: &str) -> String {
        let spec = table::find(name.as_bytes()).unwrap();
        let lines: Vec<String> =
            parse(spec.arguments).iter().map(|argument| show(argument, spec)).collect();
        lines.join(" ")
    }

    fn show(argument: &Argument, spec: &CommandSpec) -> String {
        let all = |inner: &[Argument]| -> String {
            inner.iter().map(|inner| show(inner, spec)).collect::<Vec<_>>().join(" ")
        };
        let mut text = match &argument.shape {
            Shape::Value => format!("{}:{}", argument.name, value_type(&argument.name, spec)),
            Shape::PureToken => argument.name.clone(),
            Shape::OneOf(inner) => format!("oneof({})", all(inner)),
            Shape::Block(inner) => format!("block({})", all(inner)),
        };
        for (holds, mark) in [(argument.optional, '?'), (argument.multiple, '*')] {
            if holds {
                text.push(mark);
            }
        }
        match &argument.token {
            Some(token) => format!("{token}={text}"),
            None => text,
        }
    }

    #[test]
    fn arguments_are_read_from_the_rows() {
        for (name, expected) in [
            ("ping", "message:string?"),
            ("time", ""),
            ("get", "key:key"),
            ("del", "key:key*"),
            ("mset", "block(key:key value:string)*"),
            ("pfadd", "key:key element:string?*"),
            ("expire", "key:key seconds:integer oneof(NX=nx XX=xx GT=gt LT=lt)?"),
            (
                "set",
                "key:key value:string oneof(NX=nx XX=xx IFEQ=value:string IFNE=value:string IFDEQ=digest:string IFDNE=digest:string)? GET=get? \
                 oneof(EX=seconds:integer PX=milliseconds:integer EXAT=unix-seconds:unix-time \
                 PXAT=unix-milliseconds:unix-time KEEPTTL=keepttl)?",
            ),
            (
                "scan",
                "cursor:integer MATCH=pattern:pattern? COUNT=count:integer? TYPE=type:string?",
            ),
            ("incrby", "key:key increment:integer"),
            ("incrbyfloat", "key:key float-increment:double"),
            ("hincrbyfloat", "key:key field:string float-increment:double"),
            ("config|set", "block(name:string value:string)*"),
            ("config|get", "pattern:pattern*"),
            ("flushall", "oneof(ASYNC=async SYNC=sync)?"),
            ("client|reply", "oneof(ON=on OFF=off SKIP=skip)"),
            ("client|no-touch", "oneof(ON=on OFF=off)"),
        ] {
            assert_eq!(line(name), expected, "{name}");
        }
    }

    #[test]
    fn every_word_of_every_row_is_in_its_tree() {
        fn words(arguments: &[Argument], all: &mut Vec<String>) {
            for argument in arguments {
                all.extend(argument.token.clone());
                all.push(argument.name.clone());
                match &argument.shape {
                    Shape::OneOf(inner) | Shape::Block(inner) => words(inner, all),
                    Shape::Value | Shape::PureToken => {}
                }
            }
        }
        for spec in table::all_with_subcommands() {
            let mut all = Vec::new();
            words(&parse(spec.arguments), &mut all);
            let marks = ['[', ']', '<', '>', '|', '.', ' '];
            for word in spec.arguments.split(&marks[..]).filter(|word| !word.is_empty()) {
                assert!(all.iter().any(|known| known == word), "{}: {word}", spec.name);
            }
        }
    }
}
