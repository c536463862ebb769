//! What single commands cost: a closed loop of pipelines of one kind of request, and the server's CPU
//! time over the operations. Owns the requests; the servers are the caller's.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::event::{Timespec, epoll};
use serde::Serialize;

use crate::{
    client::{Client, Reply},
    cpu::{CpuMeter, cpu_per_operation_ns},
    protocol::push_command,
    zipf::Random,
};

/// Requests in flight on each connection.
pub const DEPTH: usize = 16;
/// Connections of every row but PUBLISH.
pub const CONNECTIONS: usize = 50;
/// Different batches of requests, sent in turn.
const BATCHES: usize = 4096 + 1;
/// How often each of them is made, with other scores each time: sent again, it would find the scores
/// as they are.
const VARIANTS: u64 = 2;
const SCORES: u64 = 1_000_000;
/// Clients that listen to the channel.
pub const SUBSCRIBERS: usize = 1000;

const COLLECTIONS: u64 = 100;
const MEMBERS: u64 = 10_000;
const KEYS: u64 = 100_000;
const TRANSACTION_COMMANDS: usize = 10;
const VALUE: &[u8; 32] = b"0123456789abcdef0123456789abcdef";
const SCRIPT: &[u8] = b"return redis.call('GET', KEYS[1])";
const CHANNEL: &[u8] = b"channel";
const PATIENCE: Duration = Duration::from_secs(30);

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Row {
    /// LPUSH and LPOP in turn, on 100 lists of about 1,000 elements.
    List,
    /// HSET and HGET in turn, on 100 hashes of up to 10,000 fields.
    Hash,
    /// SADD to 100 sets of up to 10,000 members.
    Set,
    /// ZADD of a member with another score and ZRANGE of the first ten in turn, on 100 sorted sets of
    /// up to 10,000 members.
    Sorted,
    /// INCR of 100,000 counters.
    Counter,
    /// EVAL of a GET, on 100,000 keys.
    Script,
    /// MULTI, ten SETs, EXEC: one operation.
    Transaction,
    /// PUBLISH to 1,000 subscribers: a delivered message is the operation.
    Publish,
}

impl Row {
    pub const ALL: [Self; 8] = [
        Self::List,
        Self::Hash,
        Self::Set,
        Self::Sorted,
        Self::Counter,
        Self::Script,
        Self::Transaction,
        Self::Publish,
    ];

    pub fn title(self) -> &'static str {
        match self {
            Self::List => "LPUSH, LPOP",
            Self::Hash => "HSET, HGET",
            Self::Set => "SADD",
            Self::Sorted => "ZADD, ZRANGE 0 9",
            Self::Counter => "INCR",
            Self::Script => "EVAL of a GET",
            Self::Transaction => "MULTI, 10 SET, EXEC",
            Self::Publish => "PUBLISH to 1,000, a message",
        }
    }

    /// Replies to one operation.
    fn replies(self) -> usize {
        match self {
            Self::Transaction => TRANSACTION_COMMANDS + 2,
            Self::List
            | Self::Hash
            | Self::Set
            | Self::Sorted
            | Self::Counter
            | Self::Script
            | Self::Publish => 1,
        }
    }

    /// Writes one operation's requests, the same for each variant but for scores.
    fn push(self, turn: u64, variant: u64, random: &mut Random, out: &mut Vec<u8>) {
        let even = turn.is_multiple_of(2);
        let key = |kind: &str, count: u64, random: &mut Random| {
            format!("{kind}:{}", random.below(count)).into_bytes()
        };
        match self {
            Self::List => {
                // Each list gives back what it was given: none runs empty or grows while the load lasts.
                if even {
                    let list = key("list", COLLECTIONS, &mut random.clone());
                    push_command(&[b"LPUSH", &list, VALUE], out);
                } else {
                    let list = key("list", COLLECTIONS, random);
                    push_command(&[b"LPOP", &list], out);
                }
            }
            Self::Hash => {
                let hash = key("hash", COLLECTIONS, random);
                let field = key("field", MEMBERS, random);
                if even {
                    push_command(&[b"HSET", &hash, &field, VALUE], out);
                } else {
                    push_command(&[b"HGET", &hash, &field], out);
                }
            }
            Self::Set => {
                let set = key("set", COLLECTIONS, random);
                push_command(&[b"SADD", &set, &key("member", MEMBERS, random)], out);
            }
            Self::Sorted => {
                let board = key("board", COLLECTIONS, random);
                if even {
                    let score = (random.below(SCORES) + variant * SCORES / VARIANTS) % SCORES;
                    let score = score.to_string();
                    let member = key("member", MEMBERS, random);
                    push_command(&[b"ZADD", &board, score.as_bytes(), &member], out);
                } else {
                    push_command(&[b"ZRANGE", &board, b"0", b"9"], out);
                }
            }
            Self::Counter => push_command(&[b"INCR", &key("counter", KEYS, random)], out),
            Self::Script => push_command(&[b"EVAL", SCRIPT, b"1", &key("key", KEYS, random)], out),
            Self::Transaction => {
                push_command(&[b"MULTI"], out);
                for _ in 0..TRANSACTION_COMMANDS {
                    push_command(&[b"SET", &key("key", KEYS, random), VALUE], out);
                }
                push_command(&[b"EXEC"], out);
            }
            Self::Publish => push_command(&[b"PUBLISH", CHANNEL, VALUE], out),
        }
    }

    /// Fills what it reads.
    fn prepare(self, client: &mut Client) -> Result<()> {
        let mut requests = Vec::new();
        let mut waiting = 0;
        let mut send = |client: &mut Client, arguments: &[&[u8]], last: bool| -> Result<()> {
            if !arguments.is_empty() {
                push_command(arguments, &mut requests);
                waiting += 1;
            }
            if waiting >= 1000 || last {
                client.send(&requests)?;
                requests.clear();
                for _ in 0..std::mem::take(&mut waiting) {
                    client.read()?;
                }
            }
            Ok(())
        };
        match self {
            Self::List => {
                for index in 0..COLLECTIONS * 1000 {
                    let list = format!("list:{}", index % COLLECTIONS);
                    send(client, &[b"LPUSH", list.as_bytes(), VALUE], false)?;
                }
            }
            Self::Hash => {
                for index in 0..COLLECTIONS * MEMBERS {
                    let hash = format!("hash:{}", index % COLLECTIONS);
                    let field = format!("field:{}", index / COLLECTIONS);
                    send(client, &[b"HSET", hash.as_bytes(), field.as_bytes(), VALUE], false)?;
                }
            }
            Self::Set => {
                for index in 0..COLLECTIONS * MEMBERS {
                    let set = format!("set:{}", index % COLLECTIONS);
                    let member = format!("member:{}", index / COLLECTIONS);
                    send(client, &[b"SADD", set.as_bytes(), member.as_bytes()], false)?;
                }
            }
            Self::Sorted => {
                for index in 0..COLLECTIONS * MEMBERS {
                    let board = format!("board:{}", index % COLLECTIONS);
                    let member = format!("member:{}", index / COLLECTIONS);
                    let score = (index * 7919 % 1_000_000).to_string();
                    let args: [&[u8]; 4] =
                        [b"ZADD", board.as_bytes(), score.as_bytes(), member.as_bytes()];
                    send(client, &args, false)?;
                }
            }
            Self::Counter | Self::Publish => {}
            Self::Script | Self::Transaction => {
                for index in 0..KEYS {
                    send(client, &[b"SET", format!("key:{index}").as_bytes(), VALUE], false)?;
                }
            }
        }
        send(client, &[], true)
    }
}

/// What a row came to.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Measured {
    pub operations: u64,
    pub per_second: f64,
    pub server_cpu_ns: f64,
}

/// Readies a server for a row.
pub fn prepare(address: SocketAddr, row: Row) -> Result<()> {
    let mut client = Client::connect(address, PATIENCE)?;
    client.command("FLUSHALL")?;
    row.prepare(&mut client).with_context(|| format!("filling for {}", row.title()))
}

/// Loads a server for so many seconds from this thread.
pub fn run(address: SocketAddr, meter: CpuMeter, row: Row, seconds: f64) -> Result<Measured> {
    match row {
        Row::Publish => publish(address, meter, seconds),
        Row::List
        | Row::Hash
        | Row::Set
        | Row::Sorted
        | Row::Counter
        | Row::Script
        | Row::Transaction => closed_loop(address, meter, row, seconds),
    }
}

/// One connection: counts the replies that come.
struct Pipe {
    stream: TcpStream,
    input: Vec<u8>,
}

impl Pipe {
    fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream, input: Vec::new() })
    }

    /// Reads so many whole replies.
    fn read(&mut self, replies: usize) -> Result<()> {
        let mut missing = replies;
        let mut chunk = vec![0; 64 << 10];
        loop {
            let mut used = 0;
            while missing > 0 {
                let rest = &self.input[used..];
                let Some(length) = reply_length(rest)? else { break };
                if rest[0] == b'-' {
                    bail!("error reply: {}", String::from_utf8_lossy(&rest[..length.min(200)]));
                }
                used += length;
                missing -= 1;
            }
            self.input.drain(..used);
            if missing == 0 {
                return Ok(());
            }
            let count = self.stream.read(&mut chunk)?;
            if count == 0 {
                bail!("the server closed the connection");
            }
            self.input.extend_from_slice(&chunk[..count]);
        }
    }
}

/// The bytes of the first reply, RESP2; None: it is not all there.
fn reply_length(input: &[u8]) -> Result<Option<usize>> {
    let Some(end) = input.windows(2).position(|pair| pair == b"\r\n") else { return Ok(None) };
    let number = || -> Result<i64> {
        std::str::from_utf8(&input[1..end])?.parse().context("a number in a reply")
    };
    let head = end + 2;
    match input[0] {
        b'+' | b'-' | b':' => Ok(Some(head)),
        b'$' => {
            let length = usize::try_from(number()?).ok().map_or(head, |length| head + length + 2);
            Ok((input.len() >= length).then_some(length))
        }
        b'*' => {
            let mut used = head;
            for _ in 0..number()?.max(0) {
                let Some(length) = reply_length(&input[used..])? else { return Ok(None) };
                used += length;
            }
            Ok(Some(used))
        }
        other => bail!("a reply begins with {:?}", char::from(other)),
    }
}

fn closed_loop(address: SocketAddr, meter: CpuMeter, row: Row, seconds: f64) -> Result<Measured> {
    let mut pipes = (0..CONNECTIONS).map(|_| Pipe::connect(address)).collect::<Result<Vec<_>>>()?;
    // Made beforehand: the server, not the load, is to be what is waited for.
    let batches: Vec<Vec<u8>> = (0..VARIANTS)
        .flat_map(|variant| {
            let mut random = Random::new(7);
            (0..BATCHES).map(move |_| {
                let mut requests = Vec::new();
                let turns = 0..DEPTH as u64;
                turns.for_each(|turn| row.push(turn, variant, &mut random, &mut requests));
                requests
            })
        })
        .collect();
    let mut next = batches.iter().cycle();
    let mut round = |pipes: &mut [Pipe]| -> Result<u64> {
        for pipe in pipes.iter_mut() {
            pipe.stream.write_all(next.next().expect("they go round"))?;
        }
        for pipe in pipes.iter_mut() {
            pipe.read(DEPTH * row.replies())?;
        }
        Ok((pipes.len() * DEPTH) as u64)
    };
    let warm = Instant::now();
    while warm.elapsed().as_secs_f64() < seconds / 8.0 {
        round(&mut pipes)?;
    }
    let (begun, cpu) = (Instant::now(), meter.read()?);
    let mut operations = 0;
    while begun.elapsed().as_secs_f64() < seconds {
        operations += round(&mut pipes)?;
    }
    measured(operations, begun.elapsed(), meter.read()?.saturating_sub(cpu))
}

fn measured(operations: u64, time: Duration, cpu: Duration) -> Result<Measured> {
    let server_cpu_ns = cpu_per_operation_ns(cpu, operations).context("nothing was answered")?;
    let per_second = operations as f64 / time.as_secs_f64();
    Ok(Measured { operations, per_second, server_cpu_ns })
}

/// Messages to 1,000 subscribers, which a thread of their own reads.
fn publish(address: SocketAddr, meter: CpuMeter, seconds: f64) -> Result<Measured> {
    let mut subscribers = Vec::with_capacity(SUBSCRIBERS);
    for _ in 0..SUBSCRIBERS {
        let mut client = Client::connect(address, PATIENCE)?;
        client.call(&[b"SUBSCRIBE", CHANNEL])?;
        subscribers.push(client.into_stream());
    }
    let bytes = Arc::new(AtomicU64::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let reader = {
        let (bytes, stop) = (Arc::clone(&bytes), Arc::clone(&stop));
        std::thread::spawn(move || drain(&mut subscribers, &bytes, &stop))
    };
    // `*3 $7 message $7 channel $32 value`, with their line ends.
    let message = 4 + 13 + 4 + CHANNEL.len() + 2 + 5 + VALUE.len() + 2;
    let mut client = Client::connect(address, PATIENCE)?;
    let mut requests = Vec::new();
    for _ in 0..DEPTH {
        push_command(&[b"PUBLISH", CHANNEL, VALUE], &mut requests);
    }
    let mut sent = 0;
    let (begun, cpu) = (Instant::now(), meter.read()?);
    while begun.elapsed().as_secs_f64() < seconds {
        client.send(&requests)?;
        for _ in 0..DEPTH {
            match client.read()? {
                Reply::Integer(count) if count == SUBSCRIBERS as i64 => sent += 1,
                other => bail!("PUBLISH answered {other:?}, not {SUBSCRIBERS}"),
            }
        }
        // No further ahead than the readers can follow.
        while bytes.load(Ordering::Relaxed) + ((DEPTH * SUBSCRIBERS * message) as u64)
            < sent * (SUBSCRIBERS * message) as u64
        {
            std::thread::yield_now();
        }
    }
    let all = sent * (SUBSCRIBERS * message) as u64;
    let patience = Instant::now();
    while bytes.load(Ordering::Relaxed) < all && patience.elapsed() < PATIENCE {
        std::thread::yield_now();
    }
    let used = meter.read()?.saturating_sub(cpu);
    let result = measured(sent * SUBSCRIBERS as u64, begun.elapsed(), used);
    stop.store(true, Ordering::Relaxed);
    reader.join().expect("the reader does not panic")?;
    if bytes.load(Ordering::Relaxed) < all {
        bail!("not every message arrived");
    }
    result
}

/// Reads everything that comes to the subscribers until told to stop.
fn drain(subscribers: &mut [TcpStream], bytes: &AtomicU64, stop: &AtomicBool) -> Result<()> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    for (index, stream) in subscribers.iter().enumerate() {
        stream.set_nonblocking(true)?;
        let data = epoll::EventData::new_u64(index as u64);
        epoll::add(&epoll, stream, data, epoll::EventFlags::IN)?;
    }
    let mut events: Vec<epoll::Event> = Vec::with_capacity(SUBSCRIBERS);
    let mut chunk = vec![0; 64 << 10];
    while !stop.load(Ordering::Relaxed) {
        events.clear();
        let timeout = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
        match epoll::wait(&epoll, rustix::buffer::spare_capacity(&mut events), Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("epoll"),
        }
        for event in &events {
            let stream = &mut subscribers[event.data.u64() as usize];
            match stream.read(&mut chunk) {
                Ok(0) => bail!("a subscriber was closed"),
                Ok(count) => {
                    bytes.fetch_add(count as u64, Ordering::Relaxed);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_that_comes_again_has_other_scores() {
        for row in [Row::Sorted, Row::Hash] {
            let [one, other] = [0, 1].map(|variant| {
                let (mut random, mut requests) = (Random::new(7), Vec::new());
                (0..DEPTH as u64)
                    .for_each(|turn| row.push(turn, variant, &mut random, &mut requests));
                requests
            });
            assert_eq!(one != other, row == Row::Sorted);
        }
    }

    #[test]
    fn replies_end_where_they_end() {
        for (input, expected) in [
            (&b"+OK\r\n+"[..], Some(5)),
            (b"$3\r\nabc\r\n", Some(9)),
            (b"$3\r\nabc\r", None),
            (b"$-1\r\n", Some(5)),
            (b"*2\r\n:1\r\n$1\r\na\r\n:", Some(15)),
            (b"*2\r\n:1\r\n", None),
            (b"*-1\r\n", Some(5)),
            (b":1", None),
        ] {
            assert_eq!(reply_length(input).expect("well-formed"), expected, "{input:?}");
        }
    }
}
