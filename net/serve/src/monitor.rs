//! MONITOR: every command that a connection of any lane has run, as a line to those who watch. The
//! lane of the connection writes the line, of what a script or function calls the lane that runs it; the lanes
//! that hold monitors hand it to them. Passwords are not shown, nor are commands of administration.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use ringlane_base::{Database, LaneId};
use ringlane_command::{Args, CommandSpec, Flags};
use ringlane_script::Watcher;

use crate::admin::{Outcome, finish_ok};
use crate::ask::{Question, Step};
use crate::connection::Phase;
use crate::core::Core;
use crate::pubsub::Note;
use crate::reply_buffer::ReplyBuffer;
use crate::ring::ConnectionId;
use crate::secrets::{REDACTED, is_secret};

/// Bytes that are shown of one argument.
const ARGUMENT_BYTES_MAX: usize = 64 << 10;
/// Bytes of a line, after which further arguments are counted only.
const LINE_BYTES_MAX: usize = 1 << 20;
/// Bytes of lines about what scripts call that are kept until they are shown, of one turn of a lane;
/// further ones are counted as dropped.
const CALLED_BYTES_MAX: usize = 4 << 20;

/// Who watches, as this lane sees it.
#[derive(Default)]
pub struct Monitors {
    /// Connections of this lane.
    here: Vec<ConnectionId>,
    /// Lanes that have some, this one included.
    lanes: Vec<LaneId>,
    called: Rc<Called>,
}

/// What scripts have called and nobody has been shown yet.
#[derive(Default)]
struct Called(RefCell<CalledLines>);

#[derive(Default)]
struct CalledLines {
    lines: Vec<Bytes>,
    bytes: usize,
    dropped: u64,
}

impl Watcher for Called {
    fn called(&self, database: Database, args: &[&[u8]]) {
        let called = &mut *self.0.borrow_mut();
        if called.bytes > CALLED_BYTES_MAX {
            called.dropped += 1;
            return;
        }
        let mut line = Vec::with_capacity(64);
        write_head(&mut line, SystemTime::now(), database.0, "lua");
        write_arguments(&mut line, args, |_| false);
        line.extend_from_slice(b"\r\n");
        called.bytes += line.len();
        called.lines.push(Bytes::from(line));
    }
}

impl Monitors {
    #[inline]
    pub fn any(&self) -> bool {
        !self.lanes.is_empty()
    }
}

/// `MONITOR`. Answered once every lane shows what it does; a connection that watches already is told
/// so again.
#[allow(clippy::unnecessary_wraps, reason = "the shape of all commands")]
pub fn monitor(core: &mut Core, id: ConnectionId) -> Outcome {
    let connection = core.connections.get(id).expect("its command is running");
    if !std::mem::replace(&mut connection.monitor, true) {
        core.monitors.here.push(id);
        core.shared.lines[core.lane.index()].monitors.fetch_add(1, Ordering::Release);
        core.shared.monitors.fetch_add(1, Ordering::Release);
    }
    Ok(Step::Ask(Question::Refresh, finish_ok))
}

impl Core {
    /// A connection watches no longer: it was reset or goes.
    pub fn stop_monitoring(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get(id) else { return };
        if !std::mem::take(&mut connection.monitor) {
            return;
        }
        self.monitors.here.retain(|its| *its != id);
        self.shared.lines[self.lane.index()].monitors.fetch_sub(1, Ordering::Release);
        self.shared.monitors.fetch_sub(1, Ordering::Release);
        self.refresh_monitors();
    }

    /// Looks which lanes have monitors.
    #[inline]
    pub fn refresh_monitors(&mut self) {
        if self.shared.monitors.load(Ordering::Acquire) > 0 || self.monitors.any() {
            self.find_monitors();
        }
    }

    #[cold]
    fn find_monitors(&mut self) {
        let lines = self.shared.lines.iter().enumerate();
        let with = lines.filter(|(_, line)| line.monitors.load(Ordering::Acquire) > 0);
        self.monitors.lanes = with.map(|(lane, _)| LaneId(lane as u16)).collect();
        let watcher = self.monitors.any().then(|| Rc::clone(&self.monitors.called));
        self.scripts.set_watcher(watcher.map(|watcher| watcher as Rc<dyn Watcher>));
    }

    /// Shows what scripts have called since the last time, if somebody watches.
    #[inline]
    pub fn show_called(&mut self) {
        if self.monitors.any() {
            self.show_called_lines();
        }
    }

    #[cold]
    fn show_called_lines(&mut self) {
        let CalledLines { lines, dropped, .. } = self.monitors.called.0.take();
        self.stats.monitor_lines_dropped += dropped;
        for line in lines {
            self.show_everywhere(&line);
        }
    }

    /// Shows a command that a connection has just run.
    #[cold]
    pub fn show_command(&mut self, id: ConnectionId, spec: &CommandSpec, args: Args<'_>) {
        // `SKIP_MONITOR` is for COMMAND INFO: Redis shows scripts too, before what they call.
        if spec.flags.contains(Flags::ADMIN) {
            return;
        }
        let Some(connection) = self.connections.get(id) else { return };
        let mut line = Vec::with_capacity(128);
        let database = connection.session.database.0;
        let address = crate::admin::client::address(connection.session.peer);
        write_head(&mut line, SystemTime::now(), database, &address);
        let all = args.from(0);
        write_arguments(&mut line, all, |index| is_secret(spec, all, index));
        line.extend_from_slice(b"\r\n");
        self.show_everywhere(&Bytes::from(line));
    }

    /// Hands a line to the monitors of all lanes.
    fn show_everywhere(&mut self, line: &Bytes) {
        for lane in self.monitors.lanes.clone() {
            if lane == self.lane {
                self.show_line(line);
            } else if !self.try_send(lane, Note::Show(line.clone()), line.len()) {
                self.stats.monitor_lines_dropped += 1;
            }
        }
    }

    /// Hands a line to this lane's monitors.
    pub fn show_line(&mut self, line: &Bytes) {
        let mut text = ReplyBuffer::default();
        text.bytes.extend_from_slice(line);
        let hard = self.live.output_limits.pubsub.hard_bytes;
        for id in self.monitors.here.clone() {
            let Some(connection) = self.connections.get(id) else { continue };
            if connection.phase != Phase::Open {
                continue;
            }
            connection.push(&text);
            Self::mark_dirty(&mut self.dirty, connection);
            let overfull = hard > 0 && connection.output_len() as u64 > hard;
            if overfull && self.output_limit_reached(id) {
                self.close(id);
            }
        }
    }
}

/// `+1339518083.107412 [0 127.0.0.1:60866]`
fn write_head(line: &mut Vec<u8>, now: SystemTime, database: u8, address: &str) {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (seconds, micros) = (now.as_secs(), now.subsec_micros());
    line.extend_from_slice(format!("+{seconds}.{micros:06} [{database} {address}]").as_bytes());
}

/// ` "SET" "key" "value"`
fn write_arguments(line: &mut Vec<u8>, args: &[&[u8]], is_secret: impl Fn(usize) -> bool) {
    for (index, argument) in args.iter().enumerate() {
        if line.len() > LINE_BYTES_MAX {
            let rest = args.len() - index;
            line.extend_from_slice(format!(" \"... ({rest} more arguments)\"").as_bytes());
            return;
        }
        line.push(b' ');
        let argument = if is_secret(index) { REDACTED } else { *argument };
        write_quoted(line, argument);
    }
}

/// The bytes between quotes, what cannot be printed escaped as in C.
fn write_quoted(line: &mut Vec<u8>, bytes: &[u8]) {
    line.push(b'"');
    for byte in &bytes[..bytes.len().min(ARGUMENT_BYTES_MAX)] {
        match byte {
            b'\\' | b'"' => line.extend_from_slice(&[b'\\', *byte]),
            b'\n' => line.extend_from_slice(b"\\n"),
            b'\r' => line.extend_from_slice(b"\\r"),
            b'\t' => line.extend_from_slice(b"\\t"),
            0x07 => line.extend_from_slice(b"\\a"),
            0x08 => line.extend_from_slice(b"\\b"),
            b' '..=b'~' => line.push(*byte),
            _ => line.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
        }
    }
    if bytes.len() > ARGUMENT_BYTES_MAX {
        let rest = bytes.len() - ARGUMENT_BYTES_MAX;
        line.extend_from_slice(format!("... ({rest} more bytes)").as_bytes());
    }
    line.push(b'"');
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ringlane_command::table;

    use super::*;

    fn shown(words: &[&[u8]]) -> String {
        let spec = table::resolve(words).expect("a command");
        let mut line = Vec::new();
        write_arguments(&mut line, words, |index| is_secret(spec, words, index));
        String::from_utf8(line).expect("printable")
    }

    #[test]
    fn lines_are_those_of_redis() {
        let mut line = Vec::new();
        let now = UNIX_EPOCH + Duration::from_micros(1_339_518_083_007_412);
        write_head(&mut line, now, 3, "127.0.0.1:60866");
        assert_eq!(line, b"+1339518083.007412 [3 127.0.0.1:60866]");
        assert_eq!(
            shown(&[b"SET", b"k", b"a\"b\\\n\r\t\x07\x08\x00\xff~"]),
            r#" "SET" "k" "a\"b\\\n\r\t\a\b\x00\xff~""#
        );
    }

    #[test]
    fn secrets_are_not_shown() {
        for (words, expected) in [
            (&["AUTH", "p"][..], r#" "AUTH" "(redacted)""#),
            (&["auth", "u", "p"], r#" "auth" "(redacted)" "(redacted)""#),
            (
                &["HELLO", "3", "AUTH", "u", "p", "SETNAME", "n"],
                r#" "HELLO" "3" "AUTH" "(redacted)" "(redacted)" "SETNAME" "n""#,
            ),
            (&["HELLO", "3"], r#" "HELLO" "3""#),
            (&["GET", "auth"], r#" "GET" "auth""#),
        ] {
            let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
            assert_eq!(shown(&words), expected);
        }
    }

    #[test]
    fn what_is_long_is_cut() {
        let long = vec![b'x'; ARGUMENT_BYTES_MAX + 5];
        let text = shown(&[b"SET", b"k", &long]);
        assert!(text.ends_with("x... (5 more bytes)\""));
        let many: Vec<&[u8]> = std::iter::repeat_n(&long[..], 40).collect();
        let text = shown(&[&[&b"DEL"[..]][..], &many].concat());
        assert!(text.len() < LINE_BYTES_MAX + 2 * ARGUMENT_BYTES_MAX);
        assert!(text.ends_with("more arguments)\""));
    }
}
