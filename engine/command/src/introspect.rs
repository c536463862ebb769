//! What the table says of itself: COMMAND and every HELP. Clients route by this output, so its
//! shapes are those of Redis 7: <https://redis.io/docs/latest/commands/command/>.

use std::sync::LazyLock;

use ringlane_base::glob;

use crate::parse::is;
use crate::spec::{Access, Arity, Categories, CommandSpec, Flags, Keys, SERVER_ARGUMENTS_MAX};
use crate::{Args, CommandError, Context, Reply, table};

/// What it takes to write a row, in elements that a handler may go through at once.
const VISITS_A_ROW: usize = 2;

/// `COMMAND`
pub fn command(context: &mut Context<'_>) -> Result<(), CommandError> {
    write_infos(table::all().iter().copied().map(Some), context)
}

/// `COMMAND COUNT`
pub fn count(context: &mut Context<'_>) -> Result<(), CommandError> {
    context.reply.integer(table::COMMAND_COUNT as i64);
    Ok(())
}

/// `COMMAND INFO [command …]`; null for a name that is unknown.
pub fn info(context: &mut Context<'_>) -> Result<(), CommandError> {
    let names = context.args.from(2);
    if names.is_empty() {
        return command(context);
    }
    check_names(context.args, "command|info")?;
    write_infos(names.iter().map(|name| table::find(name)), context)
}

/// Each name may be answered with much more than it takes to say it.
pub(crate) fn check_names(args: Args<'_>, command: &'static str) -> Result<(), CommandError> {
    if args.len() <= SERVER_ARGUMENTS_MAX {
        return Ok(());
    }
    Err(CommandError::TooManyArguments(command))
}

/// How many rows one is written with: its subcommands' too.
pub(crate) fn rows_of(spec: &CommandSpec) -> usize {
    1 + spec.subcommands.len()
}

fn write_infos(
    specs: impl ExactSizeIterator<Item = Option<&'static CommandSpec>> + Clone,
    context: &mut Context<'_>,
) -> Result<(), CommandError> {
    let mut rows = 0;
    for spec in specs.clone() {
        rows += spec.map_or(1, rows_of);
        context.limits.claim(rows * VISITS_A_ROW)?;
    }
    context.reply.array(specs.len());
    for spec in specs {
        match spec {
            Some(spec) => write_info(spec, context.reply),
            None => context.reply.null(),
        }
    }
    Ok(())
}

/// One entry of `COMMAND INFO`: name, arity, flags, first key, last key, step, ACL categories,
/// tips, key specifications, subcommands.
pub fn write_info(spec: &CommandSpec, reply: &mut dyn Reply) {
    reply.array(10);
    reply.bulk(spec.name.as_bytes());
    reply.integer(match spec.arity {
        Arity::Exactly(exactly) => exactly as i64,
        Arity::AtLeast(least) => -(least as i64),
    });
    write_names(reply, &flag_names(spec));
    let (first, last, step) = key_range(spec.keys);
    reply.integer(first);
    reply.integer(last);
    reply.integer(step);
    write_names(reply, &category_names(spec));
    reply.array(spec.tips.len());
    for tip in spec.tips {
        reply.bulk(tip.as_bytes());
    }
    write_key_specs(spec, reply);
    reply.array(spec.subcommands.len());
    for subcommand in spec.subcommands {
        write_info(subcommand, reply);
    }
}

fn write_names(reply: &mut dyn Reply, names: &[&'static str]) {
    reply.set(names.len());
    for name in names {
        reply.simple(name);
    }
}

/// The flags that `COMMAND` prints.
fn flag_names(spec: &CommandSpec) -> Vec<&'static str> {
    let access = match spec.access {
        Access::Read => Some("readonly"),
        // Its script may write, but need not.
        Access::Write if spec.flags.contains(Flags::NO_MANDATORY_KEYS) => None,
        Access::Write => Some("write"),
        Access::Neither => None,
    };
    let has = |&(flag, _): &(Flags, _)| spec.flags.contains(flag);
    let flags = Flags::NAMES.into_iter().filter(has).map(|(_, name)| name);
    let movable = has_movable_keys(spec.keys).then_some("movablekeys");
    access.into_iter().chain(flags).chain(movable).collect()
}

/// The ACL categories, each with its `@`.
pub fn category_names(spec: &CommandSpec) -> Vec<&'static str> {
    let admin = spec.flags.contains(Flags::ADMIN) || spec.categories.contains(Categories::ADMIN);
    let fast = spec.flags.contains(Flags::FAST);
    let scripted = spec.flags.contains(Flags::NO_MANDATORY_KEYS);
    [
        (spec.categories.contains(Categories::KEYSPACE), "@keyspace"),
        (spec.access == Access::Read && !scripted, "@read"),
        (spec.access == Access::Write && !scripted, "@write"),
        (spec.categories.contains(Categories::SET), "@set"),
        (spec.categories.contains(Categories::SORTEDSET), "@sortedset"),
        (spec.categories.contains(Categories::LIST), "@list"),
        (spec.categories.contains(Categories::HASH), "@hash"),
        (spec.categories.contains(Categories::STRING), "@string"),
        (spec.categories.contains(Categories::BITMAP), "@bitmap"),
        (spec.categories.contains(Categories::HYPERLOGLOG), "@hyperloglog"),
        (spec.categories.contains(Categories::GEO), "@geo"),
        (spec.categories.contains(Categories::STREAM), "@stream"),
        (spec.categories.contains(Categories::PUBSUB), "@pubsub"),
        (admin, "@admin"),
        (fast, "@fast"),
        (!fast, "@slow"),
        (spec.flags.contains(Flags::BLOCKING), "@blocking"),
        (admin || spec.categories.contains(Categories::DANGEROUS), "@dangerous"),
        (spec.categories.contains(Categories::CONNECTION), "@connection"),
        (spec.categories.contains(Categories::TRANSACTION), "@transaction"),
        (spec.categories.contains(Categories::SCRIPTING), "@scripting"),
    ]
    .into_iter()
    .filter_map(|(holds, name)| holds.then_some(name))
    .collect()
}

/// First key, last key (from the end if negative) and the step between keys; zeros where they
/// depend on the arguments, as in Redis, but for a first key that does not.
fn key_range(keys: Keys) -> (i64, i64, i64) {
    match keys {
        Keys::None | Keys::Counted(_) | Keys::CountedPairs(_) | Keys::Streams => (0, 0, 0),
        Keys::First | Keys::AndStore | Keys::AndStoreDist | Keys::ToCounted => (1, 1, 1),
        Keys::FirstTwo => (1, 2, 1),
        Keys::Second => (2, 2, 1),
        Keys::All => (1, -1, 1),
        Keys::Pairs => (1, -1, 2),
        Keys::From(first) => (first as i64, -1, 1),
        Keys::AllButLast => (1, -2, 1),
    }
}

/// Whether COMMAND GETKEYS must be asked, since the range does not tell every key.
fn has_movable_keys(keys: Keys) -> bool {
    match keys {
        Keys::Counted(_)
        | Keys::CountedPairs(_)
        | Keys::ToCounted
        | Keys::Streams
        | Keys::AndStore
        | Keys::AndStoreDist => true,
        Keys::None
        | Keys::First
        | Keys::FirstTwo
        | Keys::Second
        | Keys::All
        | Keys::Pairs
        | Keys::From(_)
        | Keys::AllButLast => false,
    }
}

fn write_key_specs(spec: &CommandSpec, reply: &mut dyn Reply) {
    reply.array(spec.key_flags.len());
    for (index, flags) in spec.key_flags.iter().enumerate() {
        reply.map(3);
        reply.bulk(b"flags");
        write_names(reply, &flags.split(' ').collect::<Vec<_>>());
        match (spec.keys, index) {
            (Keys::Counted(at), _) => write_counted(reply, at, 1),
            (Keys::CountedPairs(at), _) => write_counted(reply, at, 2),
            (Keys::ToCounted, 1) => write_counted(reply, 2, 1),
            (Keys::Streams, _) => {
                // Behind the word, a key and an id at least; before it what must be said first.
                let from = spec.arity.least() - 3;
                write_keyword(
                    reply,
                    b"STREAMS",
                    from,
                    &[("lastkey", -1), ("keystep", 1), ("limit", 2)],
                );
            }
            (Keys::AndStore, 1) => write_unknown(reply),
            (Keys::AndStoreDist, 1 | 2) => {
                let word: &[u8] = if index == 1 { b"STORE" } else { b"STOREDIST" };
                let range = [("lastkey", 0), ("keystep", 1), ("limit", 0)];
                write_keyword(reply, word, spec.arity.least(), &range);
            }
            _ => write_range(reply, spec.keys, index, spec.key_flags.len()),
        }
    }
}

/// The range of the keys that the text at `index`, one of `texts`, is about.
fn write_range(reply: &mut dyn Reply, keys: Keys, index: usize, texts: usize) {
    let (first, last, step) = key_range(keys);
    // Relative to the first key, unless counted from the end; the last text is about all others.
    let last = if texts == 1 && last >= first { last - first } else { last.min(0) };
    let last = if index + 1 < texts { 0 } else { last };
    reply.bulk(b"begin_search");
    write_search(reply, "index", &[("index", first + index as i64)]);
    reply.bulk(b"find_keys");
    write_search(reply, "range", &[("lastkey", last), ("keystep", step), ("limit", 0)]);
}

/// The keys that argument `at` counts, one every `step` arguments.
fn write_counted(reply: &mut dyn Reply, at: usize, step: i64) {
    reply.bulk(b"begin_search");
    write_search(reply, "index", &[("index", at as i64)]);
    reply.bulk(b"find_keys");
    write_search(reply, "keynum", &[("keynumidx", 0), ("firstkey", 1), ("keystep", step)]);
}

/// The keys that follow a word, which stands nowhere before argument `from`.
fn write_keyword(reply: &mut dyn Reply, word: &[u8], from: usize, range: &[(&str, i64)]) {
    reply.bulk(b"begin_search");
    reply.map(2);
    reply.bulk(b"type");
    reply.bulk(b"keyword");
    reply.bulk(b"spec");
    reply.map(2);
    reply.bulk(b"keyword");
    reply.bulk(word);
    reply.bulk(b"startfrom");
    reply.integer(from as i64);
    reply.bulk(b"find_keys");
    write_search(reply, "range", range);
}

fn write_unknown(reply: &mut dyn Reply) {
    reply.bulk(b"begin_search");
    write_search(reply, "unknown", &[]);
    reply.bulk(b"find_keys");
    write_search(reply, "unknown", &[]);
}

fn write_search(reply: &mut dyn Reply, kind: &str, fields: &[(&str, i64)]) {
    reply.map(2);
    reply.bulk(b"type");
    reply.bulk(kind.as_bytes());
    reply.bulk(b"spec");
    reply.map(fields.len());
    for (name, value) in fields {
        reply.bulk(name.as_bytes());
        reply.integer(*value);
    }
}

/// `COMMAND LIST [FILTERBY <MODULE name | ACLCAT category | PATTERN pattern>]`
pub fn list(context: &mut Context<'_>) -> Result<(), CommandError> {
    let chosen: Vec<_> = match context.args.from(2) {
        [] => table::all_with_subcommands().collect(),
        [filter, kind, wanted] if is(filter, "filterby") => {
            let keep: &dyn Fn(&CommandSpec) -> bool = if is(kind, "module") {
                // There are no modules.
                &|_| false
            } else if is(kind, "aclcat") {
                &|spec| category_names(spec).iter().any(|name| is(wanted, &name[1..]))
            } else if is(kind, "pattern") {
                &|spec| glob::matches(wanted, spec.name.as_bytes())
            } else {
                return Err(CommandError::Syntax);
            };
            table::all_with_subcommands().filter(|spec| keep(spec)).collect()
        }
        _ => return Err(CommandError::Syntax),
    };
    context.reply.array(chosen.len());
    for spec in chosen {
        context.reply.bulk(spec.name.as_bytes());
    }
    Ok(())
}

/// `COMMAND GETKEYS command [argument …]`
pub fn getkeys(context: &mut Context<'_>) -> Result<(), CommandError> {
    write_keys(context, |reply, key, _| reply.bulk(key))
}

/// `COMMAND GETKEYSANDFLAGS command [argument …]`
pub fn getkeysandflags(context: &mut Context<'_>) -> Result<(), CommandError> {
    write_keys(context, |reply, key, flags| {
        reply.array(2);
        reply.bulk(key);
        write_names(reply, &flags.split(' ').collect::<Vec<_>>());
    })
}

/// Each key of the command in the arguments, with the flags that it has there.
fn write_keys(
    context: &mut Context<'_>,
    write: impl Fn(&mut dyn Reply, &[u8], &'static str),
) -> Result<(), CommandError> {
    const INVALID: CommandError = CommandError::Fixed("ERR Invalid command specified");
    let full = context.args.from(2);
    let mut spec = table::lookup(full[0]).ok_or(INVALID)?;
    if let (Some(name), false) = (full.get(1), spec.subcommands.is_empty()) {
        spec = spec.subcommand(name).ok_or(INVALID)?;
    }
    if spec.keys == Keys::None {
        return Err(CommandError::Fixed("ERR The command has no key arguments"));
    }
    if spec.check_arity(full.len()).is_err() {
        let text = "ERR Invalid number of arguments specified for command";
        return Err(CommandError::Fixed(text));
    }
    context.limits.claim(full.len())?;
    let positions = spec.key_positions(full.len(), |index| full[index]);
    context.reply.array(positions.len());
    for (index, position) in positions.enumerate() {
        let flags = spec.flags_of_key(Args::new(full, &[]), index);
        write(context.reply, full[position], flags);
    }
    Ok(())
}

/// `CLIENT HELP`, `CONFIG HELP`, …: derived from the container's rows.
pub fn help(context: &mut Context<'_>) -> Result<(), CommandError> {
    static LINES: LazyLock<Vec<Vec<String>>> =
        LazyLock::new(|| table::all().iter().map(|spec| help_lines(spec)).collect());
    let container = table::lookup(&context.args[0]).expect("this row was found by its name");
    let lines = &LINES[usize::from(container.id)];
    context.reply.array(lines.len());
    for line in lines {
        context.reply.simple(line);
    }
    Ok(())
}

fn help_lines(container: &CommandSpec) -> Vec<String> {
    let name = container.name.to_ascii_uppercase();
    let mut lines =
        vec![format!("{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:")];
    for subcommand in container.subcommands {
        let usage = format!("{} {}", subcommand.short_name().to_uppercase(), subcommand.arguments);
        lines.push(usage.trim_end().to_owned());
        lines.push(format!("    {}", subcommand.summary));
    }
    lines
}
