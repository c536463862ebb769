//! A redis-server of the test's own, to compare with.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::Client;

/// How many ports are tried: another process may take one before the server does.
const PORTS_TRIED_MAX: usize = 20;
/// How often, 25 ms apart, a server that starts is asked whether it accepts.
const KNOCKS_MAX: usize = 400;

/// A redis-server; stopped when dropped.
pub struct Redis {
    process: Child,
    pub address: SocketAddr,
}

impl Drop for Redis {
    fn drop(&mut self) {
        // A server that is gone already is as good as one that was stopped.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Redis {
    /// Starts it on a free port; None if there is no such program.
    pub fn start() -> Option<Self> {
        let found = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status();
        if found.is_err() {
            println!("skipped: redis-server is not installed");
            return None;
        }
        for _ in 0..PORTS_TRIED_MAX {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
            let address = listener.local_addr().expect("it is bound");
            drop(listener);
            let process = Command::new("redis-server")
                .args(["--port", &address.port().to_string(), "--save", "", "--appendonly", "no"])
                .stdout(Stdio::null())
                .spawn()
                .expect("redis-server starts");
            let mut redis = Self { process, address };
            if redis.accepts() {
                return Some(redis);
            }
        }
        panic!("redis-server did not come up on any of {PORTS_TRIED_MAX} ports");
    }

    /// A connection to it.
    pub fn client(&self) -> Client {
        Client::to(self.address)
    }

    fn accepts(&mut self) -> bool {
        for _ in 0..KNOCKS_MAX {
            if self.answers_itself() {
                return true;
            }
            if self.process.try_wait().expect("our own child").is_some() {
                return false;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        false
    }

    /// Whether it is this process that answers: where another one has taken the port first, even this
    /// test's own knock at a port of the range that clients get, somebody else accepts.
    fn answers_itself(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(self.address) else { return false };
        let mut answer = Vec::new();
        let wanted = format!("\r\nprocess_id:{}\r\n", self.process.id()).into_bytes();
        let mut piece = [0; 4096];
        stream.set_read_timeout(Some(Duration::from_secs(1))).expect("a TCP socket");
        if stream.write_all(b"INFO server\r\n").is_err() {
            return false;
        }
        while !answer.windows(wanted.len()).any(|part| part == wanted) {
            match stream.read(&mut piece) {
                Ok(length @ 1..) => answer.extend_from_slice(&piece[..length]),
                Ok(0) | Err(_) => return false,
            }
        }
        true
    }
}
