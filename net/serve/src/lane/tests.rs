//! A lane whose turns the test takes one by one, with sockets of its own.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use ringlane_base::{HashSeed, Now};
use ringlane_command::Args;
use ringlane_settings::{Machine, Settings, Sources};

use super::*;
use crate::connection::OUTPUT_PAUSE_BYTES_THRIFTY;
use crate::execute::Call;
use crate::mailbox;
use crate::outbox::MAILBOX_LETTERS_MAX;
use crate::parcel::{Parcel, Release, Request, ReturnTo};
use crate::plan::{BATCH_COMMANDS_MAX, Target};
use crate::reply_buffer::Stretch;
use crate::ring::{RECEIVE_BUFFER_BYTES, RECEIVE_BUFFERS};
use crate::run::Manner;
use crate::shared::Shared;

/// Turns in which everything that is under way comes to its end.
const TURNS_MAX: usize = 20_000;

const CONNECTIONS_ELSEWHERE: usize = 100_000;

/// The first of two lanes; what it posts to the second the test reads, if anybody.
struct Bench {
    lane: Lane,
    /// The other lane's ends.
    other: Peer,
}

impl Bench {
    fn new(arguments: &[(&str, &str)]) -> Self {
        let machine = Machine { cores: vec![0], cpus: 1, memory_bytes: 4 << 30 };
        let of = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let arguments = arguments.iter().map(of).collect();
        let sources = Sources { arguments, ..Sources::default() };
        let settings = Arc::new(Settings::load(machine, &sources).expect("settings are right"));
        let names = vec![String::new(), String::new()];
        let shared = Shared::new(names, String::new(), HashSeed(1), Now::default(), 0, Vec::new());
        // More than this lane will have: none of its own is to move but as the test says.
        shared.lines[1].front_connections.store(CONNECTIONS_ELSEWHERE, Ordering::Relaxed);
        let core = Core::new(LaneId(0), Arc::new(shared), settings, clock::now());
        let (to_other, from_lane) = mailbox::channel(MAILBOX_LETTERS_MAX);
        let (to_lane, from_other) = mailbox::channel(MAILBOX_LETTERS_MAX);
        let peers = vec![None, Some(Peer { sender: to_other, receiver: from_other })];
        let doors = Doors { listeners: Vec::new() };
        let ring = Ring::new().expect("the kernel has io_uring");
        let lane = Lane::new(core, ring, doors, peers).expect("descriptors are left");
        Self { lane, other: Peer { sender: to_lane, receiver: from_lane } }
    }

    /// A connection that this lane serves, and its client's end.
    fn connect(&mut self) -> (ConnectionId, UnixStream) {
        let (client, server) = UnixStream::pair().expect("descriptors are left");
        client.set_nonblocking(true).expect("a socket");
        let address = "127.0.0.1:1".parse().expect("an address");
        let number = self.lane.core.shared.next_client_id();
        let mut session = Session::new(number, Door::Front, address, address, 0);
        session.authenticated = true;
        let shared = &self.lane.core.shared;
        shared.clients.fetch_add(1, Ordering::Relaxed);
        shared.lines[0].front_connections.fetch_add(1, Ordering::Relaxed);
        self.lane.adopt(server.into(), session);
        let newest = self.lane.core.connections.iter().max_by_key(|it| it.session.id);
        (newest.expect("just adopted").id, client)
    }

    /// Takes what the kernel has, without executing it.
    fn only_reap(&mut self) {
        self.lane.ring.enter(false).expect("the ring works");
        self.lane.core.store.begin_turn(clock::now());
        self.lane.reap();
    }

    fn turn(&mut self) {
        // So that a turn never sleeps, whoever is silent.
        self.lane.upkeep_due = true;
        assert!(self.lane.turn().expect("the ring works"));
    }

    /// The other lane sends this.
    fn post(&mut self, mail: Mail) {
        let letter = Letter { from: LaneId(1), mail };
        assert!(self.other.sender.push(letter).is_ok(), "there is room");
    }

    /// The next parcel that the other lane is sent, after a turn or more.
    fn parcel_for_other(&mut self) -> Box<Parcel> {
        for _ in 0..TURNS_MAX {
            match self.other.receiver.pop().map(|letter| letter.mail) {
                Some(Mail::Requests(parcel) | Mail::Answers(parcel)) => return parcel,
                Some(_) => panic!("only parcels are expected"),
                None => self.turn(),
            }
        }
        panic!("nothing was sent");
    }

    /// What `even_out` does to a connection that another lane is to have.
    fn begin_to_move(&mut self, id: ConnectionId) {
        self.lane.ring.cancel_receive(id);
        let connection = self.lane.core.connections.get(id).expect("it is open");
        connection.leaving_for = Some(LaneId(1));
    }

    /// Takes turns until the client has read this.
    fn read(&mut self, client: &mut UnixStream, expected: &[u8]) {
        let mut seen = Vec::new();
        for _ in 0..TURNS_MAX {
            let mut bytes = [0; 64];
            match client.read(&mut bytes) {
                Ok(count) => seen.extend_from_slice(&bytes[..count]),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            if seen.len() >= expected.len() {
                break;
            }
            self.turn();
        }
        assert_eq!(seen.escape_ascii().to_string(), expected.escape_ascii().to_string());
    }
}

#[test]
fn what_comes_while_a_connection_is_to_move_is_answered() {
    let mut bench = Bench::new(&[]);
    let (id, mut client) = bench.connect();
    client.write_all(b"PING\r\n").expect("a socket");
    bench.read(&mut client, b"+PONG\r\n");
    client.write_all(b"PING\r\n").expect("a socket");
    // The command is here, and not executed yet, when the move is decided.
    bench.only_reap();
    assert_eq!(bench.lane.arrivals.len(), 1);
    bench.begin_to_move(id);
    bench.read(&mut client, b"+PONG\r\n");
    let connection = bench.lane.core.connections.get(id).expect("it stays");
    assert!(connection.leaving_for.is_none());
    client.write_all(b"PING\r\n").expect("a socket");
    bench.read(&mut client, b"+PONG\r\n");
}

#[test]
fn a_client_that_closes_while_its_connection_is_to_move_is_let_go() {
    let mut bench = Bench::new(&[]);
    let (id, mut client) = bench.connect();
    client.write_all(b"PING\r\n").expect("a socket");
    bench.read(&mut client, b"+PONG\r\n");
    let connection = bench.lane.core.connections.get(id).expect("it is open");
    connection.leaving_for = Some(LaneId(1));
    drop(client);
    for _ in 0..TURNS_MAX {
        if bench.lane.core.connections.is_empty() {
            break;
        }
        bench.turn();
    }
    assert!(bench.lane.core.connections.is_empty(), "its descriptor is kept");
}

#[test]
fn connections_for_which_no_receive_buffer_is_left_are_all_served() {
    const MORE: usize = 50;
    let mut bench = Bench::new(&[]);
    let mut clients: Vec<UnixStream> =
        (0..usize::from(RECEIVE_BUFFERS) + MORE).map(|_| bench.connect().1).collect();
    for round in 1..=3 {
        // Those that the last round left without a buffer listen again.
        bench.turn();
        let before = bench.lane.core.stats.receive_buffers_exhausted;
        for client in &mut clients {
            client.write_all(b"PING\r\n").expect("a socket");
        }
        // All have sent before the lane gives a single buffer back; the kernel tells of some at a time.
        for _ in 0..TURNS_MAX {
            bench.only_reap();
            if bench.lane.core.stats.receive_buffers_exhausted > before {
                break;
            }
        }
        assert!(bench.lane.core.stats.receive_buffers_exhausted > before, "in round {round}");
        assert_eq!(bench.lane.arrivals.len(), usize::from(RECEIVE_BUFFERS), "in round {round}");
        for client in &mut clients {
            bench.read(client, b"+PONG\r\n");
        }
    }
}

/// Values that arrive in pieces of so many bytes.
const VALUE_BYTES: usize = 1 << 20;
const PIECE_BYTES: usize = 16 << 10;
const CLIENTS: usize = 40;

/// A key of this lane gets a value of `VALUE_BYTES`.
fn set_command(number: usize) -> Vec<u8> {
    let mut bytes = b"*3\r\n$3\r\nSET\r\n".to_vec();
    let key = format!("key:{{2}}:{number}");
    bytes.extend(format!("${}\r\n{key}\r\n${VALUE_BYTES}\r\n", key.len()).as_bytes());
    bytes.resize(bytes.len() + VALUE_BYTES, b'x');
    bytes.extend(b"\r\n");
    bytes
}

#[test]
fn while_room_is_short_a_connection_brings_a_buffer_at_a_time() {
    const MUCH: usize = 10 * RECEIVE_BUFFER_BYTES;
    let mut bench = Bench::new(&[("maxmemory", "1gb")]);
    bench.turn();
    let bring = |bench: &mut Bench, bytes: &[u8]| {
        let (_, mut client) = bench.connect();
        client.write_all(&bytes[..MUCH]).expect("a socket's buffer has room");
        bench.only_reap();
        bench.lane.arrivals.len()
    };
    let bytes = set_command(1);
    assert!(bring(&mut bench, &bytes) > 1, "there is room for all of it");
    while !bench.lane.arrivals.is_empty() {
        bench.turn();
    }
    // What has come is more than half of what may.
    bench.lane.core.intake.set_limit(MUCH);
    assert_eq!(bring(&mut bench, &bytes), 1);
}

#[test]
fn where_all_could_bring_too_much_at_once_only_who_brings_little_is_read_as_it_comes() {
    const MUCH: usize = 10 * RECEIVE_BUFFER_BYTES;
    let mut bench = Bench::new(&[("maxmemory", "1gb")]);
    // What two connections can bring at once: no room for that of a third.
    let budget = 4 * 2 * 32 * RECEIVE_BUFFER_BYTES;
    bench.lane.core.shared.lines[0].budget.store(budget, Ordering::Relaxed);
    bench.turn();
    let bytes = set_command(1);
    let of = |bench: &Bench, id| {
        bench.lane.arrivals.iter().filter(|arrival| arrival.connection == id).count()
    };
    let brings = |bench: &mut Bench, (id, client): &mut (ConnectionId, UnixStream)| {
        client.write_all(&bytes[..MUCH]).expect("a socket's buffer has room");
        bench.only_reap();
        let at_once = of(bench, *id);
        while !bench.lane.arrivals.is_empty() {
            bench.turn();
        }
        at_once
    };
    let mut first = bench.connect();
    assert!(brings(&mut bench, &mut first) > 1, "there is room for all of it");
    let mut calm = bench.connect();
    let mut new = [bench.connect(), bench.connect()];
    for _ in 0..20 {
        calm.1.write_all(b"PING\r\n").expect("a socket");
        bench.read(&mut calm.1, b"+PONG\r\n");
    }
    assert_eq!(brings(&mut bench, &mut new[1]), 1, "nobody knows it yet");
    assert!(brings(&mut bench, &mut calm) > 1, "it has brought little so far");
    let (mut rest, mut most) = (&bytes[MUCH..], 0);
    while !rest.is_empty() {
        match calm.1.write(rest) {
            Ok(count) => rest = &rest[count..],
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        bench.only_reap();
        most = most.max(of(&bench, calm.0));
        bench.turn();
    }
    assert_eq!(most, 1, "it has brought much since");
    bench.read(&mut calm.1, b"+OK\r\n");
}

/// Has the lane seem to have taken so many bytes since the last look.
fn has_taken(bench: &Bench, bytes: usize) {
    let taken = ringlane_store::thread_taken();
    bench.lane.core.shared.lines[0]
        .taken_at_look
        .store(taken.wrapping_sub(bytes), Ordering::Relaxed);
}

#[test]
fn large_input_waits_for_a_look_once_the_credit_is_used_up() {
    const CREDIT: usize = 1000;
    let mut bench = Bench::new(&[("maxmemory", "1gb")]);
    let (_, mut small) = bench.connect();
    let mut large: Vec<UnixStream> =
        (0..usize::from(RECEIVE_BUFFERS)).map(|_| bench.connect().1).collect();
    bench.turn();
    bench.lane.core.shared.credit.store(CREDIT, Ordering::Relaxed);
    has_taken(&bench, CREDIT - 1);
    bench.turn();
    assert!(!bench.lane.core.gate.is_closed());
    has_taken(&bench, CREDIT);
    bench.turn();
    assert!(bench.lane.core.gate.is_closed());
    // Beginnings of large values stay where they are, and others are served.
    for (number, client) in large[..9].iter_mut().enumerate() {
        client.write_all(&set_command(number)[..PIECE_BYTES]).expect("a socket");
    }
    for _ in 0..100 {
        bench.turn();
    }
    small.write_all(b"PING\r\n").expect("a socket");
    bench.read(&mut small, b"+PONG\r\n");
    assert_eq!(bench.lane.core.intake.bytes(), 0);
    // Even if they take all buffers: then the lane sleeps until it is told of the look.
    for client in &mut large[9..] {
        client.write_all(&set_command(0)[..PIECE_BYTES]).expect("a socket");
    }
    for _ in 0..100 {
        bench.turn();
    }
    assert!(bench.lane.core.stats.receive_buffers_exhausted > 0);
    assert_eq!(bench.lane.core.intake.bytes(), 0);
    while bench.lane.upkeep_due() {
        bench.lane.upkeep();
    }
    assert!(bench.lane.prepare_to_wait(), "it has nothing to do before the look");
    bench.lane.core.shared.lines[0].doze.awake();
    has_taken(&bench, 0);
    crate::gate::tell_looked(&bench.lane.core.shared);
    let rung = rustix::io::read(&bench.lane.doorbell, &mut [0; 8]);
    assert_eq!(rung, Ok(8), "nobody would wake it");
    for client in &mut large {
        let mut rest = &set_command(0)[PIECE_BYTES..];
        while !rest.is_empty() {
            match client.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            bench.turn();
        }
        bench.read(client, b"+OK\r\n");
    }
    assert!(!bench.lane.core.gate.is_closed());
    assert_eq!(bench.lane.core.stats.looks_awaited, 1);
}

/// Writes as much of these bytes as the socket takes.
fn fill(client: &mut UnixStream, bytes: &mut Vec<u8>) {
    while !bytes.is_empty() {
        match client.write(bytes) {
            Ok(count) => drop(bytes.drain(..count)),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                break;
            }
        }
    }
}

#[test]
fn who_sends_little_is_served_while_others_send_more_than_there_are_buffers() {
    /// More than the lane's buffers hold is in the sockets of so many.
    const SENDERS: usize = 32;
    /// One to be told that there is no buffer, one to receive, one to be answered, and one more.
    const TURNS_A_PING: usize = 4;
    const TURNS: usize = 200;
    let mut bench = Bench::new(&[]);
    // A turn takes what has come, however long that takes here.
    bench.lane.budget_us = u64::MAX;
    let mut senders: Vec<(UnixStream, Vec<u8>)> =
        (0..SENDERS).map(|_| (bench.connect().1, Vec::new())).collect();
    let (_, mut client) = bench.connect();
    let (mut waited, mut longest, mut answered) = (None, 0, 0);
    for turn in 0..TURNS {
        for (number, (sender, bytes)) in senders.iter_mut().enumerate() {
            if bytes.is_empty() {
                *bytes = set_command(number);
            }
            fill(sender, bytes);
        }
        // Once they are known to bring what is long.
        if turn > 10 && waited.is_none() {
            client.write_all(b"PING\r\n").expect("a socket");
            waited = Some(turn);
        }
        bench.turn();
        let mut bytes = [0; 64];
        if let (Ok(7), Some(since)) = (client.read(&mut bytes), waited) {
            longest = longest.max(turn - since);
            answered += 1;
            waited = None;
        }
    }
    assert!(bench.lane.core.stats.receive_buffers_exhausted > 0, "there were buffers for all");
    assert!(
        answered >= TURNS / 2 / TURNS_A_PING && longest <= TURNS_A_PING,
        "{answered} answered within {longest} turns"
    );
}

#[test]
fn values_that_arrive_at_once_take_their_share_and_all_come_in() {
    const BUDGET: usize = 24 << 20;
    // A quarter of it may arrive. What has, lies in buffers that double, so up to twice as much; and
    // one value is let in whole. All of them would take `CLIENTS * VALUE_BYTES`.
    const MOST: usize = BUDGET / 2 + 2 * VALUE_BYTES;
    let mut bench = Bench::new(&[("maxmemory", "1gb")]);
    bench.lane.core.shared.lines[0].budget.store(BUDGET, Ordering::Relaxed);
    let mut clients: Vec<(UnixStream, Vec<u8>)> =
        (0..CLIENTS).map(|number| (bench.connect().1, set_command(number))).collect();
    let (mut most, mut held_back) = (0, 0);
    for _ in 0..TURNS_MAX {
        for (client, bytes) in &mut clients {
            match client.write(&bytes[..PIECE_BYTES.min(bytes.len())]) {
                Ok(count) => drop(bytes.drain(..count)),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
        // Nobody gets ahead by what the lane had no time for.
        loop {
            bench.turn();
            most = most.max(bench.lane.core.intake.bytes());
            if bench.lane.arrivals.is_empty() {
                break;
            }
        }
        held_back += usize::from(bench.lane.core.intake.has_waiting());
        if clients.iter().all(|(_, bytes)| bytes.is_empty()) {
            break;
        }
    }
    assert!(held_back > 0, "there was room for all");
    assert!(most <= MOST, "{most} bytes of {BUDGET}");
    for (client, bytes) in &mut clients {
        assert!(bytes.is_empty(), "it was never read to its end");
        bench.read(client, b"+OK\r\n");
    }
    assert_eq!(bench.lane.core.intake.bytes(), 0);
}

#[test]
fn a_batch_that_has_taken_its_time_leaves_the_rest_of_a_pipeline_for_later() {
    let mut bench = Bench::new(&[]);
    // Every command takes longer than a batch may.
    bench.lane.core.batch_ticks = 0;
    let (_, mut client) = bench.connect();
    let large = "x".repeat(20_000);
    // A value that does not come in one piece, with a command behind it, and half of another.
    let last = format!("*3\r\n$3\r\nSET\r\n$3\r\nbar\r\n$20000\r\n{large}\r\nSTRLEN bar\r\nPI");
    let pipeline = "INCR {bar}n\r\nMULTI\r\nPING\r\nEXEC\r\n\r\n".repeat(20) + &last;
    let answers = |number| format!(":{number}\r\n+OK\r\n+QUEUED\r\n*1\r\n+PONG\r\n");
    let expected = (1..=20).map(answers).collect::<String>() + "+OK\r\n:20000\r\n";
    client.write_all(pipeline.as_bytes()).expect("a socket");
    bench.read(&mut client, expected.as_bytes());
    assert!(bench.lane.core.stats.batches_cut >= 60, "{}", bench.lane.core.stats.batches_cut);
    client.write_all(b"NG\r\n").expect("a socket");
    bench.read(&mut client, b"+PONG\r\n");
}

#[test]
fn a_long_pipeline_comes_to_its_end_though_others_never_stop_sending() {
    const ROUNDS_MAX: usize = 100;
    let mut bench = Bench::new(&[]);
    bench.lane.budget_us = 0; // A turn has time for one batch.
    let ping = "PING\r\n";
    let (_, mut long) = bench.connect();
    long.write_all(ping.repeat(BATCH_COMMANDS_MAX * 4).as_bytes()).expect("a socket");
    let mut others = [(); 3].map(|()| bench.connect().1);
    let (mut answered, mut bytes) = (0, vec![0; 1 << 16]);
    for _ in 0..ROUNDS_MAX {
        for other in &mut others {
            // As many commands as a batch takes; what it has been told is of no matter.
            other.write_all(ping.repeat(BATCH_COMMANDS_MAX).as_bytes()).expect("a socket");
            while other.read(&mut bytes).is_ok() {}
        }
        bench.turn();
        answered += long.read(&mut bytes).unwrap_or(0);
    }
    assert_eq!(answered, "+PONG\r\n".len() * BATCH_COMMANDS_MAX * 4);
}

#[test]
fn a_lane_does_not_sleep_on_the_rest_of_a_long_reply() {
    const LONG: usize = 3 * SEND_BYTES_MAX;
    let mut bench = Bench::new(&[]);
    let (id, mut client) = bench.connect();
    let set = format!("*4\r\n$4\r\nHSET\r\n$4\r\n{{2}}k\r\n$1\r\nf\r\n${LONG}\r\n");
    let bytes = [set.as_bytes(), &vec![b'x'; LONG], b"\r\n"].concat();
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        match client.write(rest) {
            Ok(count) => rest = &rest[count..],
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        bench.turn();
    }
    bench.read(&mut client, b":1\r\n");
    for (command, sleeps) in [("PING\r\n", true), ("HGET {2}k f\r\n", false)] {
        for _ in 0..100 {
            bench.turn();
        }
        client.write_all(command.as_bytes()).expect("a socket");
        // Until its reply is on its way.
        for _ in 0..TURNS_MAX {
            bench.turn();
            let connection = bench.lane.core.connections.get(id).expect("it is open");
            if connection.flight.leg == Leg::Tried {
                break;
            }
        }
        let connection = bench.lane.core.connections.get(id).expect("it is open");
        assert_eq!(connection.flight.leg, Leg::Tried, "{command}");
        while bench.lane.upkeep_due() {
            bench.lane.upkeep();
        }
        assert_eq!(bench.lane.prepare_to_wait(), sleeps, "{command}");
        bench.lane.core.shared.lines[0].doze.awake();
    }
}

#[test]
fn a_lane_does_not_sleep_with_input_behind_a_send_that_was_tried() {
    let mut bench = Bench::new(&[("maxmemory", "1gb")]);
    // Buffers are short: requests wait until the reply before them has left.
    bench.lane.core.shared.lines[0].budget.store(1, Ordering::Relaxed);
    let (id, mut client) = bench.connect();
    let long = "x".repeat(2 * OUTPUT_PAUSE_BYTES_THRIFTY);
    for (pipeline, sleeps) in [("", true), ("PING\r\n", false)] {
        for _ in 0..100 {
            bench.turn();
        }
        client.write_all(format!("ECHO {long}\r\n{pipeline}").as_bytes()).expect("a socket");
        let leg =
            |bench: &mut Bench| bench.lane.core.connections.get(id).expect("it is open").flight.leg;
        for _ in 0..TURNS_MAX {
            bench.turn();
            if leg(&mut bench) == Leg::Tried {
                break;
            }
        }
        assert_eq!(leg(&mut bench), Leg::Tried, "{pipeline}");
        while bench.lane.upkeep_due() {
            bench.lane.upkeep();
        }
        assert_eq!(bench.lane.prepare_to_wait(), sleeps, "{pipeline}");
        bench.lane.core.shared.lines[0].doze.awake();
        let replies = format!("${}\r\n{long}\r\n", long.len());
        bench.read(&mut client, (replies + &pipeline.replace("PING", "+PONG")).as_bytes());
    }
}

#[test]
fn replies_that_nobody_reads_take_their_share_and_all_come_in() {
    const BUDGET: usize = 24 << 20;
    const VALUE: usize = 100_000;
    const GETS: usize = 60;
    // A quarter of it, what one batch brings before anybody looks, and what each connection may have
    // at hand then: a value, and the little that lets its requests wait. Without a bound each would
    // hold a megabyte.
    const MOST: usize =
        BUDGET / 4 + BATCH_COMMANDS_MAX * VALUE + CLIENTS * (VALUE + OUTPUT_PAUSE_BYTES_THRIFTY);
    let mut bench = Bench::new(&[("maxmemory", "1gb")]);
    bench.lane.core.shared.lines[0].budget.store(BUDGET, Ordering::Relaxed);
    let (_, mut writer) = bench.connect();
    let set = format!("SET {{2}}k {}\r\n", "x".repeat(50_000));
    writer.write_all(set.as_bytes()).expect("a socket");
    bench.read(&mut writer, b"+OK\r\n");
    writer.write_all(set.replace("SET", "APPEND").as_bytes()).expect("a socket");
    bench.read(&mut writer, b":100000\r\n");
    let mut clients: Vec<UnixStream> = (0..CLIENTS).map(|_| bench.connect().1).collect();
    for client in &mut clients {
        client.write_all("GET {2}k\r\n".repeat(GETS).as_bytes()).expect("a socket");
    }
    for _ in 0..1000 {
        bench.turn();
        let waiting = bench.lane.core.client_memory.sum().total();
        assert!(waiting <= MOST, "{waiting} bytes of {BUDGET}");
    }
    assert!(bench.lane.core.client_memory.is_frugal(), "there was room for all");
    let reply = "$100000\r\n".len() + VALUE + 2;
    for client in &mut clients {
        let (mut seen, mut bytes) = (0, vec![0; 1 << 20]);
        for _ in 0..TURNS_MAX {
            seen += client.read(&mut bytes).unwrap_or(0);
            if seen == GETS * reply {
                break;
            }
            bench.turn();
        }
        assert_eq!(seen, GETS * reply);
    }
    for _ in 0..100 {
        bench.turn();
    }
    assert_eq!(bench.lane.core.client_memory.sum().lent, 0);
}

#[test]
fn beyond_maxmemory_clients_those_that_take_most_are_closed_but_for_the_spared() {
    let mut bench = Bench::new(&[]);
    // Beginnings of values that stay.
    let mut ids = Vec::new();
    let mut clients = Vec::new();
    for bytes in [300_000, 1_500_000, 900_000, 1_800_000] {
        let (id, mut client) = bench.connect();
        let value = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2000000\r\n{}", "x".repeat(bytes));
        let mut rest = value.as_bytes();
        while !rest.is_empty() {
            match client.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            bench.turn();
        }
        ids.push(id);
        clients.push(client);
        if bytes == 1_800_000 {
            bench.lane.core.connections.get(id).expect("it is open").session.no_evict = true;
        }
    }
    for _ in 0..100 {
        bench.turn();
    }
    // The bound is looked at with each tick, whenever that comes: there is one when all have come.
    let bound = bench.lane.core.settings.set(&[("maxmemory-clients", "3mb")]);
    assert!(bound.is_ok());
    bench.lane.core.refresh_settings();
    bench.lane.core.heed_budget();
    bench.lane.core.keep_clients_within_bound();
    let is_open = |bench: &mut Bench, id| bench.lane.core.is_open(id);
    let open: Vec<bool> = ids.iter().map(|id| is_open(&mut bench, *id)).collect();
    assert_eq!(open, [true, false, false, true]);
    assert_eq!(bench.lane.core.stats.clients_evicted, 2);
}

/// That of a client that has asked for nothing special.
fn manner(bench: &Bench) -> Manner {
    Manner {
        database: ringlane_base::Database::default(),
        version: ringlane_resp::Version::Resp2,
        no_touch: false,
        mark: None,
        limits: bench.lane.core.handler_limits,
    }
}

/// A request of the other lane for a key of this one; its answer says which it was.
fn push_request(bench: &Bench, parcel: &mut Parcel, words: &[&str], part: u32) {
    let spec = ringlane_command::table::lookup(words[0].as_bytes()).expect("a row");
    let return_to = ReturnTo::Part { gather: 0, part };
    let manner = manner(bench);
    let args: Vec<&[u8]> = words[1..].iter().map(|word| word.as_bytes()).collect();
    parcel.push(Request::new(return_to, spec, None, manner), &args, &[]);
}

#[test]
fn a_parcel_that_has_taken_its_time_is_finished_before_further_mail_of_its_lane() {
    const REQUESTS: u32 = 9;
    let mut bench = Bench::new(&[]);
    // Every request takes longer than a batch may.
    bench.lane.core.batch_ticks = 0;
    let (_, mut client) = bench.connect();
    let (mut first, mut second) = (Box::<Parcel>::default(), Box::<Parcel>::default());
    for part in 0..REQUESTS {
        push_request(&bench, &mut first, &["APPEND", "{2}k", "x"], part);
    }
    push_request(&bench, &mut second, &["GET", "{2}k"], 0);
    bench.post(Mail::Requests(first));
    bench.post(Mail::Requests(second));
    bench.turn();
    assert_eq!(bench.lane.core.cut_parcels.len(), 1);
    // Others are served meanwhile.
    client.write_all(b"PING\r\n").expect("a socket");
    let answers = bench.parcel_for_other();
    let lengths: Vec<String> = (1..=REQUESTS).map(|length| format!(":{length}\r\n")).collect();
    let expected = lengths.concat();
    assert_eq!(
        answers.replies.bytes.escape_ascii().to_string(),
        expected.as_bytes().escape_ascii().to_string()
    );
    let parts: Vec<ReturnTo> = answers.answers.iter().map(|(part, _)| *part).collect();
    let all = (0..REQUESTS).map(|part| ReturnTo::Part { gather: 0, part });
    assert_eq!(parts, all.collect::<Vec<_>>());
    assert_eq!(bench.parcel_for_other().replies.bytes, b"$9\r\nxxxxxxxxx\r\n");
    assert_eq!(bench.lane.core.stats.parcels_cut, u64::from(REQUESTS) - 1);
    assert!(bench.lane.core.cut_parcels.is_empty());
    bench.read(&mut client, b"+PONG\r\n");
}

/// A client has asked for a key of this lane and for one of the other, and this lane keeps the first
/// answer back. The parcel that the other lane has been sent.
fn withhold(bench: &mut Bench, client: &mut UnixStream) -> Box<Parcel> {
    client.write_all(b"STRLEN bar\r\nSTRLEN foo\r\n").expect("a socket");
    let parcel = bench.parcel_for_other();
    assert_eq!(parcel.requests.len(), 1);
    parcel
}

/// What a client is told within a turn, though no tick has come that sends what was kept back; None
/// if one has.
fn told_in_one_turn(bench: &mut Bench, client: &mut UnixStream) -> Option<String> {
    if bench.lane.withheld.is_empty() {
        return None;
    }
    bench.turn(); // Takes the letter.
    let mut bytes = [0; 64];
    bench.lane.ring.enter(false).expect("the ring works"); // Submits the send.
    let told = client
        .read(&mut bytes)
        .map_or(String::new(), |length| String::from_utf8_lossy(&bytes[..length]).into_owned());
    (!bench.lane.withheld.is_empty()).then_some(told)
}

#[test]
fn the_answer_that_was_waited_for_brings_what_was_kept_back_at_once() {
    let mut bench = Bench::new(&[]);
    for _ in 0..TURNS_MAX {
        let (_, mut client) = bench.connect();
        let mut parcel = withhold(&mut bench, &mut client);
        let from = parcel.replies.mark();
        parcel.replies.bytes.extend_from_slice(b":7\r\n");
        let stretch = Stretch { from, to: parcel.replies.mark() };
        let return_to = parcel.requests[0].return_to;
        parcel.answers.push((return_to, stretch));
        bench.post(Mail::Answers(parcel));
        if let Some(told) = told_in_one_turn(&mut bench, &mut client) {
            assert_eq!(told, ":0\r\n:7\r\n");
            return;
        }
    }
    panic!("ticks never rest");
}

#[test]
fn what_was_kept_back_is_sent_when_an_answer_will_take_its_time() {
    let mut bench = Bench::new(&[]);
    for _ in 0..TURNS_MAX {
        let (id, mut client) = bench.connect();
        let parcel = withhold(&mut bench, &mut client);
        bench.post(Mail::Late(parcel.requests[0].return_to));
        if let Some(told) = told_in_one_turn(&mut bench, &mut client) {
            assert_eq!(told, ":0\r\n");
            let connection = bench.lane.core.connections.get(id).expect("it is open");
            assert!(connection.late && connection.places_waiting() == 1);
            return;
        }
    }
    panic!("ticks never rest");
}

#[test]
fn who_asked_hears_that_a_request_is_parked() {
    let mut bench = Bench::new(&[]);
    bench.lane.core.locks.take(ringlane_base::Slot::of(b"{2}k"));
    let mut parcel = Box::<Parcel>::default();
    push_request(&bench, &mut parcel, &["GET", "{2}k"], 3);
    bench.post(Mail::Requests(parcel));
    for _ in 0..TURNS_MAX {
        if let Some(letter) = bench.other.receiver.pop() {
            let Mail::Late(late) = letter.mail else { panic!("it is parked") };
            return assert_eq!(late, ReturnTo::Part { gather: 0, part: 3 });
        }
        bench.turn();
    }
    panic!("nothing was sent");
}

/// Each is begun by the end of the one before it; had it run within that end, the stack would be gone.
#[test]
fn very_many_who_wait_for_each_other_take_their_turns() {
    const MANY: usize = 5000;
    let mut bench = Bench::new(&[]);
    let (id, _client) = bench.connect();
    let manner = manner(&bench);
    let core = &mut bench.lane.core;
    let slot = ringlane_base::Slot::of(b"{2}k");
    core.locks.take(slot);
    let spec = ringlane_command::table::lookup(b"flushall").expect("a row");
    let words: [&[u8]; 1] = [b"flushall"];
    for _ in 0..MANY {
        let (target, args) = (Target::Several, Args::new(&words, &[]));
        let call = Call { connection: id, spec, target, routed: None, args };
        core.begin_together(&call, manner, true);
    }
    assert_eq!(core.locks.waiting(), MANY);
    core.take_release(Release { slots: vec![slot], ..Release::default() });
    assert!(!core.locks.any() && core.locks.waiting() == 0);
    let connection = core.connections.get(id).expect("it is open");
    assert_eq!(connection.places_waiting(), 0);
    assert_eq!(connection.output_len(), MANY * "+OK\r\n".len());
}
