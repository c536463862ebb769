//! One lane without a network: commands go through the table to their handlers, scripts to a
//! `LaneScripts`, and the answer comes back in a readable form.

#![allow(dead_code, reason = "each test file uses its part")]

use std::sync::Arc;

use bytes::Bytes;
use ringlane_base::{Database, HashSeed, Millis, Now, SLOT_COUNT};
use ringlane_command::{Args, CommandError, Context, HandlerLimits, Reply, Run, Waiting, table};
use ringlane_script::{
    Clocks, LaneScripts, PausedScript, Place, Registry, ScriptLimits, Tape, TimeLimits,
};
use ringlane_store::{Options, Store};

pub const NOW: Millis = Millis(1_700_000_000_000);

/// CPU time of the thread, which tests advance by running.
fn cpu_ns() -> u64 {
    std::thread_local! {
        static BEGUN: std::time::Instant = std::time::Instant::now();
    }
    BEGUN.with(|begun| begun.elapsed().as_nanos() as u64)
}

fn wall_us() -> u64 {
    NOW.0 * 1000 + 7
}

fn log(_: u8, _: &[u8]) {}

/// A lane with all slots.
pub struct Lane {
    pub store: Store,
    pub scripts: LaneScripts,
    pub database: Database,
    pub resp3: bool,
    /// Commands that go through more claim in vain.
    pub elements_at_once_max: usize,
}

/// The usual limits, with which only a runaway script is stopped.
pub fn limits() -> ScriptLimits {
    ScriptLimits {
        time: TimeLimits { instructions: 20_000_000, ..TimeLimits::default() },
        memory_bytes_max: 64 << 20,
        undeclared: true,
    }
}

impl Lane {
    pub fn new() -> Self {
        Self::sharing(Arc::default())
    }

    /// A lane whose scripts are known to others.
    pub fn sharing(registry: Arc<Registry>) -> Self {
        let mut store = Store::new(Options {
            hash_seed: HashSeed(7),
            random_seed: 11,
            databases: 16,
            slots: 0..SLOT_COUNT as u16,
        });
        store.begin_turn(Now::both(NOW));
        let clocks = Clocks { cpu_ns, wall_us, ticks: cpu_ns, log };
        let mut scripts = LaneScripts::new(registry, clocks, 0..SLOT_COUNT as u16);
        scripts.set_limits(limits());
        Self {
            store,
            scripts,
            database: Database(0),
            resp3: false,
            elements_at_once_max: usize::MAX,
        }
    }

    pub fn set_place(&mut self, place: Place) {
        self.scripts.set_place(place);
    }

    /// The answer of a command, its name first.
    pub fn run(&mut self, args: &[&[u8]]) -> String {
        let mut shown = Shown { resp3: self.resp3, ..Shown::default() };
        if let Err(error) = self.execute(args, &mut shown) {
            return format!("-{error}");
        }
        shown.text()
    }

    fn execute(&mut self, args: &[&[u8]], reply: &mut Shown) -> Result<(), CommandError> {
        let spec = table::resolve(args)?;
        let Run::Store(handler) = spec.run else { panic!("{} is not a lane's", spec.name) };
        let limits = self.limits();
        handler(&mut Context {
            store: &mut self.store,
            args: Args::new(args, &[]),
            routed: None,
            database: self.database,
            limits,
            waiting: Waiting::Never,
            scripts: Some(&mut self.scripts),
            lookups: None,
            reply,
        })
    }

    fn limits(&self) -> HandlerLimits {
        HandlerLimits {
            elements_at_once_max: self.elements_at_once_max,
            ..HandlerLimits::default()
        }
    }

    /// Goes on with a script that was paused.
    pub fn resume(
        &mut self,
        paused: Box<PausedScript>,
        answer: Option<Result<Tape, CommandError>>,
    ) -> String {
        let mut shown = Shown { resp3: self.resp3, ..Shown::default() };
        let limits = self.limits();
        match self.scripts.resume(paused, answer, (&mut self.store, limits), &mut shown) {
            Ok(()) => shown.text(),
            Err(error) => format!("-{error}"),
        }
    }

    /// A command in words.
    pub fn say(&mut self, line: &str) -> String {
        let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        self.run(&args)
    }

    /// A script with keys and arguments.
    pub fn eval(&mut self, script: &str, keys: &[&str], arguments: &[&str]) -> String {
        let count = keys.len().to_string();
        let mut args: Vec<&[u8]> = vec![b"EVAL", script.as_bytes(), count.as_bytes()];
        args.extend(keys.iter().chain(arguments).map(|text| text.as_bytes()));
        self.run(&args)
    }

    pub fn check(&mut self, script: &str, expected: &str) {
        assert_eq!(self.eval(script, &[], &[]), expected, "{script}");
    }
}

/// An answer in a readable form: `+OK`, `:1`, `"text"`, `nil`, `[a b]`, `{a:b}`, `-ERR …`.
#[derive(Default)]
pub struct Shown {
    parts: Vec<String>,
    resp3: bool,
}

impl Shown {
    fn add(&mut self, part: impl Into<String>) {
        self.parts.push(part.into());
    }

    fn text(&self) -> String {
        let mut rest = self.parts.iter();
        let text = Self::one(&mut rest);
        assert!(rest.next().is_none(), "more than one answer: {:?}", self.parts);
        text
    }

    fn one(rest: &mut std::slice::Iter<'_, String>) -> String {
        let part = rest.next().expect("as many elements as announced");
        let Some((kind, count)) = part.split_once('#') else { return part.clone() };
        let count: usize = count.parse().expect("a count");
        let many = if kind == "%" { 2 * count } else { count };
        let elements: Vec<_> = (0..many).map(|_| Self::one(rest)).collect();
        format!("{kind}[{}]", elements.join(" "))
    }
}

fn quoted(text: &[u8]) -> String {
    format!("\"{}\"", text.escape_ascii()).replace('#', "\\x23")
}

impl Reply for Shown {
    fn simple(&mut self, text: &'static str) {
        self.add(format!("+{text}"));
    }

    fn error(&mut self, error: &CommandError) {
        self.add(format!("-{error}"));
    }

    fn integer(&mut self, value: i64) {
        self.add(format!(":{value}"));
    }

    fn bulk(&mut self, bytes: &[u8]) {
        self.add(quoted(bytes));
    }

    fn blob(&mut self, blob: &Bytes) {
        self.bulk(blob);
    }

    fn null(&mut self) {
        self.add("nil");
    }

    fn null_array(&mut self) {
        self.add("nil");
    }

    fn array(&mut self, length: usize) {
        self.add(format!("*#{length}"));
    }

    fn map(&mut self, pairs: usize) {
        self.add(format!("%#{pairs}"));
    }

    fn set(&mut self, length: usize) {
        self.add(format!("~#{length}"));
    }

    fn double(&mut self, value: f64) {
        self.add(format!(",{value}"));
    }

    fn boolean(&mut self, value: bool) {
        self.add(format!("!{value}"));
    }

    fn verbatim(&mut self, text: &str) {
        self.add(format!("=txt:{text}"));
    }

    fn status(&mut self, text: &[u8]) {
        self.add(format!("+{}", text.escape_ascii()));
    }

    fn big_number(&mut self, digits: &[u8]) {
        self.add(format!("({}", digits.escape_ascii()));
    }

    fn verbatim_as(&mut self, format: [u8; 3], text: &[u8]) {
        self.add(format!("={}:{}", format.escape_ascii(), text.escape_ascii()));
    }
}
