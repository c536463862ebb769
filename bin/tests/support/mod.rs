//! The real program as a process of its own, so that its memory and its descriptors are its alone.

#![allow(dead_code, reason = "each test file uses its own part of it")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::Pid;

/// Long enough for a loaded machine; nothing waits for it unless a reply is missing.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Looks at a state that is to come; each waits `PAUSE`.
pub const LOOKS_MAX: usize = 3000;
pub const PAUSE: Duration = Duration::from_millis(10);

/// The running program; killed when dropped.
pub struct Program {
    pub child: Child,
    pub port: u16,
}

impl Program {
    pub fn start(arguments: &[&str]) -> Self {
        Self::start_by(Command::new(env!("CARGO_BIN_EXE_ringlane")), arguments)
    }

    /// With this limit of open files.
    pub fn start_with_files(files: usize, arguments: &[&str]) -> Self {
        let mut shell = Command::new("sh");
        let script = format!("ulimit -n {files} && exec \"$0\" \"$@\"");
        shell.args(["-c", &script, env!("CARGO_BIN_EXE_ringlane")]);
        Self::start_by(shell, arguments)
    }

    fn start_by(mut command: Command, arguments: &[&str]) -> Self {
        let mut child = command
            .args(["--port", "0", "--bind", "127.0.0.1", "--loglevel", "nothing"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program was built");
        let mut line = String::new();
        let output = child.stdout.take().expect("piped");
        BufReader::new(output).read_line(&mut line).expect("the program says when it is ready");
        let port = line.split_once("port=").and_then(|(_, rest)| rest.split(' ').next());
        let port = port.and_then(|port| port.parse().ok());
        let port = port.unwrap_or_else(|| panic!("no port in {line:?}"));
        Self { child, port }
    }

    pub fn client(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the server accepts");
        stream.set_nodelay(true).expect("a TCP socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("a TCP socket");
        stream
    }

    pub fn process(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub fn resident_bytes(&self) -> usize {
        let path = format!("/proc/{}/statm", self.child.id());
        let text = std::fs::read_to_string(path).expect("it runs");
        let pages: usize = text.split(' ').nth(1).expect("a field").parse().expect("a number");
        pages * rustix::param::page_size()
    }

    pub fn open_files(&self) -> usize {
        let folder = format!("/proc/{}/fd", self.child.id());
        std::fs::read_dir(folder).expect("it runs").count()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends PING and takes the answer.
pub fn ping(stream: &mut TcpStream) {
    stream.write_all(b"PING\r\n").expect("the server reads");
    take_pong(stream);
}

pub fn take_pong(stream: &mut TcpStream) {
    let mut reply = [0; 7];
    stream.read_exact(&mut reply).expect("a reply comes in time");
    assert_eq!(&reply, b"+PONG\r\n", "{}", reply.escape_ascii());
}

/// A number of INFO.
pub fn info(stream: &mut TcpStream, field: &str) -> u64 {
    stream.write_all(b"INFO\r\n").expect("the server reads");
    let mut reader = BufReader::new(stream);
    let mut header = String::new();
    reader.read_line(&mut header).expect("a reply comes in time");
    let length: usize = header[1..].trim().parse().expect("a bulk string");
    let mut text = vec![0; length + 2];
    reader.read_exact(&mut text).expect("the whole of it");
    let text = String::from_utf8(text).expect("INFO is text");
    let prefix = format!("{field}:");
    let found = text.lines().find_map(|line| line.strip_prefix(&prefix));
    found.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{field} in {text}"))
}

/// Looks at a number of INFO until it is right; the last look if it never is.
pub fn info_until(stream: &mut TcpStream, field: &str, right: impl Fn(u64) -> bool) -> u64 {
    for _ in 1..LOOKS_MAX {
        let seen = info(stream, field);
        if right(seen) {
            return seen;
        }
        std::thread::sleep(PAUSE);
    }
    info(stream, field)
}
