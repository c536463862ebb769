//! One lane without a network: commands go through the table, arity, merging and handlers, and
//! the answer comes back as RESP2, as bytes or in a readable form.

#![allow(dead_code)] // Each test file uses its part.
#![allow(clippy::unwrap_used)] // Here a panic is a failed test.

pub mod redis;

use bytes::Bytes;
use ringlane_base::{Database, HashSeed, Millis, Now, SLOT_COUNT};
use ringlane_command::{
    Args, CommandError, CommandSpec, Context, Handler, HandlerLimits, Merge, Reply, RoutedKey, Run,
    ServeCommand, Wait, Waiting, table,
};
use ringlane_store::{Limits, NoticeClasses, Options, Policy, Store};

pub const NOW: Millis = Millis(1_700_000_000_000);

/// RESP2.
#[derive(Default)]
pub struct Resp2 {
    pub bytes: Vec<u8>,
}

impl Resp2 {
    fn line(&mut self, mark: char, text: &str) {
        assert!(!text.contains(['\r', '\n']), "a line break within a line: {text:?}");
        self.bytes.extend_from_slice(format!("{mark}{text}\r\n").as_bytes());
    }
}

impl Reply for Resp2 {
    fn simple(&mut self, text: &'static str) {
        self.line('+', text);
    }

    fn error(&mut self, error: &CommandError) {
        self.line('-', &error.to_string());
    }

    fn integer(&mut self, value: i64) {
        self.line(':', &value.to_string());
    }

    fn bulk(&mut self, bytes: &[u8]) {
        self.line('$', &bytes.len().to_string());
        self.bytes.extend_from_slice(bytes);
        self.bytes.extend_from_slice(b"\r\n");
    }

    fn blob(&mut self, blob: &Bytes) {
        self.bulk(blob);
    }

    fn null(&mut self) {
        self.line('$', "-1");
    }

    fn null_array(&mut self) {
        self.line('*', "-1");
    }

    fn array(&mut self, length: usize) {
        self.line('*', &length.to_string());
    }

    fn map(&mut self, pairs: usize) {
        self.array(2 * pairs);
    }

    fn set(&mut self, length: usize) {
        self.array(length);
    }

    fn double(&mut self, value: f64) {
        self.bulk(value.to_string().as_bytes());
    }

    fn boolean(&mut self, value: bool) {
        self.integer(i64::from(value));
    }

    fn verbatim(&mut self, text: &str) {
        self.bulk(text.as_bytes());
    }

    fn status(&mut self, text: &[u8]) {
        self.line('+', std::str::from_utf8(text).unwrap());
    }

    fn big_number(&mut self, digits: &[u8]) {
        self.bulk(digits);
    }

    fn verbatim_as(&mut self, _: [u8; 3], text: &[u8]) {
        self.bulk(text);
    }
}

/// A lane with all slots, and one connection to it.
pub struct Lane {
    pub store: Store,
    pub database: Database,
    pub limits: HandlerLimits,
    /// Whether a command may answer that it waits.
    pub may_block: bool,
}

impl Default for Lane {
    fn default() -> Self {
        let mut store = Store::new(Options {
            hash_seed: HashSeed(7),
            random_seed: 11,
            databases: 16,
            slots: 0..SLOT_COUNT as u16,
        });
        store.begin_turn(Now::both(NOW));
        Self { store, database: Database(0), limits: HandlerLimits::default(), may_block: false }
    }
}

impl Lane {
    /// The answer of a command, its name first.
    pub fn run(&mut self, args: &[&[u8]]) -> Vec<u8> {
        let mut reply = Resp2::default();
        if let Err(error) = self.execute(args, &mut reply) {
            reply.bytes.clear();
            reply.error(&error);
        }
        reply.bytes
    }

    /// What the command is refused with, if it is.
    pub fn refusal(&mut self, args: &[&[u8]]) -> Option<CommandError> {
        self.execute(args, &mut Resp2::default()).err()
    }

    fn execute(&mut self, args: &[&[u8]], reply: &mut Resp2) -> Result<(), CommandError> {
        let spec = table::resolve(args)?;
        match (spec.run, spec.merge) {
            (Run::Store(handler), Merge::Ordered) => {
                let positions = spec.key_positions(args.len(), |index| args[index]);
                reply.array(positions.len());
                positions
                    .into_iter()
                    .try_for_each(|at| self.handle(spec, handler, &[args[0], args[at]], reply))
            }
            (Run::Store(handler), Merge::Sum) => {
                let mut sum = 0;
                for at in spec.key_positions(args.len(), |index| args[index]) {
                    let mut one = Resp2::default();
                    self.handle(spec, handler, &[args[0], args[at]], &mut one)?;
                    let text = str::from_utf8(&one.bytes).unwrap();
                    sum += text[1..].trim_end().parse::<i64>().unwrap();
                }
                reply.integer(sum);
                Ok(())
            }
            (Run::Store(handler), _) => self.handle(spec, handler, args, reply),
            (Run::Serve(ServeCommand::Select), _) => {
                self.database = Database(str::from_utf8(args[1]).unwrap().parse().unwrap());
                reply.simple("OK");
                Ok(())
            }
            (Run::Serve(other), _) => panic!("{other:?} is not a lane's"),
        }
    }

    /// Calls a handler as the network does: the first key is routed, values of 16 KiB or more come
    /// in allocations of their own.
    fn handle(
        &mut self,
        spec: &CommandSpec,
        handler: Handler,
        args: &[&[u8]],
        reply: &mut Resp2,
    ) -> Result<(), CommandError> {
        let blobs: Vec<Bytes> = args
            .iter()
            .filter(|argument| argument.len() >= ringlane_store::BLOB_BYTES_MIN)
            .map(|argument| Bytes::copy_from_slice(argument))
            .collect();
        let mut left = blobs.iter();
        let slices: Vec<&[u8]> = args
            .iter()
            .map(|argument| {
                let large = argument.len() >= ringlane_store::BLOB_BYTES_MIN;
                if large { &left.next().unwrap()[..] } else { *argument }
            })
            .collect();
        let routed = spec.key_positions(args.len(), |index| args[index]).next().map(|index| {
            let key = self.store.key(self.database, slices[index]);
            RoutedKey { index, slot: key.slot, hash: key.hash }
        });
        handler(&mut Context {
            store: &mut self.store,
            args: Args::new(&slices, &blobs),
            routed,
            database: self.database,
            limits: self.limits,
            waiting: if self.may_block { Waiting::Allowed } else { Waiting::Never },
            scripts: None,
            lookups: None,
            reply,
        })
    }

    /// A command as a person types it, and its answer in a readable form: `+OK`, `:1`, `"text"`,
    /// `nil`, `[a b]`, `-ERR …`.
    pub fn say(&mut self, line: &str) -> String {
        let words = words(line);
        let args: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        show(&self.run(&args))
    }

    pub fn check(&mut self, line: &str, expected: &str) {
        assert_eq!(self.say(line), expected, "{line}");
    }

    /// Later by this many milliseconds.
    pub fn wait(&mut self, milliseconds: u64) {
        let now = self.store.now().plus(milliseconds);
        self.store.begin_turn(now);
    }

    /// Somebody sets the wall clock: it is ahead of the steady one by so many milliseconds now.
    pub fn set_clock(&mut self, ahead: i64) {
        let steady = self.store.now().steady;
        let wall = Millis(steady.0.saturating_add_signed(ahead));
        self.store.begin_turn(Now { wall, steady });
    }
}

/// Runs lines of `command => answer` on a fresh lane.
pub fn script(lines: &str) {
    let mut lane = Lane::default();
    run_on(&mut lane, lines);
}

/// The same on a lane that holds something already. `wait n`: n milliseconds pass; `clock n`: the wall
/// clock is set to be so many ahead of the steady one.
pub fn run_on(lane: &mut Lane, lines: &str) {
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(milliseconds) = line.strip_prefix("wait ") {
            lane.wait(milliseconds.parse().unwrap());
            continue;
        }
        if let Some(ahead) = line.strip_prefix("clock ") {
            lane.set_clock(ahead.parse().unwrap());
            continue;
        }
        let (command, expected) = line.split_once(" => ").expect("command => answer");
        // Lines end without blanks in a file; some of Redis's texts do not.
        assert_eq!(lane.say(command.trim()).trim_end(), expected.trim(), "{line}");
    }
}

/// Commands whose answers come in no order.
const UNORDERED: [&str; 5] = ["SMEMBERS", "SINTER", "SUNION", "SDIFF", "SPOP"];

/// Runs lines of `command => answer` on a fresh lane and, as far as Redis 7.0 knows them, on a
/// redis-server if there is one. Arrays that come in no order are given in that of their bytes.
pub fn compared(lines: &str) {
    let mut lane = Lane::default();
    let mut server = redis::Server::start();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (command, expected) = line.split_once(" => ").expect("command => answer");
        let words = words(command);
        let name = String::from_utf8_lossy(&words[0]).into_owned();
        let unordered = UNORDERED.contains(&name.as_str());
        let normal = |answer: String| if unordered { sorted(&answer) } else { answer };
        assert_eq!(normal(lane.say(command)).trim_end(), expected.trim(), "{line}");
        let known = table::lookup(&words[0]).is_some_and(|spec| spec.since < "7.2");
        if let (Some(server), true) = (&mut server, known) {
            let args: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            let theirs = normal(show(&server.run(&args)));
            assert_eq!(theirs.trim_end(), expected.trim(), "redis-server: {line}");
        }
    }
}

/// Runs the command and gives `event key` of everything that was said, comma-separated.
pub fn said(lane: &mut Lane, command: &str) -> String {
    lane.say(command);
    let notices = lane.store.take_notices();
    let tell = |key: &[u8]| String::from_utf8(key.to_vec()).unwrap();
    let told: Vec<_> =
        notices.iter().map(|notice| format!("{} {}", notice.event, tell(&notice.key))).collect();
    told.join(",")
}

/// Runs commands on a lane that tells everything, each with what it says as `said` gives it.
pub fn check_said(lane: &mut Lane, rows: &[(&str, &str)]) {
    lane.store.set_notice_mask(NoticeClasses::parse("EA").unwrap());
    for (command, events) in rows {
        assert_eq!(said(lane, command), *events, "{command}");
    }
}

/// From now on the lane is full: each of the commands is refused, since it would grow.
pub fn check_full(lane: &mut Lane, refused: &[&str]) {
    lane.store.set_limits(Limits {
        bytes_max: Some(1),
        entries_max: None,
        policy: Policy::NoEviction,
    });
    for command in refused {
        lane.check(command, "-OOM command not allowed when used memory > 'maxmemory'.");
    }
}

/// What the command waits for, if it does; answered or refused it is None.
pub fn wait_of(lane: &mut Lane, command: &str) -> Option<Wait> {
    let words = words(command);
    let args: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    lane.may_block = true;
    let refusal = lane.refusal(&args);
    lane.may_block = false;
    match refusal {
        Some(CommandError::Blocked(wait)) => Some(*wait),
        _ => None,
    }
}

/// The bytes of a bulk reply.
pub fn bulk(reply: &[u8]) -> Vec<u8> {
    let end = reply.windows(2).position(|pair| pair == b"\r\n").expect("a reply has a line");
    reply[end + 2..reply.len() - 2].to_vec()
}

/// The elements of the flat array that the command answers.
pub fn elements(lane: &mut Lane, command: &str) -> Vec<Vec<u8>> {
    let answer = lane.say(command);
    let list = answer.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    words(list.unwrap_or_else(|| panic!("{command}: {answer}")))
}

/// All that a scan shows, the one call's elements behind the other's. `between` runs after each
/// call but the last, with the number of those until now.
pub fn walk(
    lane: &mut Lane,
    name: &str,
    options: &str,
    mut between: impl FnMut(&mut Lane, usize),
) -> Vec<Vec<u8>> {
    let mut seen = Vec::new();
    let mut cursor = String::from("0");
    for call in 1.. {
        let answer = lane.say(&format!("{name} {cursor} {options}"));
        let (next, found) = answer.trim_matches(['[', ']']).split_once(" [").unwrap();
        seen.extend(words(found));
        cursor = next.replace('"', "");
        if cursor == "0" {
            break;
        }
        between(lane, call);
    }
    seen
}

/// Words apart by blanks; `"…"` holds blanks, or nothing; `\xNN` a byte, only within quotes.
pub fn words(line: &str) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let (word, after) = if let Some(quoted) = rest.strip_prefix('"') {
            let (word, after) = quoted.split_once('"').expect("quotes in pairs");
            (unescape(word), after)
        } else {
            let end = rest.find(' ').unwrap_or(rest.len());
            (rest.as_bytes()[..end].to_vec(), &rest[end..])
        };
        words.push(word);
        rest = after.trim_start();
    }
    words
}

fn unescape(word: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = word;
    while let Some((before, after)) = rest.split_once("\\x") {
        bytes.extend_from_slice(before.as_bytes());
        bytes.push(u8::from_str_radix(&after[..2], 16).unwrap());
        rest = &after[2..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

/// RESP2 in a readable form.
pub fn show(answer: &[u8]) -> String {
    let mut rest = answer;
    let text = show_one(&mut rest);
    assert!(rest.is_empty(), "more than one answer: {:?}", String::from_utf8_lossy(answer));
    text
}

/// A readable array of words without blanks, in order of their bytes; anything else as it is.
pub fn sorted(answer: &str) -> String {
    let Some(list) = answer.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) else {
        return answer.to_owned();
    };
    let mut elements: Vec<&str> = list.split(' ').collect();
    elements.sort_unstable();
    format!("[{}]", elements.join(" "))
}

fn show_one(rest: &mut &[u8]) -> String {
    let end = rest.windows(2).position(|pair| pair == b"\r\n").expect("a whole line");
    let line = String::from_utf8_lossy(&rest[..end]).into_owned();
    *rest = &rest[end + 2..];
    match (&line[..1], &line[1..]) {
        ("$" | "*", "-1") => "nil".into(),
        ("$", length) => {
            let (text, after) = rest.split_at(length.parse().unwrap());
            *rest = after.strip_prefix(b"\r\n").expect("a line break after a bulk string");
            format!("\"{}\"", text.escape_ascii())
        }
        ("*", length) => {
            let count: usize = length.parse().unwrap();
            let elements: Vec<_> = (0..count).map(|_| show_one(rest)).collect();
            format!("[{}]", elements.join(" "))
        }
        _ => line,
    }
}
