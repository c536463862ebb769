//! The generator against a small server of its own, so that no test needs another program.

use std::{
    collections::HashMap,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::keyspace::ValueSizes;

/// How the server of a test misbehaves.
#[derive(Clone, Copy, PartialEq)]
enum Behaviour {
    Right,
    /// Answers every get with a value of a wrong size.
    WrongSize,
    /// Refuses every get.
    Refuses,
    /// Waits this many milliseconds once, before its hundredth answer.
    StallsOnce(u64),
    HangsUp,
}

/// Serves RESP or memcached's text on loopback until all clients have gone.
fn serve(protocol: Protocol, behaviour: Behaviour) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let stored = Arc::new(std::sync::Mutex::new(HashMap::<Vec<u8>, Vec<u8>>::new()));
        let answered = Arc::new(AtomicU64::new(0));
        for stream in listener.incoming().flatten() {
            stream.set_nodelay(true).unwrap();
            let (stored, answered) = (Arc::clone(&stored), Arc::clone(&answered));
            std::thread::spawn(move || talk(stream, protocol, behaviour, &stored, &answered));
        }
    });
    address
}

fn talk(
    mut stream: TcpStream,
    protocol: Protocol,
    behaviour: Behaviour,
    stored: &std::sync::Mutex<HashMap<Vec<u8>, Vec<u8>>>,
    answered: &AtomicU64,
) {
    let mut input = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        while let Some((words, used)) = parse(protocol, &input) {
            input.drain(..used);
            if let Behaviour::StallsOnce(ms) = behaviour
                && answered.fetch_add(1, Ordering::Relaxed) == 100
            {
                std::thread::sleep(Duration::from_millis(ms));
            }
            let reply = reply(protocol, behaviour, &words, &mut stored.lock().unwrap());
            if behaviour == Behaviour::HangsUp || stream.write_all(&reply).is_err() {
                return;
            }
        }
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return,
            Ok(count) => input.extend_from_slice(&chunk[..count]),
        }
    }
}

type Words = Vec<Vec<u8>>;

fn parse(protocol: Protocol, input: &[u8]) -> Option<(Words, usize)> {
    let line = |at: usize| {
        let end = input[at..].windows(2).position(|pair| pair == b"\r\n")? + at;
        Some((&input[at..end], end + 2))
    };
    let number = |text: &[u8]| std::str::from_utf8(text).unwrap().parse::<usize>().unwrap();
    if protocol == Protocol::Memcached {
        let (text, mut at) = line(0)?;
        let mut words: Words = text.split(|&byte| byte == b' ').map(<[u8]>::to_vec).collect();
        if words[0] == b"set" {
            let size = number(&words[4]);
            words.push(input.get(at..at + size)?.to_vec());
            at += size + 2;
        }
        return (input.len() >= at).then_some((words, at));
    }
    let (header, mut at) = line(0)?;
    let mut words = Vec::new();
    for _ in 0..number(&header[1..]) {
        let (size, start) = line(at)?;
        let size = number(&size[1..]);
        words.push(input.get(start..start + size)?.to_vec());
        at = start + size + 2;
    }
    (input.len() >= at).then_some((words, at))
}

fn reply(
    protocol: Protocol,
    behaviour: Behaviour,
    words: &Words,
    stored: &mut HashMap<Vec<u8>, Vec<u8>>,
) -> Vec<u8> {
    let text = protocol == Protocol::Memcached;
    match words[0].to_ascii_uppercase().as_slice() {
        b"HELLO" => b"%1\r\n+proto\r\n:3\r\n".to_vec(),
        b"CLUSTER" => {
            let port: u16 = std::str::from_utf8(&words[2]).unwrap().parse().unwrap();
            format!("*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$0\r\n\r\n:{port}\r\n").into_bytes()
        }
        b"SET" => {
            stored.insert(words[1].clone(), words[if text { 5 } else { 2 }].clone());
            if text { b"STORED\r\n".to_vec() } else { b"+OK\r\n".to_vec() }
        }
        b"GET" if behaviour == Behaviour::Refuses => b"-MOVED 7 127.0.0.1:1\r\n".to_vec(),
        b"GET" => match (stored.get(&words[1]), text) {
            (None, true) => b"END\r\n".to_vec(),
            (None, false) => b"$-1\r\n".to_vec(),
            (Some(value), text) => {
                let value = if behaviour == Behaviour::WrongSize { b"short" } else { &value[..] };
                let (head, tail) = if text {
                    (format!("VALUE k 0 {}\r\n", value.len()), "\r\nEND\r\n")
                } else {
                    (format!("${}\r\n", value.len()), "\r\n")
                };
                [head.as_bytes(), value, tail.as_bytes()].concat()
            }
        },
        other => panic!("{}", String::from_utf8_lossy(other)),
    }
}

fn plan(address: SocketAddr, protocol: Protocol) -> Plan {
    Plan {
        target: Target { address, protocol, cluster: false, password: None },
        shape: Shape { keys: 500, key_bytes: 16, value_bytes: ValueSizes { min: 1, max: 300 } },
        work: Work::Preload,
        pace: Pace::Closed,
        lifetimes: Lifetimes { min_ms: 50_000, max_ms: 60_000 },
        connections: 4,
        depth: 8,
        cores: Vec::new(),
        misses_allowed: false,
        seed: 1,
    }
}

fn mixed(operations: u64) -> Work {
    Work::Mixed {
        read_share: 0.8,
        popularity: Popularity::Zipf(0.9),
        limit: Limit::Operations(operations),
        warm_up_seconds: 0.0,
    }
}

#[test]
fn loads_and_verifies_in_every_protocol() {
    for protocol in [Protocol::Resp2, Protocol::Resp3, Protocol::Memcached] {
        let plan = plan(serve(protocol, Behaviour::Right), protocol);
        let loaded = run(&plan, None, None).unwrap();
        assert_eq!((loaded.operations, loaded.writes.count, loaded.faults.total()), (500, 500, 0));
        let outcome = run(&Plan { work: mixed(5000), ..plan }, None, None).unwrap();
        outcome.check().unwrap();
        assert_eq!((outcome.operations, outcome.all.count), (5000, 5000));
        assert_eq!((outcome.hits, outcome.misses), (outcome.reads.count, 0));
        let share = outcome.reads.count as f64 / 5000.0;
        assert!((0.75..0.85).contains(&share), "{share}");
        assert!(outcome.timeline.iter().map(|second| second.operations).sum::<u64>() == 5000);
    }
}

#[test]
fn what_is_wrong_fails_the_run() {
    for (behaviour, expected) in
        [(Behaviour::WrongSize, "wrong values"), (Behaviour::Refuses, "MOVED 7 127.0.0.1:1")]
    {
        let plan = plan(serve(Protocol::Resp2, behaviour), Protocol::Resp2);
        run(&plan, None, None).unwrap().check().unwrap();
        let outcome = run(&Plan { work: mixed(100), ..plan }, None, None).unwrap();
        assert!(outcome.faults.total() > 50);
        let error = outcome.check().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    // Nothing was loaded: every get misses, which only a run that says so may do.
    let empty = Plan {
        work: mixed(100),
        ..plan(serve(Protocol::Resp2, Behaviour::Right), Protocol::Resp2)
    };
    assert!(run(&empty, None, None).unwrap().faults.unexpected_misses > 0);
    let empty = Plan { misses_allowed: true, ..empty };
    let outcome = run(&empty, None, None).unwrap();
    outcome.check().unwrap();
    assert!(outcome.misses > 0);
}

#[test]
fn a_server_that_hangs_up_is_an_error() {
    let plan = plan(serve(Protocol::Resp2, Behaviour::HangsUp), Protocol::Resp2);
    let error = format!("{:#}", run(&plan, None, None).unwrap_err());
    assert!(
        error.contains("closed the connection") || error.contains("from the server"),
        "{error}"
    );
}

/// The point of an open loop: one stall of 200 ms is felt by every operation that was due in it,
/// though a closed loop would have seen it once.
#[test]
fn an_open_loop_charges_a_stall_to_all_that_it_delayed() {
    const STALL_MS: u64 = 200;
    let address = serve(Protocol::Resp2, Behaviour::StallsOnce(STALL_MS));
    let plan = Plan {
        work: mixed(1000),
        pace: Pace::Open { per_second: 2000.0, poisson: false },
        connections: 1,
        misses_allowed: true,
        ..plan(address, Protocol::Resp2)
    };
    let outcome = run(&plan, None, None).unwrap();
    assert_eq!(outcome.operations, 1000);
    // Operations due every 0.5 ms: of the 400 that fall into the stall a quarter waits longer than
    // three quarters of it. The bounds leave a busy machine room upwards only.
    assert!(outcome.all.p90_us >= STALL_MS as f64 * 1000.0 / 2.0, "{:?}", outcome.all);
    assert!(outcome.all.max_us >= STALL_MS as f64 * 1000.0 * 0.99);
}

#[test]
fn plans_that_cannot_run_are_refused() {
    let good = plan("127.0.0.1:1".parse().unwrap(), Protocol::Resp2);
    good.check().unwrap();
    for bad in [
        Plan { connections: 0, ..good.clone() },
        Plan { depth: 0, ..good.clone() },
        Plan { cores: vec![0; 5], ..good.clone() },
        Plan { pace: Pace::Open { per_second: 0.0, poisson: true }, ..good.clone() },
        Plan { work: mixed(0), ..good.clone() },
        Plan {
            target: Target { cluster: true, protocol: Protocol::Memcached, ..good.target.clone() },
            ..good.clone()
        },
    ] {
        assert!(bad.check().is_err(), "{bad:?}");
    }
}
