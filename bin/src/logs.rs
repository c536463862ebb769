//! Where logs go and how they look: for people on a terminal, JSON otherwise; to standard error, or
//! to a file that SIGHUP opens again.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use ringlane_settings::{LogLevel, Settings};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{fmt, reload};

/// Where lines go now. Shared by the logger and whoever opens the file again.
#[derive(Clone)]
pub struct Destination {
    path: Option<Arc<PathBuf>>,
    file: Arc<RwLock<Option<Arc<File>>>>,
}

impl Destination {
    fn open(path: Option<&Path>) -> io::Result<Self> {
        let file = path.map(append_to).transpose()?.map(Arc::new);
        let path = path.map(|path| Arc::new(path.to_owned()));
        Ok(Self { path, file: Arc::new(RwLock::new(file)) })
    }

    /// Follows a file that was moved away. On an error lines go on to the old one.
    pub fn reopen(&self) -> io::Result<()> {
        if let Some(path) = &self.path {
            let file = append_to(path)?;
            *self.file.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(file));
        }
        Ok(())
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// One line's way out.
pub enum Line {
    File(Arc<File>),
    Error(io::Stderr),
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.as_ref().write(bytes),
            Self::Error(stderr) => stderr.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::File(file) => file.as_ref().flush(),
            Self::Error(stderr) => stderr.flush(),
        }
    }
}

impl<'a> MakeWriter<'a> for Destination {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        match self.file.read().unwrap_or_else(PoisonError::into_inner).as_ref() {
            Some(file) => Line::File(Arc::clone(file)),
            None => Line::Error(io::stderr()),
        }
    }
}

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Debug => LevelFilter::TRACE,
        LogLevel::Verbose => LevelFilter::DEBUG,
        LogLevel::Notice => LevelFilter::INFO,
        LogLevel::Warning => LevelFilter::WARN,
        LogLevel::Nothing => LevelFilter::OFF,
    }
}

/// Installs the logger of the process; it follows `loglevel` from now on. The error names the file.
pub fn install(settings: &Settings) -> Result<Destination, String> {
    let path = settings.start().logfile.map(PathBuf::from);
    let destination = Destination::open(path.as_deref()).map_err(|error| {
        let path = path.as_deref().unwrap_or(Path::new(""));
        format!("cannot open the log file {}: {error}; change logfile", path.display())
    })?;
    let people = path.is_none() && io::stderr().is_terminal();
    let (level, handle) = reload::Layer::new(filter(settings.live().log_level));
    let registry = tracing_subscriber::registry().with(level);
    let format = fmt::layer().with_writer(destination.clone());
    if people {
        registry.with(format.with_target(false)).init();
    } else {
        registry.with(format.json().flatten_event(true)).init();
    }
    settings.on_change(move |live| {
        // Fails only when the logger is gone, at the very end.
        let _ = handle.modify(|level| *level = filter(live.log_level));
    });
    Ok(destination)
}
