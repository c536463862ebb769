//! A real server for a test: on a free port, found by its own word, stopped by its process id.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// A running server; ended when dropped.
pub struct Server {
    process: Child,
    pub port: u16,
    pub lane_ports: Vec<u16>,
}

fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("RINGLANE_BINARY") {
        return path.into();
    }
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../.."));
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from);
    target.join("test-server/ringlane")
}

impl Server {
    /// Starts one with two lanes.
    pub fn start() -> Self {
        let arguments = ["--port", "0", "--lanes", "2", "--maxmemory", "256mb"];
        let mut process = Command::new(binary())
            .args(arguments)
            .env_remove("RINGLANE_BINARY")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let output = process.stdout.take().expect("piped");
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).expect("the server says where it is");
        let words =
            line.trim().strip_prefix("ready port=").and_then(|it| it.split_once(" lane-ports="));
        let (port, lanes) = words.unwrap_or_else(|| panic!("it said {line:?}"));
        let lane_ports = lanes.split(',').map(|port| port.parse().expect("a port")).collect();
        Self { port: port.parse().expect("a port"), lane_ports, process }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let asked = Command::new("kill").arg(self.process.id().to_string()).status();
        let ended = self.process.wait();
        if !std::thread::panicking() {
            assert!(asked.is_ok_and(|status| status.success()));
            assert!(ended.is_ok_and(|status| status.success()), "the server ends cleanly");
        }
    }
}
