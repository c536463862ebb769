//! SLOWLOG: each lane keeps its own slow commands; readers get them merged, newest first.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use ringlane_base::{Millis, number};
use ringlane_command::{Args, CommandError, CommandSpec, Reply};

use super::{Outcome, Subcommand, finish_ok, sum};
use crate::ask::{Answer, Answers, Question, Step};
use crate::core::Core;
use crate::reply::RespReply;
use crate::ring::ConnectionId;
use crate::secrets::{REDACTED, is_secret};

pub const SUBCOMMANDS: &[Subcommand] = &[
    ("get", get),
    ("len", |_, _, _| Ok(Step::Ask(Question::SlowlogLength, finish_len))),
    ("reset", |_, _, _| Ok(Step::Ask(Question::SlowlogReset, finish_ok))),
];

/// Arguments of one command that an entry keeps, as in Redis.
pub const ARGS_MAX: usize = 32;
/// Of a command with more arguments, those before the last place, which tells how many are left out.
pub const FIRST_ARGS: usize = ARGS_MAX - 1;
/// Bytes of one argument that an entry keeps, as in Redis.
const ARG_BYTES_MAX: usize = 128;
/// Entries of `SLOWLOG GET` without a count.
const ENTRIES_DEFAULT: usize = 10;

/// Ids ascend over all lanes, since readers fetch what is newer than the last id they saw. Touched
/// only for a command that was slow already.
static NEXT_ID: AtomicU64 = AtomicU64::new(0);

/// One slow command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub id: u64,
    /// When it ended, in Unix seconds.
    pub seconds: u64,
    pub microseconds: u64,
    /// Shortened, passwords left out.
    pub args: Vec<Vec<u8>>,
    pub client: String,
    pub name: Vec<u8>,
}

/// A command that was slow, before it is known whose it was.
pub struct SlowCommand {
    ended: Millis,
    microseconds: u64,
    args: Vec<Vec<u8>>,
}

impl SlowCommand {
    pub fn new(spec: &CommandSpec, args: &[&[u8]], (ended, microseconds): (Millis, u64)) -> Self {
        Self { ended, microseconds, args: shortened(spec, args) }
    }

    /// Of a command of very many arguments, which was made of the first `FIRST_ARGS` of so many.
    #[must_use]
    pub fn of_many(mut self, arguments: usize) -> Self {
        debug_assert!(self.args.len() == FIRST_ARGS && arguments > ARGS_MAX);
        self.args.push(left_out(arguments - FIRST_ARGS));
        self
    }
}

/// The slow commands of one lane.
#[derive(Debug, Default)]
pub struct SlowLog {
    /// Newest at the back.
    entries: VecDeque<Entry>,
}

impl SlowLog {
    /// Adds a command; the oldest go when there are more than `limit`.
    pub fn push(&mut self, command: SlowCommand, peer: SocketAddr, name: &[u8], limit: usize) {
        if limit > 0 {
            self.entries.push_back(Entry {
                id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
                seconds: command.ended.seconds(),
                microseconds: command.microseconds,
                args: command.args,
                client: super::client::address(peer),
                name: name.to_vec(),
            });
        }
        let surplus = self.entries.len().saturating_sub(limit);
        self.entries.drain(..surplus);
    }

    /// The newest entries, newest first.
    pub fn newest(&self, count: usize) -> Vec<Entry> {
        self.entries.iter().rev().take(count).cloned().collect()
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn clear(&mut self) {
        self.entries.clear();
    }
}

/// The arguments as an entry keeps them.
fn shortened(spec: &CommandSpec, args: &[&[u8]]) -> Vec<Vec<u8>> {
    let whole = if args.len() > ARGS_MAX { FIRST_ARGS } else { args.len() };
    let mut kept: Vec<Vec<u8>> = (0..whole)
        .map(
            |index| {
                if is_secret(spec, args, index) { REDACTED.to_vec() } else { short(args[index]) }
            },
        )
        .collect();
    if whole < args.len() {
        kept.push(left_out(args.len() - whole));
    }
    kept
}

/// A command of so many arguments as an entry shows it: `first` are all of them, or `FIRST_ARGS` at least.
pub fn told(spec: &CommandSpec, first: &[&[u8]], arguments: usize) -> Vec<Vec<u8>> {
    if arguments <= ARGS_MAX {
        return shortened(spec, &first[..arguments]);
    }
    let mut kept = shortened(spec, &first[..FIRST_ARGS]);
    kept.push(left_out(arguments - FIRST_ARGS));
    kept
}

fn left_out(arguments: usize) -> Vec<u8> {
    format!("... ({arguments} more arguments)").into_bytes()
}

fn short(arg: &[u8]) -> Vec<u8> {
    if arg.len() <= ARG_BYTES_MAX {
        return arg.to_vec();
    }
    let mut kept = arg[..ARG_BYTES_MAX].to_vec();
    kept.extend_from_slice(format!("... ({} more bytes)", arg.len() - ARG_BYTES_MAX).as_bytes());
    kept
}

/// `SLOWLOG GET [count]`.
fn get(_: &mut Core, _: ConnectionId, args: Args<'_>) -> Outcome {
    if args.len() > 3 {
        return Err(CommandError::Fixed(
            "ERR unknown subcommand or wrong number of arguments for 'GET'. Try SLOWLOG HELP.",
        ));
    }
    Ok(Step::Ask(Question::Slowlog(wanted(args.get(2))?), finish_get))
}

/// How many entries are wanted; -1 is all.
fn wanted(count: Option<&[u8]>) -> Result<usize, CommandError> {
    let Some(count) = count else { return Ok(ENTRIES_DEFAULT) };
    match number::parse_integer(count) {
        Some(-1) => Ok(usize::MAX),
        Some(count @ 0..) => Ok(count as usize),
        Some(_) | None => {
            Err(CommandError::Fixed("ERR count should be greater than or equal to -1"))
        }
    }
}

fn finish_get(core: &mut Core, answers: Answers<'_>, reply: &mut RespReply<'_>) {
    let wanted = wanted(answers.args.get(2).map(Vec::as_slice)).expect("read before");
    let entries = merged(answers.answers, wanted.min(core.live.slowlog_max_len));
    reply.array(entries.len());
    for entry in &entries {
        reply.array(6);
        reply.integer(entry.id as i64);
        reply.integer(entry.seconds as i64);
        reply.integer(entry.microseconds as i64);
        reply.array(entry.args.len());
        for arg in &entry.args {
            reply.bulk(arg);
        }
        reply.bulk(entry.client.as_bytes());
        reply.bulk(&entry.name);
    }
}

/// The newest of all lanes' entries, newest first.
fn merged(answers: Vec<Answer>, count: usize) -> Vec<Entry> {
    let mut entries: Vec<Entry> = answers.into_iter().flat_map(Answer::slow_commands).collect();
    entries.sort_unstable_by_key(|entry| std::cmp::Reverse(entry.id));
    entries.truncate(count);
    entries
}

/// `SLOWLOG LEN`: as many as GET can show.
fn finish_len(core: &mut Core, answers: Answers<'_>, reply: &mut RespReply<'_>) {
    let length = sum(answers.answers).min(core.live.slowlog_max_len as u64);
    reply.integer(length as i64);
}

#[cfg(test)]
mod tests {
    use ringlane_command::table;

    use super::*;

    fn get_row() -> &'static CommandSpec {
        table::resolve(&[b"get", b"key"]).expect("a command")
    }

    /// What is kept of a command that there is.
    fn kept_of(args: &[&[u8]]) -> Vec<Vec<u8>> {
        shortened(table::resolve(args).expect("a command"), args)
    }

    fn push(log: &mut SlowLog, args: &[&[u8]], limit: usize) {
        let peer = SocketAddr::from(([127, 0, 0, 1], 5));
        log.push(SlowCommand::new(get_row(), args, (Millis(7_999), 12)), peer, b"me", limit);
    }

    #[test]
    fn the_log_keeps_the_newest_and_merges_by_id() {
        let (mut one, mut two) = (SlowLog::default(), SlowLog::default());
        for name in [&b"a"[..], b"b", b"c"] {
            push(&mut one, &[name], 2);
            push(&mut two, &[&[name, name].concat()], 2);
        }
        assert_eq!((one.len(), two.len()), (2, 2));
        let answers = || vec![Answer::Slowlog(one.newest(9)), Answer::Slowlog(two.newest(9))];
        let names = |count| -> Vec<Vec<u8>> {
            merged(answers(), count).into_iter().map(|entry| entry.args[0].clone()).collect()
        };
        assert_eq!(names(9), [&b"cc"[..], b"c", b"bb", b"b"]);
        assert_eq!(names(1), [b"cc"]);
        let entry = &one.newest(1)[0];
        assert_eq!((entry.seconds, entry.microseconds), (7, 12));
        assert_eq!((&entry.client[..], &entry.name[..]), ("127.0.0.1:5", &b"me"[..]));
        push(&mut one, &[b"d"], 0);
        assert!(one.is_empty());
    }

    #[test]
    fn entries_are_bounded_and_hold_no_password() {
        let long = [b'x'; 130];
        let many: Vec<&[u8]> = std::iter::repeat_n(&long[..], 40).collect();
        let kept = shortened(get_row(), &many);
        assert_eq!(kept.len(), 32);
        assert!(kept[0].ends_with(b"xxx... (2 more bytes)"));
        assert_eq!(kept[31], b"... (9 more arguments)");
        assert_eq!(shortened(get_row(), &many[..32]).len(), 32);
        let long =
            SlowCommand::new(get_row(), &many[..FIRST_ARGS], (Millis(1), 1)).of_many(many.len());
        assert_eq!(long.args, kept);
        assert_eq!(kept_of(&[b"AUTH", b"pw"])[1..], [REDACTED]);
        assert_eq!(kept_of(&[b"auth", b"default", b"pw"])[1..], [REDACTED, REDACTED]);
        let hello = kept_of(&[b"HELLO", b"3", b"AUTH", b"default", b"pw", b"SETNAME", b"x"]);
        assert_eq!(hello[1..], [&b"3"[..], b"AUTH", REDACTED, REDACTED, b"SETNAME", b"x"]);
        let config = kept_of(&[b"config", b"set", b"requirepass", b"pw", b"timeout", b"1"]);
        assert_eq!((&config[3][..], &config[5][..]), (REDACTED, &b"1"[..]));
        assert_eq!(kept_of(&[b"set", b"auth", b"x", b"nx"])[2], b"x");
    }

    #[test]
    fn counts_are_read_as_in_redis() {
        assert_eq!(wanted(None), Ok(10));
        assert_eq!(wanted(Some(b"0")), Ok(0));
        assert_eq!(wanted(Some(b"-1")), Ok(usize::MAX));
        for bad in [&b"-2"[..], b"a"] {
            let error = wanted(Some(bad)).expect_err("refused").to_string();
            assert_eq!(error, "ERR count should be greater than or equal to -1");
        }
    }
}
