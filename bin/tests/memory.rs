//! `maxmemory` is what the process takes: the real program with its allocator, under loads that
//! fragment memory, held against what the system says of it.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};

use support::Program;

/// Large against what the process takes before it holds a key.
const LIMIT: usize = 256 << 20;
/// What a load writes, as a multiple of the limit, before the process is looked at, and while it is.
const WARM_UP: usize = 2;
const MEASURED: usize = 2;
/// How far the process may pass the limit, however late the thread comes that looks after the memory:
/// lanes wait for it.
const SLACK: usize = LIMIT / 20;
/// The same where nothing may go for what has begun to arrive (docs/decisions/memory-limit.md).
const SLACK_WITHOUT_EVICTION: usize = LIMIT / 8;

/// Commands of one client, written one after another.
trait Load: FnMut(&mut fastrand::Rng, &mut Vec<u8>) + Send {}
impl<T: FnMut(&mut fastrand::Rng, &mut Vec<u8>) + Send> Load for T {}

fn command(out: &mut Vec<u8>, args: &[&[u8]]) {
    out.extend(ringlane_testing::encode(args));
}

/// Writes what `load` makes to `streams` in turn, a piece each, while a thread takes the replies,
/// until so many bytes are written.
fn write(streams: &mut [TcpStream], bytes: usize, seed: u64, mut load: impl Load) {
    /// A stream gets its commands in pieces of this size, so that many stand half finished.
    const PIECE: usize = 100_000;
    let mut random = fastrand::Rng::with_seed(seed);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for stream in &*streams {
            let mut reader = stream.try_clone().expect("a socket");
            let done = &done;
            scope.spawn(move || {
                reader.set_read_timeout(Some(support::PAUSE)).expect("a TCP socket");
                let mut replies = vec![0; 1 << 16];
                while !done.load(Ordering::Relaxed) {
                    if let Ok(count) = reader.read(&mut replies) {
                        assert!(count > 0, "the server closed");
                        let text = String::from_utf8_lossy(&replies[..count]);
                        assert!(!text.contains("-OOM") && !text.contains("-ERR"), "{text}");
                    }
                }
            });
        }
        let mut waiting = vec![Vec::new(); streams.len()];
        let mut written = 0;
        while written < bytes {
            for (stream, waiting) in streams.iter_mut().zip(&mut waiting) {
                while waiting.len() < PIECE {
                    load(&mut random, waiting);
                }
                stream.write_all(&waiting[..PIECE]).expect("the server reads");
                waiting.drain(..PIECE);
                written += PIECE;
            }
        }
        for (stream, waiting) in streams.iter_mut().zip(&waiting) {
            stream.write_all(waiting).expect("the server reads");
        }
        done.store(true, Ordering::Relaxed);
    });
}

/// The most that the process takes while it evicts under a load, after it has warmed up.
fn most_resident(clients: usize, load: impl Load + Clone) -> usize {
    let limit = LIMIT.to_string();
    let program = Program::start(&["--lanes", "2", "--maxmemory", &limit]);
    let mut streams: Vec<TcpStream> = (0..clients).map(|_| program.client()).collect();
    write(&mut streams, LIMIT * WARM_UP, 1, load.clone());
    let done = AtomicBool::new(false);
    let most = std::thread::scope(|scope| {
        let looking = scope.spawn(|| {
            let mut most = 0;
            while !done.load(Ordering::Relaxed) {
                most = most.max(program.resident_bytes());
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            most
        });
        write(&mut streams, LIMIT * MEASURED, 2, load);
        done.store(true, Ordering::Relaxed);
        looking.join().expect("it only looks")
    });
    let mut watcher = program.client();
    assert!(support::info(&mut watcher, "evicted_keys") > 0, "the load is too small");
    most
}

#[test]
fn the_account_of_memory_tells_the_bare_server_from_its_keys() {
    const VALUES: usize = 2000;
    const BYTES: usize = 1000;
    let program = Program::start(&["--lanes", "1"]);
    let mut watcher = program.client();
    let mut account = || {
        ["startup", "overhead", "dataset"]
            .map(|name| support::info(&mut watcher, &format!("used_memory_{name}")) as usize)
    };
    let [startup, overhead, dataset] = account();
    assert!(startup > 100_000, "{startup}");
    assert_eq!(dataset, 0);
    assert!((startup / 2..startup * 2).contains(&overhead), "{overhead} of {startup}");
    let mut commands = Vec::new();
    for number in 0..VALUES {
        command(&mut commands, &[b"SET", format!("key:{number}").as_bytes(), &[b'x'; BYTES]]);
    }
    let mut client = program.client();
    let mut replies = vec![0; VALUES * "+OK\r\n".len()];
    client.write_all(&commands).expect("the server reads");
    client.read_exact(&mut replies).expect("replies come in time");
    let [_, overhead, dataset] = account();
    assert!((VALUES * BYTES / 10 * 9..VALUES * BYTES * 2).contains(&dataset), "{dataset}");
    assert!(overhead < startup * 2, "{overhead} of {startup}");
}

#[test]
fn a_value_beyond_a_lanes_even_share_stays_where_the_others_leave_room() {
    let limit = LIMIT.to_string();
    let value = vec![b'x'; LIMIT / 2];
    // Of either lane, each on a server of its own.
    for key in [&b"foo"[..], b"bar"] {
        for policy in ["adaptive", "noeviction"] {
            let arguments = ["--lanes", "2", "--maxmemory", &limit, "--maxmemory-policy", policy];
            let program = Program::start(&arguments);
            let mut client = program.client();
            let mut commands = Vec::new();
            command(&mut commands, &[b"SET", key, &value]);
            command(&mut commands, &[b"EXISTS", key]);
            client.write_all(&commands).expect("the server reads");
            let mut replies = [0; b"+OK\r\n:1\r\n".len()];
            client.read_exact(&mut replies).expect("replies come in time");
            assert_eq!(&replies, b"+OK\r\n:1\r\n", "{policy}");
        }
    }
}

#[test]
fn beginnings_of_large_values_stay_within_the_limit_though_nothing_may_go() {
    const CLIENTS: usize = 500;
    /// What each has ready for the server to take at once, and what is taken of it on average.
    const READY: usize = 200_000;
    const FIRST: usize = 16 << 10;
    let limit = LIMIT.to_string();
    let arguments = ["--lanes", "2", "--maxmemory", &limit, "--maxmemory-policy", "noeviction"];
    let program = Program::start(&arguments);
    let mut watcher = program.client();
    let value = vec![b'x'; 1 << 20];
    let mut refused = 0;
    for number in 0.. {
        let mut set = Vec::new();
        command(&mut set, &[b"SET", format!("key:{number}").as_bytes(), &value]);
        watcher.write_all(&set).expect("the server reads");
        let mut reply = [0; 128];
        let length = watcher.read(&mut reply).expect("it answers");
        refused += usize::from(reply[..length].starts_with(b"-OOM"));
        // Keys of both lanes.
        if refused == 20 {
            break;
        }
    }
    let before = support::info(&mut watcher, "total_net_input_bytes") as usize;
    let mut set = Vec::new();
    command(&mut set, &[b"SET", b"key", &value]);
    let mut most = 0;
    let clients: Vec<TcpStream> = (0..CLIENTS)
        .map(|_| {
            let mut client = program.client();
            client.set_nonblocking(true).expect("a socket");
            // What the sockets do not take does not matter.
            let _ = client.write(&set[..READY]);
            most = most.max(program.resident_bytes());
            client
        })
        .collect();
    while (support::info(&mut watcher, "total_net_input_bytes") as usize) < before + CLIENTS * FIRST
    {
        most = most.max(program.resident_bytes());
    }
    most = most.max(program.resident_bytes());
    assert!(most <= LIMIT + SLACK_WITHOUT_EVICTION, "{most} bytes of {LIMIT}");
    drop(clients);
}

fn key(random: &mut fastrand::Rng, name: &str) -> Vec<u8> {
    format!("{name}:{}", random.u32(..100_000)).into_bytes()
}

#[test]
fn large_values_from_many_clients_stay_within_the_limit() {
    let bytes = vec![b'x'; 1 << 20];
    let most = most_resident(64, move |random: &mut fastrand::Rng, out: &mut Vec<u8>| {
        let len = random.usize(100_000..bytes.len());
        command(out, &[b"SET", &key(random, "large"), &bytes[..len]]);
    });
    assert!(most <= LIMIT + SLACK, "{most} bytes of {LIMIT}");
}

#[test]
fn values_of_all_sizes_that_are_overwritten_stay_within_the_limit() {
    let bytes = vec![b'x'; 1 << 20];
    let most = most_resident(8, move |random: &mut fastrand::Rng, out: &mut Vec<u8>| {
        let len = 16 << random.u32(..16);
        let len = random.usize(len..=len * 2);
        command(out, &[b"SET", &key(random, "any"), &bytes[..len]]);
    });
    assert!(most <= LIMIT + SLACK, "{most} bytes of {LIMIT}");
}

#[test]
fn collections_that_grow_shrink_and_go_stay_within_the_limit() {
    let most = most_resident(8, |random: &mut fastrand::Rng, out: &mut Vec<u8>| {
        // Some thousand keys of a few thousand members each: more than the limit holds.
        let number = random.u32(..2500);
        let name = format!("{}:{number}", number % 5).into_bytes();
        let members: Vec<Vec<u8>> = (0..random.usize(1..60))
            .map(|_| {
                let length = random.usize(8..200);
                format!("{:0length$}", random.u32(..20_000)).into_bytes()
            })
            .collect();
        let with = |first: &[&'static [u8]], before: Option<&'static [u8]>| {
            let mut args: Vec<Vec<u8>> = first.iter().map(|arg| arg.to_vec()).collect();
            args.insert(1, name.clone());
            for member in &members {
                args.extend(before.map(<[u8]>::to_vec));
                args.push(member.clone());
            }
            args
        };
        let takes = random.u32(..100) < 30;
        let args = match (random.u32(..400), number % 5, takes) {
            (0, _, _) => vec![b"DEL".to_vec(), name.clone()],
            (_, 0, false) => with(&[b"HSET"], Some(b"1")),
            (_, 0, true) => with(&[b"HDEL"], None),
            (_, 1, false) => with(&[b"RPUSH"], None),
            (_, 1, true) => vec![b"LPOP".to_vec(), name.clone(), b"30".to_vec()],
            (_, 2, false) => with(&[b"SADD"], None),
            (_, 2, true) => with(&[b"SREM"], None),
            (_, 3, false) => with(&[b"ZADD"], Some(b"2.5")),
            (_, 3, true) => with(&[b"ZREM"], None),
            (_, _, false) => {
                let mut args = with(&[b"XADD", b"*"], None);
                args.truncate(3 + members.len() / 2 * 2);
                if members.len() < 2 {
                    args = vec![b"XLEN".to_vec(), name.clone()];
                }
                args
            }
            (_, _, true) => ["XTRIM", "", "MAXLEN", "20"]
                .iter()
                .map(|word| if word.is_empty() { name.clone() } else { word.as_bytes().to_vec() })
                .collect(),
        };
        let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
        command(out, &args);
    });
    assert!(most <= LIMIT + SLACK, "{most} bytes of {LIMIT}");
}
