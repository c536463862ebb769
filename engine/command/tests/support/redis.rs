//! A real redis-server to compare with.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ringlane_base::Millis;

/// A redis-server of its own, stopped when dropped.
pub struct Server {
    process: Child,
    stream: BufReader<TcpStream>,
}

impl Drop for Server {
    fn drop(&mut self) {
        // A server that is gone already is as good as one that was stopped.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    /// Starts it on a free port; None if there is no such program.
    pub fn start() -> Option<Self> {
        let found = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status();
        if found.is_err() {
            println!("skipped: redis-server is not installed");
            return None;
        }
        // The port is free when the listener is dropped; another process may take it before the
        // server does, so several are tried.
        for _ in 0..20 {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
            let port = listener.local_addr().expect("it is bound").port();
            drop(listener);
            let mut process = Command::new("redis-server")
                .args(["--port", &port.to_string(), "--save", "", "--appendonly", "no"])
                .stdout(Stdio::null())
                .spawn()
                .expect("redis-server starts");
            for _ in 0..200 {
                if let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) {
                    stream.set_nodelay(true).expect("a socket option");
                    return Some(Self { process, stream: BufReader::new(stream) });
                }
                if process.try_wait().expect("our own child").is_some() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(25));
            }
            let _ = process.kill();
            let _ = process.wait();
        }
        panic!("redis-server did not come up on any of 20 ports");
    }

    /// The bytes that it answers.
    pub fn run(&mut self, args: &[&[u8]]) -> Vec<u8> {
        let mut request = format!("*{}\r\n", args.len()).into_bytes();
        for argument in args {
            request.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
            request.extend_from_slice(argument);
            request.extend_from_slice(b"\r\n");
        }
        self.stream.get_mut().write_all(&request).expect("the server reads");
        let mut answer = Vec::new();
        self.read_one(&mut answer);
        answer
    }

    fn read_one(&mut self, answer: &mut Vec<u8>) {
        let start = answer.len();
        self.stream.read_until(b'\n', answer).expect("the server answers");
        let line = String::from_utf8_lossy(&answer[start..]).into_owned();
        let count = || line[1..].trim_end().parse::<i64>().expect("a length");
        match line.as_bytes()[0] {
            b'$' if count() >= 0 => {
                let from = answer.len();
                answer.resize(from + count() as usize + 2, 0);
                self.stream.read_exact(&mut answer[from..]).expect("the whole string");
            }
            b'*' => (0..count().max(0)).for_each(|_| self.read_one(answer)),
            _ => {}
        }
    }
}

/// The time, as the server has it too.
pub fn wall_clock() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    Millis(since.as_millis() as u64)
}

/// The seeds of random runs: some, or the one of `RINGLANE_SEED`.
pub fn seeds() -> Vec<u64> {
    match std::env::var("RINGLANE_SEED") {
        Ok(seed) => vec![seed.parse().expect("RINGLANE_SEED is a number")],
        Err(_) => (1..=8).collect(),
    }
}
