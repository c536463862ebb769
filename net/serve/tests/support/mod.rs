//! A real server inside the test's process.

#![allow(dead_code, reason = "each test file uses its own part of it")]

use std::net::SocketAddr;
use std::sync::Arc;

use ringlane_base::HashSeed;
use ringlane_serve::{Server, StartError, Stopper};
use ringlane_settings::{Machine, Settings, Sources};
#[allow(unused_imports, reason = "each test file uses its own part of it")]
pub use ringlane_testing::{Client, encode};

/// A running server; stopped and joined when dropped.
pub struct Running {
    pub address: SocketAddr,
    pub lane_ports: Vec<u16>,
    pub settings: Arc<Settings>,
    stopper: Stopper,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Running {
    /// A server with this many lanes and these settings, on ports of the system's choice.
    pub fn with(lanes: usize, arguments: &[(&str, &str)]) -> Self {
        Self::with_sources(lanes, arguments, Sources::default())
    }

    /// A server whose hash seed is known.
    pub fn with_hash_seed(lanes: usize, seed: HashSeed) -> Self {
        Self::started(lanes, &[], Sources::default(), |settings| {
            ringlane_serve::start_with_hash_seed(settings, seed)
        })
    }

    /// A server that was started with this file, which is not read here.
    pub fn with_file(lanes: usize, path: &std::path::Path) -> Self {
        let sources = Sources { path: Some(path.to_owned()), ..Sources::default() };
        Self::with_sources(lanes, &[], sources)
    }

    fn with_sources(lanes: usize, arguments: &[(&str, &str)], sources: Sources) -> Self {
        Self::started(lanes, arguments, sources, ringlane_serve::start)
    }

    fn started(
        lanes: usize,
        arguments: &[(&str, &str)],
        sources: Sources,
        start: impl FnOnce(&Arc<Settings>) -> Result<Server, StartError>,
    ) -> Self {
        let machine = Machine { cores: vec![0, 1], cpus: 2, memory_bytes: 4 << 30 };
        let mut all = vec![("port".to_owned(), "0".to_owned())];
        all.push(("lanes".to_owned(), lanes.to_string()));
        all.extend(arguments.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let sources = Sources { arguments: all, ..sources };
        let settings = Arc::new(Settings::load(machine, &sources).expect("settings are right"));
        let server = start(&settings).expect("the server starts");
        let address = server.addresses()[0];
        let lane_ports = server.lane_ports().to_vec();
        let stopper = server.stopper();
        let thread = std::thread::spawn(move || server.wait());
        Self { address, lane_ports, settings, stopper, thread: Some(thread) }
    }

    pub fn client(&self) -> Client {
        Client::to(self.address)
    }

    /// A client at a lane's own door.
    pub fn lane_client(&self, lane: usize) -> Client {
        Client::to(SocketAddr::new(self.address.ip(), self.lane_ports[lane]))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stopper.stop();
        let ended = self.thread.take().expect("taken once").join();
        if !std::thread::panicking() {
            ended.expect("the server stops cleanly");
        }
    }
}
