//! The servers that are measured: found, started on loopback with a port of their own, pinned,
//! waited for, and stopped again. Nothing else is ever stopped.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde::Serialize;

use crate::{
    client::{Client, Reply},
    cpu::{CpuMeter, while_pinned},
    protocol::Protocol,
    signals,
};

const START_PATIENCE: Duration = Duration::from_secs(20);
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// A server that the tools can start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Ringlane,
    Redis,
    Valkey,
    Memcached,
    Dragonfly,
}

impl Kind {
    pub const ALL: [Self; 5] =
        [Self::Ringlane, Self::Redis, Self::Valkey, Self::Memcached, Self::Dragonfly];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ringlane => "ringlane",
            Self::Redis => "redis-server",
            Self::Valkey => "valkey-server",
            Self::Memcached => "memcached",
            Self::Dragonfly => "dragonfly",
        }
    }

    pub fn protocol(self) -> Protocol {
        match self {
            Self::Ringlane | Self::Redis | Self::Valkey | Self::Dragonfly => Protocol::Resp2,
            Self::Memcached => Protocol::Memcached,
        }
    }

    /// Where its binary is: the `PATH`, and `$RINGLANE_PERF_BINARIES` before it.
    pub fn find(self) -> Option<PathBuf> {
        let own = std::env::var_os("RINGLANE_PERF_BINARIES").into_iter();
        let path = own.chain(std::env::var_os("PATH"));
        path.flat_map(|list| std::env::split_paths(&list).collect::<Vec<_>>())
            .map(|folder| folder.join(self.name()))
            .find(|file| file.is_file())
    }
}

/// How a server is started.
#[derive(Clone, Debug)]
pub struct Setup {
    pub kind: Kind,
    pub binary: PathBuf,
    /// Lanes of Ringlane, threads of the others.
    pub lanes: usize,
    /// Bytes; None = as much as there is.
    pub maxmemory: Option<u64>,
    /// Name of a policy; None = the server's default.
    pub policy: Option<String>,
    pub cores: Vec<usize>,
    /// Further arguments as they are.
    pub extra: Vec<String>,
}

impl Setup {
    pub fn new(kind: Kind, binary: PathBuf, cores: &[usize]) -> Self {
        Self {
            kind,
            binary,
            lanes: 1,
            maxmemory: None,
            policy: None,
            cores: cores.to_vec(),
            extra: Vec::new(),
        }
    }

    fn arguments(&self, port: u16, lane_ports: u16, folder: &Path) -> Vec<String> {
        let mut arguments: Vec<String> = Vec::new();
        let mut set = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
        let folder = folder.display().to_string();
        match self.kind {
            Kind::Ringlane => {
                set("--port", port.to_string());
                set("--bind", "127.0.0.1".into());
                set("--lanes", self.lanes.to_string());
                set("--lane-port-base", lane_ports.to_string());
            }
            Kind::Redis | Kind::Valkey => {
                for (name, value) in [
                    ("--bind", "127.0.0.1"),
                    ("--save", ""),
                    ("--appendonly", "no"),
                    ("--daemonize", "no"),
                ] {
                    set(name, value.into());
                }
                set("--port", port.to_string());
                set("--io-threads", self.lanes.to_string());
                set("--dir", folder);
            }
            Kind::Memcached => {
                set("-l", "127.0.0.1".into());
                set("-p", port.to_string());
                set("-U", "0".into());
                set("-t", self.lanes.to_string());
                set("-c", "4000".into());
                set("-u", "root".into());
                set("-m", self.maxmemory.map_or(16_384, |bytes| bytes >> 20).to_string());
            }
            Kind::Dragonfly => {
                set("--bind", "127.0.0.1".into());
                set("--port", port.to_string());
                set("--proactor_threads", self.lanes.to_string());
                set("--dbfilename", String::new());
                set("--dir", folder);
            }
        }
        if self.kind != Kind::Memcached {
            if let Some(bytes) = self.maxmemory {
                set("--maxmemory", bytes.to_string());
            }
            if let Some(policy) = &self.policy {
                set("--maxmemory-policy", policy.clone());
            }
        }
        arguments.extend(self.extra.iter().cloned());
        arguments
    }
}

/// A server that this process started. Stopped when dropped.
pub struct Server {
    pub setup: Setup,
    pub address: SocketAddr,
    pub version: String,
    child: Child,
    folder: tempfile::TempDir,
}

impl Server {
    /// Starts a server on a free loopback port and waits until it answers.
    pub fn start(setup: &Setup) -> Result<Self> {
        if !setup.binary.is_file() {
            bail!("there is no {} at {}", setup.kind.name(), setup.binary.display());
        }
        let folder = tempfile::Builder::new()
            .prefix("ringlane-perf-")
            .tempdir()
            .context("a temporary folder")?;
        let port = free_ports(1)?;
        let lane_ports = free_ports(setup.lanes as u16)?;
        let log = fs::File::create(folder.path().join("log"))?;
        let mut command = Command::new(&setup.binary);
        command
            .args(setup.arguments(port, lane_ports, folder.path()))
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        // SAFETY: the closure runs between fork and exec and makes one system call, which
        // allocates nothing and takes no lock.
        unsafe {
            command.pre_exec(|| {
                // Even a crash of this tool leaves no server behind.
                Ok(rustix::process::set_parent_process_death_signal(Some(
                    rustix::process::Signal::TERM,
                ))?)
            });
        }
        let child = while_pinned(&setup.cores, || {
            command.spawn().with_context(|| format!("starting {}", setup.binary.display()))
        })?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut server =
            Self { setup: setup.clone(), address, version: String::new(), child, folder };
        server.wait_until_ready()?;
        server.version = server.ask_version();
        Ok(server)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn meter(&self) -> Result<CpuMeter> {
        CpuMeter::new(self.pid())
    }

    pub fn kind(&self) -> Kind {
        self.setup.kind
    }

    /// A connection for commands; fails for memcached.
    pub fn client(&self) -> Result<Client> {
        if self.kind() == Kind::Memcached {
            bail!("memcached speaks no RESP");
        }
        Client::connect(self.address, Duration::from_secs(60))
    }

    fn answers(&self) -> Result<()> {
        let patience = Duration::from_secs(2);
        if self.kind() == Kind::Memcached {
            return Client::connect(self.address, patience).map(|_| ());
        }
        match Client::connect(self.address, patience)?.command("PING")? {
            Reply::Text(text) if text == b"PONG" => Ok(()),
            other => bail!("PING answers {other:?}"),
        }
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_PATIENCE;
        loop {
            signals::check()?;
            if let Some(status) = self.child.try_wait()? {
                bail!(
                    "{} ended at once ({status}); it said:\n{}",
                    self.setup.binary.display(),
                    self.log_tail()
                );
            }
            match self.answers() {
                Ok(()) => return Ok(()),
                Err(error) if Instant::now() > deadline => {
                    bail!(
                        "{} does not answer: {error:#}; it said:\n{}",
                        self.setup.binary.display(),
                        self.log_tail()
                    )
                }
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// The last lines that the server logged.
    pub fn log_tail(&self) -> String {
        const LINES: usize = 15;
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    }

    fn ask_version(&self) -> String {
        let output =
            Command::new(&self.setup.binary).arg("--version").stdin(Stdio::null()).output();
        let text = output
            .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
            .unwrap_or_default();
        text.split_whitespace()
            .map(|word| word.trim_start_matches("v=").trim_start_matches('v'))
            .find(|word| word.starts_with(|first: char| first.is_ascii_digit()))
            .unwrap_or("unknown")
            .to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        // Every error here means: it has ended already.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let deadline = Instant::now() + STOP_PATIENCE;
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The first of `count` consecutive loopback ports that are free now.
pub fn free_ports(count: u16) -> Result<u16> {
    const TRIES: u32 = 200;
    let bind = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    for _ in 0..TRIES {
        let first = bind(0).context("no free loopback port")?.local_addr()?.port();
        let whole =
            first.checked_add(count).is_some_and(|end| (first..end).all(|port| bind(port).is_ok()));
        if whole {
            return Ok(first);
        }
    }
    bail!("no {count} free loopback ports in a row")
}

/// Options that several tools share: which servers, where.
#[derive(Clone, Debug, clap::Args)]
pub struct Choice {
    /// The ringlane binary [default: built by the script that starts this tool]
    #[arg(long, value_name = "PATH", env = "RINGLANE_BINARY")]
    pub server: Option<PathBuf>,
    /// Only these servers; a name may be given twice or as a list
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAMES")]
    pub only: Vec<Kind>,
}

impl Choice {
    /// The chosen servers that were found, Ringlane first. Says on stderr which are missing.
    pub fn found(&self) -> Result<Vec<(Kind, PathBuf)>> {
        let mut found = Vec::new();
        for kind in Kind::ALL {
            let chosen = self.only.is_empty() || self.only.contains(&kind);
            if !chosen {
                continue;
            }
            let binary = match (kind, &self.server) {
                (Kind::Ringlane, Some(path)) => Some(
                    fs::canonicalize(path)
                        .with_context(|| format!("no ringlane at {}", path.display()))?,
                ),
                (_, _) => kind.find(),
            };
            match binary {
                Some(binary) => found.push((kind, binary)),
                None if self.only.is_empty() => eprintln!("{}: not found, left out", kind.name()),
                None => bail!("{} is not on the PATH", kind.name()),
            }
        }
        if found.is_empty() {
            bail!("no server to measure");
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_server_is_told_port_and_loopback() {
        for kind in Kind::ALL {
            let mut setup = Setup::new(kind, PathBuf::from("x"), &[0]);
            setup.maxmemory = Some(512 << 20);
            let line = setup.arguments(7001, 7002, Path::new("/tmp")).join(" ");
            assert!(line.contains("7001") && line.contains("127.0.0.1"), "{line}");
            assert!(line.contains(&(512 << 20).to_string()) || line.contains("-m 512"), "{line}");
        }
    }

    #[test]
    fn what_cannot_start_says_why() {
        let missing = Setup::new(Kind::Redis, PathBuf::from("/nonexistent/redis-server"), &[0]);
        let error = Server::start(&missing).err().expect("there is no such file").to_string();
        assert!(error.contains("/nonexistent/redis-server"), "{error}");
        // A program that exits at once.
        let cores = crate::cpu::allowed_cores().unwrap();
        let ends = Setup::new(Kind::Redis, PathBuf::from("/bin/false"), &cores[..1]);
        let error = Server::start(&ends).err().expect("it ends").to_string();
        assert!(error.contains("ended at once"), "{error}");
    }

    #[test]
    fn free_ports_are_free() {
        let first = free_ports(3).unwrap();
        for port in first..first + 3 {
            TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        }
    }
}
