//! Connections to the real program: many, short-lived, beyond its descriptors, and while it stops.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, Signal};
use support::{LOOKS_MAX, PAUSE, Program, info, info_until, ping, take_pong};

/// Connects, is answered, and goes: properly, by a reset, or with a reply on its way.
fn come_and_go(program: &Program, count: usize) {
    for number in 0..count {
        let mut stream = program.client();
        ping(&mut stream);
        if number % 3 > 0 {
            rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO))
                .expect("a TCP socket");
        }
        if number % 3 == 2 {
            stream.write_all(b"PING\r\nGET key\r\nSET").expect("open so far");
        }
    }
}

/// What a server may hold more after thousands of connections than after hundreds.
const CHURN_BYTES_MAX: usize = 8 << 20;

#[test]
fn connections_that_come_and_go_leave_nothing_behind() {
    let program = Program::start(&["--lanes", "2"]);
    let mut watcher = program.client();
    come_and_go(&program, 500);
    assert_eq!(info_until(&mut watcher, "connected_clients", |count| count == 1), 1);
    let (bytes, files) = (program.resident_bytes(), program.open_files());
    come_and_go(&program, 3000);
    assert_eq!(info_until(&mut watcher, "connected_clients", |count| count == 1), 1);
    let grown = program.resident_bytes().saturating_sub(bytes);
    assert!(grown < CHURN_BYTES_MAX, "{grown} bytes more after 3000 connections");
    assert_eq!(program.open_files(), files);
}

/// Connections of the test that opens many, if both processes' limits allow it.
const MANY: usize = 10_000;
/// Descriptors for everything else.
const FILES_SPARED: usize = 300;

#[test]
fn thousands_of_connections_are_all_answered() {
    let limit = rustix::process::getrlimit(Resource::Nofile).maximum;
    // Refused by some sandboxes; fewer connections are opened then.
    let _ = rustix::process::setrlimit(Resource::Nofile, Rlimit { current: limit, maximum: limit });
    let files = rustix::process::getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let files = usize::try_from(files).unwrap_or(usize::MAX);
    let many = MANY.min(files - FILES_SPARED);
    let program = Program::start(&["--lanes", "2", "--maxclients", &(many + 1).to_string()]);
    let mut watcher = program.client();
    let mut clients: Vec<TcpStream> = (0..many).map(|_| program.client()).collect();
    for _ in 0..2 {
        for client in &mut clients {
            client.write_all(b"PING\r\n").expect("the server reads");
        }
        clients.iter_mut().for_each(take_pong);
    }
    assert_eq!(info(&mut watcher, "connected_clients"), many as u64 + 1);
    assert_eq!(info(&mut watcher, "rejected_connections"), 0);
    drop(clients);
    assert_eq!(info_until(&mut watcher, "connected_clients", |count| count == 1), 1);
}

#[test]
fn a_server_without_descriptors_goes_on_and_accepts_later() {
    // What two lanes with one client ask for; with fewer it would try to raise the limit.
    const FILES: usize = 129;
    const COMING: usize = 200;
    // Fewer than have room at once.
    const GOING: usize = 20;
    let program = Program::start_with_files(FILES, &["--lanes", "2", "--maxclients", "1"]);
    let mut watcher = program.client();
    watcher.write_all(b"CONFIG SET maxclients 10000\r\n").expect("the server reads");
    let mut reply = [0; 5];
    watcher.read_exact(&mut reply).expect("a reply comes in time");
    assert_eq!(&reply, b"+OK\r\n");

    // The system completes the handshakes; the server cannot take all of them.
    let mut clients: Vec<TcpStream> = (0..COMING).map(|_| program.client()).collect();
    for client in &mut clients {
        client.write_all(b"PING\r\n").expect("the system keeps it");
    }
    assert!(info_until(&mut watcher, "accept_errors", |count| count > 0) > 0);
    let inside = info(&mut watcher, "connected_clients");
    assert!(inside > GOING as u64 && inside < FILES as u64, "{inside} connections");

    // Those who wait get in as others go.
    while !clients.is_empty() {
        let rest = clients.split_off(GOING.min(clients.len()));
        clients.iter_mut().for_each(take_pong);
        clients = rest;
    }
    ping(&mut program.client());
    assert_eq!(info_until(&mut watcher, "connected_clients", |count| count == 1), 1);
}

#[test]
fn replies_already_owed_arrive_before_the_process_ends() {
    const VALUE_BYTES: usize = 200_000;
    const VALUES: usize = 20;
    let mut program = Program::start(&["--lanes", "2"]);
    let mut client = program.client();
    let value = "v".repeat(VALUE_BYTES);
    client
        .write_all(
            format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${VALUE_BYTES}\r\n{value}\r\n").as_bytes(),
        )
        .expect("the server reads");
    let mut reply = [0; 5];
    client.read_exact(&mut reply).expect("a reply comes in time");
    assert_eq!(&reply, b"+OK\r\n");

    client.write_all(format!("MGET{}\r\n", " k".repeat(VALUES)).as_bytes()).expect("open");
    // Its first byte shows that the command has run: from here on all of it is owed.
    let mut first = [0; 1];
    client.read_exact(&mut first).expect("a reply comes in time");
    rustix::process::kill_process(program.process(), Signal::TERM).expect("it runs");
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).expect("the server closes without a reset");
    let owed = format!("{VALUES}\r\n{}", format!("${VALUE_BYTES}\r\n{value}\r\n").repeat(VALUES));
    assert_eq!(rest.len(), owed.len());
    assert!(rest == owed.as_bytes(), "the bytes of the reply");
    let status = program.child.wait().expect("it ends");
    assert_eq!(status.code(), Some(0));
    assert!(TcpStream::connect(("127.0.0.1", program.port)).is_err(), "nobody listens any more");
}

/// Ticks of CPU time that the process has taken.
fn cpu_ticks(program: &Program) -> u64 {
    let path = format!("/proc/{}/stat", program.child.id());
    let text = std::fs::read_to_string(path).expect("it runs");
    let (_, fields) = text.rsplit_once(") ").expect("proc_pid_stat(5)");
    // User time is the 14th field of all, the third being the first here.
    fields.split(' ').nth(11).and_then(|ticks| ticks.parse().ok()).expect("a number")
}

/// A server whose lane is in a script that ends only when its limit of an hour is reached.
fn busy_program() -> (Program, TcpStream) {
    const TICKS: u64 = 5;
    let program = Program::start(&["--lanes", "1", "--script-time-limit", "3600000"]);
    let mut client = program.client();
    ping(&mut client);
    let idle = cpu_ticks(&program);
    client
        .write_all(b"*3\r\n$4\r\nEVAL\r\n$17\r\nwhile true do end\r\n$1\r\n0\r\n")
        .expect("the server reads");
    while cpu_ticks(&program) < idle + TICKS {
        std::thread::sleep(PAUSE);
    }
    (program, client)
}

#[test]
fn a_busy_lane_does_not_keep_the_process_from_ending() {
    // The drain is given up after less than a second; that this comes to an end at all shows it.
    let (mut program, _client) = busy_program();
    rustix::process::kill_process(program.process(), Signal::TERM).expect("it runs");
    let status = program.child.wait().expect("it ends");
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_second_signal_ends_the_process_at_once() {
    let (mut program, _client) = busy_program();
    rustix::process::kill_process(program.process(), Signal::TERM).expect("it runs");
    // The two must not become one: the first has been taken when nobody owes it any more.
    let pending = || {
        let path = format!("/proc/{}/status", program.child.id());
        let text = std::fs::read_to_string(path).expect("it runs");
        let line = text.lines().find(|line| line.starts_with("ShdPnd:")).expect("a field");
        !line.trim_end().ends_with("0000000000000000")
    };
    while pending() {
        std::thread::yield_now();
    }
    rustix::process::kill_process(program.process(), Signal::TERM).expect("it runs");
    let status = program.child.wait().expect("it ends");
    assert_eq!(status.code(), Some(1), "a drain that is given up ends with 0");
}

/// What a server may hold more after clients that never read were closed.
const DEAF_BYTES_MAX: usize = 16 << 20;

#[test]
fn clients_closed_at_their_output_limit_give_their_memory_back() {
    const VALUE_BYTES: usize = 10_000;
    const DEAF: usize = 20;
    let limit = "normal 4mb 0 0";
    let program = Program::start(&["--lanes", "2", "--client-output-buffer-limit", limit]);
    let mut watcher = program.client();
    // Small enough to be copied into each reply rather than shared.
    let value = "v".repeat(VALUE_BYTES);
    watcher.write_all(format!("SET k {value}\r\n").as_bytes()).expect("the server reads");
    let mut reply = [0; 5];
    watcher.read_exact(&mut reply).expect("a reply comes in time");
    let bytes = program.resident_bytes();
    // Each asks for 40 MB at once and reads nothing: more than its limit and what sockets hold.
    let ask = format!("MGET{}\r\n", " k".repeat(4000));
    let clients: Vec<TcpStream> = (0..DEAF)
        .map(|_| {
            let mut client = program.client();
            client.write_all(ask.as_bytes()).expect("the server reads");
            client
        })
        .collect();
    assert_eq!(info_until(&mut watcher, "connected_clients", |count| count == 1), 1);
    assert_eq!(info(&mut watcher, "client_output_buffer_limit_disconnections"), DEAF as u64);
    ping(&mut watcher);
    let mut grown = usize::MAX;
    for _ in 0..LOOKS_MAX {
        grown = program.resident_bytes().saturating_sub(bytes);
        if grown < DEAF_BYTES_MAX {
            break;
        }
        std::thread::sleep(PAUSE);
    }
    assert!(grown < DEAF_BYTES_MAX, "{grown} bytes more after {DEAF} closed clients");
    drop(clients);
}
