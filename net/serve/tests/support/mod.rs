//! A real server inside the test's process, and a client that speaks bytes.

#![allow(dead_code, reason = "each test file uses its own part of it")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use ringlane_serve::{Server, Stopper};
use ringlane_settings::{Machine, Settings, Sources};

/// Long enough for a loaded machine; nothing waits for it unless a reply is missing.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server; stopped and joined when dropped.
pub struct Running {
    pub address: SocketAddr,
    pub lane_ports: Vec<u16>,
    pub settings: Arc<Settings>,
    stopper: Stopper,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Running {
    /// A server with this many lanes and these settings, on ports of the system's choice.
    pub fn with(lanes: usize, arguments: &[(&str, &str)]) -> Self {
        Self::with_sources(lanes, arguments, Sources::default())
    }

    /// A server that was started with this file, which is not read here.
    pub fn with_file(lanes: usize, path: &std::path::Path) -> Self {
        let sources = Sources { path: Some(path.to_owned()), ..Sources::default() };
        Self::with_sources(lanes, &[], sources)
    }

    fn with_sources(lanes: usize, arguments: &[(&str, &str)], sources: Sources) -> Self {
        let machine = Machine { cores: vec![0, 1], cpus: 2, memory_bytes: 4 << 30 };
        let mut all = vec![("port".to_owned(), "0".to_owned())];
        all.push(("lanes".to_owned(), lanes.to_string()));
        all.extend(arguments.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let sources = Sources { arguments: all, ..sources };
        let settings = Arc::new(Settings::load(machine, &sources).expect("settings are right"));
        let server: Server = ringlane_serve::start(&settings).expect("the server starts");
        let address = server.addresses()[0];
        let lane_ports = server.lane_ports().to_vec();
        let stopper = server.stopper();
        let thread = std::thread::spawn(move || server.wait());
        Self { address, lane_ports, settings, stopper, thread: Some(thread) }
    }

    pub fn client(&self) -> Client {
        Client::to(self.address)
    }

    /// A client at a lane's own door.
    pub fn lane_client(&self, lane: usize) -> Client {
        Client::to(SocketAddr::new(self.address.ip(), self.lane_ports[lane]))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stopper.stop();
        let ended = self.thread.take().expect("taken once").join();
        if !std::thread::panicking() {
            ended.expect("the server stops cleanly");
        }
    }
}

/// One connection that reads whole replies.
pub struct Client {
    pub stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the server accepts");
        stream.set_nodelay(true).expect("a TCP socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("a TCP socket");
        Self { stream, buffer: Vec::new() }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the server reads");
    }

    /// Sends a command as an array of bulk strings.
    pub fn send_command<A: AsRef<[u8]>>(&mut self, args: &[A]) {
        self.send(&encode(args));
    }

    /// One command and its reply, as RESP text.
    pub fn call<A: AsRef<[u8]>>(&mut self, args: &[A]) -> String {
        self.send_command(args);
        self.reply()
    }

    /// A command written in words and its reply.
    pub fn say(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
        self.call(&words)
    }

    /// The next whole reply, as RESP text, lossy where it is not UTF-8.
    pub fn reply(&mut self) -> String {
        String::from_utf8_lossy(&self.reply_bytes()).into_owned()
    }

    pub fn reply_bytes(&mut self) -> Vec<u8> {
        loop {
            if let Some(length) = reply_length(&self.buffer) {
                let rest = self.buffer.split_off(length);
                return std::mem::replace(&mut self.buffer, rest);
            }
            let mut piece = vec![0; 64 << 10];
            let length = match self.stream.read(&mut piece) {
                // A signal to this process is no answer; with a time limit, reads are not restarted.
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                read => read.expect("a reply comes in time"),
            };
            assert!(
                length > 0,
                "the server closed; so far: {:?}",
                String::from_utf8_lossy(&self.buffer)
            );
            self.buffer.extend_from_slice(&piece[..length]);
        }
    }

    /// Reads until the server closes; what came before that.
    pub fn read_to_end(&mut self) -> Vec<u8> {
        let mut all = std::mem::take(&mut self.buffer);
        // A reset is an end as well: the server closed with unread input.
        let _ = self.stream.read_to_end(&mut all);
        all
    }
}

/// An array of bulk strings.
pub fn encode<A: AsRef<[u8]>>(args: &[A]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        let arg = arg.as_ref();
        bytes.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        bytes.extend_from_slice(arg);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// The length of the first whole reply, if it is all there.
fn reply_length(bytes: &[u8]) -> Option<usize> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")? + 2;
    let number = || -> i64 {
        std::str::from_utf8(&bytes[1..end - 2]).expect("a number").parse().expect("a number")
    };
    match bytes[0] {
        b'$' | b'=' | b'!' => match number() {
            -1 => Some(end),
            length => {
                (bytes.len() >= end + length as usize + 2).then_some(end + length as usize + 2)
            }
        },
        kind @ (b'*' | b'~' | b'>' | b'%') => {
            let mut at = end;
            let count = number().max(0) * if kind == b'%' { 2 } else { 1 };
            for _ in 0..count {
                at += reply_length(&bytes[at..])?;
            }
            Some(at)
        }
        _ => Some(end),
    }
}
