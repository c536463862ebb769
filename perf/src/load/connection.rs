//! One non-blocking connection: what is still to be written, what has arrived in part, what is in
//! flight.

use std::{
    collections::VecDeque,
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context, Result, bail};

use super::Target;
use crate::{
    client::Client,
    keyspace::VALUE_BYTES_MAX,
    protocol::{Answer, Protocol, Scan},
};

/// What one read brings at most, and the input that all connections of a thread share.
pub const READ_BYTES: usize = 256 * 1024;
/// A reply is at most a value and its frame.
const REPLY_BYTES_MAX: usize = VALUE_BYTES_MAX + 1024;

/// A request that is not answered yet.
#[derive(Clone, Copy, Debug)]
pub struct InFlight {
    pub number: u64,
    pub is_read: bool,
    /// When it was sent (closed loop) or due (open loop), in nanoseconds since the start.
    pub since_ns: u64,
}

pub struct Connection {
    stream: TcpStream,
    pub endpoint: usize,
    pub in_flight: VecDeque<InFlight>,
    /// Requests to write, from `written` on.
    pub out: Vec<u8>,
    written: usize,
    /// The beginning of an answer whose rest has not arrived.
    partial: Vec<u8>,
    /// How long that answer is, where known.
    needed: usize,
}

impl Connection {
    /// Connects, logs in, chooses the protocol; non-blocking from then on.
    pub fn open(
        target: &Target,
        address: SocketAddr,
        endpoint: usize,
        patience: Duration,
    ) -> Result<Self> {
        let mut client = Client::connect(address, patience)?;
        match (target.protocol, &target.password) {
            (Protocol::Resp3, Some(password)) => {
                client.call(&[b"HELLO", b"3", b"AUTH", b"default", password.as_bytes()])?;
            }
            (Protocol::Resp3, None) => {
                client.command("HELLO 3")?;
            }
            (Protocol::Resp2, Some(password)) => {
                client.call(&[b"AUTH", password.as_bytes()])?;
            }
            (Protocol::Resp2 | Protocol::Memcached, _) => {}
        }
        let stream = client.into_stream();
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            endpoint,
            in_flight: VecDeque::new(),
            out: Vec::new(),
            written: 0,
            partial: Vec::new(),
            needed: 0,
        })
    }

    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Writes what the socket takes. Returns whether all of it went.
    pub fn flush(&mut self) -> Result<bool> {
        while self.written < self.out.len() {
            match self.stream.write(&self.out[self.written..]) {
                Ok(0) => bail!("the server takes no more"),
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("writing to the server"),
            }
        }
        self.out.clear();
        self.written = 0;
        Ok(true)
    }

    /// Reads once and gives each whole answer to `visit` with its request. `input` is scratch of
    /// `READ_BYTES`, shared by all connections of the thread so that it stays in the cache.
    pub fn receive(
        &mut self,
        protocol: Protocol,
        input: &mut [u8],
        mut visit: impl FnMut(InFlight, Answer<'_>),
    ) -> Result<()> {
        // A long answer gathers in `partial` itself: copying it back and forth would be quadratic.
        let start = self.partial.len();
        let long = self.needed > input.len() / 2;
        let count = if long {
            self.partial.resize(self.needed, 0);
            let read = self.read_into_partial(start);
            self.partial.truncate(start + read.as_ref().map_or(0, |count| count.unwrap_or(0)));
            read?
        } else {
            input[..start].copy_from_slice(&self.partial);
            read(&mut self.stream, &mut input[start..])?
        };
        let Some(count) = count else { return Ok(()) };
        let Self { in_flight, partial, needed, .. } = self;
        if long {
            if partial.len() < *needed {
                return Ok(());
            }
            let gathered = std::mem::take(partial);
            *needed = 0;
            let used = answers(protocol, &gathered, in_flight, needed, &mut visit)?;
            *partial = gathered[used..].to_vec();
        } else {
            *needed = 0;
            let gathered = &input[..start + count];
            let used = answers(protocol, gathered, in_flight, needed, &mut visit)?;
            partial.clear();
            partial.extend_from_slice(&gathered[used..]);
        }
        Ok(())
    }

    fn read_into_partial(&mut self, start: usize) -> Result<Option<usize>> {
        read(&mut self.stream, &mut self.partial[start..])
    }
}

/// None: nothing there now.
fn read(stream: &mut TcpStream, into: &mut [u8]) -> Result<Option<usize>> {
    loop {
        match stream.read(into) {
            Ok(0) => bail!("the server closed the connection"),
            Ok(count) => return Ok(Some(count)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error).context("reading from the server"),
        }
    }
}

/// Visits every whole answer in `input`; returns how many bytes they took.
#[inline]
fn answers(
    protocol: Protocol,
    input: &[u8],
    in_flight: &mut VecDeque<InFlight>,
    needed: &mut usize,
    visit: &mut impl FnMut(InFlight, Answer<'_>),
) -> Result<usize> {
    let mut used = 0;
    while used < input.len() {
        match protocol.scan(&input[used..]) {
            Scan::Whole { answer, length } => {
                let request = in_flight.pop_front().context("an answer that nobody asked for")?;
                visit(request, answer);
                used += length;
            }
            Scan::Incomplete { needed: bytes } if bytes <= REPLY_BYTES_MAX => {
                *needed = bytes;
                break;
            }
            Scan::Incomplete { .. } | Scan::Malformed => {
                let shown = &input[used..input.len().min(used + 60)];
                bail!("the server sent nonsense: {:?}", String::from_utf8_lossy(shown));
            }
        }
    }
    Ok(used)
}
