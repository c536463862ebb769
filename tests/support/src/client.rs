//! One connection that sends commands and reads whole replies, blocking.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use ringlane_resp::ReplyEnd;

/// Long enough for a loaded machine; nothing waits for it unless a reply is missing.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Bytes that are read at once.
const READ_BYTES: usize = 64 << 10;

/// A client.
pub struct Client {
    pub stream: TcpStream,
    /// What was read beyond the last reply.
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

    /// The next whole reply.
    pub fn reply_bytes(&mut self) -> Vec<u8> {
        let mut end = ReplyEnd::new();
        loop {
            if let Some(length) = end.find(&self.buffer).expect("the server speaks RESP") {
                let rest = self.buffer.split_off(length);
                return std::mem::replace(&mut self.buffer, rest);
            }
            let mut piece = vec![0; READ_BYTES];
            let length = match self.stream.read(&mut piece) {
                // A signal to this process is no answer; with a time limit, reads are not restarted.
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
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

/// A command as an array of bulk strings.
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
