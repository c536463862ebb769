//! The values that hold now, shared by every thread. Lanes read them through an immutable snapshot
//! that they fetch again when the version has changed.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use ringlane_base::glob;
use ringlane_store::NoticeClasses;

use crate::file::{self, RewriteError};
use crate::kind::{BufferLimits, Invalid, Value};
use crate::live::{Bound, LiveSettings, StartSettings};
use crate::sources::{SourceError, Sources};
use crate::table::{Id, Machine, ROWS, Row, When, names_of, row_named};

/// One value for each row, in the table's order.
#[derive(Clone)]
pub(crate) struct Values(Vec<Value>);

impl Values {
    pub(crate) fn defaults(machine: &Machine) -> Self {
        let value = |row: &Row| {
            let text = row.default.text(machine);
            row.kind.parse(&text, machine, None).expect("every default is valid, held by a test")
        };
        Self(ROWS.iter().map(value).collect())
    }

    pub(crate) fn value(&self, id: Id) -> &Value {
        &self.0[id as usize]
    }

    /// Reads `text` into the row's place.
    pub(crate) fn put(&mut self, row: &Row, text: &str, machine: &Machine) -> Result<(), Invalid> {
        let value = row.kind.parse(text, machine, Some(self.value(row.id)))?;
        self.0[row.id as usize] = value;
        Ok(())
    }

    pub(crate) fn flag(&self, id: Id) -> bool {
        matches!(self.value(id), Value::Flag(true))
    }

    pub(crate) fn integer(&self, id: Id) -> i64 {
        match self.value(id) {
            Value::Integer(number) => *number,
            other => unreachable!("{id:?} is no integer: {other:?}"),
        }
    }

    pub(crate) fn bytes(&self, id: Id) -> u64 {
        match self.value(id) {
            Value::Bytes(bytes) => *bytes,
            other => unreachable!("{id:?} is no size: {other:?}"),
        }
    }

    pub(crate) fn bound(&self, id: Id) -> Bound {
        match self.value(id) {
            Value::Bytes(bytes) => Bound::Bytes(*bytes),
            Value::Share(percent) => Bound::Percent(*percent),
            other => unreachable!("{id:?} is no size: {other:?}"),
        }
    }

    pub(crate) fn choice(&self, id: Id) -> &'static str {
        match self.value(id) {
            Value::Choice(name) => name,
            other => unreachable!("{id:?} is no choice: {other:?}"),
        }
    }

    pub(crate) fn text(&self, id: Id) -> &str {
        match self.value(id) {
            Value::Text(text) => text,
            other => unreachable!("{id:?} is no text: {other:?}"),
        }
    }

    pub(crate) fn notices(&self, id: Id) -> NoticeClasses {
        match self.value(id) {
            Value::Notices(classes) => *classes,
            other => unreachable!("{id:?} holds no classes of notices: {other:?}"),
        }
    }

    pub(crate) fn buffer_limits(&self, id: Id) -> BufferLimits {
        match self.value(id) {
            Value::BufferLimits(limits) => *limits,
            other => unreachable!("{id:?} holds no limits: {other:?}"),
        }
    }
}

/// Why `CONFIG SET` changed nothing; printed as the client gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetError {
    Unknown { name: String },
    Refused { name: String, reason: String },
}

impl fmt::Display for SetError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { name } => write!(
                formatter,
                "ERR Unknown option or number of arguments for CONFIG SET - '{name}'"
            ),
            Self::Refused { name, reason } => write!(
                formatter,
                "ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}"
            ),
        }
    }
}

impl std::error::Error for SetError {}

/// Called after every change with what now holds, on the thread that made the change.
type Listener = Box<dyn Fn(&LiveSettings) + Send + Sync>;

/// All settings of a process.
pub struct Settings {
    machine: Machine,
    /// Where REWRITE writes; None: started without a file.
    path: Option<PathBuf>,
    values: Mutex<Values>,
    rewriting: Mutex<()>,
    live: RwLock<Arc<LiveSettings>>,
    version: AtomicU64,
    listeners: Mutex<Vec<Listener>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Values are replaced whole, so one left by a panic is as good as any.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Settings {
    /// Defaults of this machine, overridden by the sources in their order.
    pub fn load(machine: Machine, sources: &Sources) -> Result<Self, SourceError> {
        let mut values = Values::defaults(&machine);
        sources.apply(&mut values, &machine)?;
        let live = RwLock::new(Arc::new(LiveSettings::of(&values)));
        Ok(Self {
            machine,
            path: sources.path.clone(),
            values: Mutex::new(values),
            rewriting: Mutex::default(),
            live,
            version: AtomicU64::new(1),
            listeners: Mutex::default(),
        })
    }

    /// `CONFIG GET`: name and value of every setting that one of the patterns matches (case
    /// ignored), in the table's order, each once; other names that match beside its own.
    pub fn get(&self, patterns: &[&[u8]]) -> Vec<(String, String)> {
        let patterns: Vec<Vec<u8>> =
            patterns.iter().map(|pattern| pattern.to_ascii_lowercase()).collect();
        let values = lock(&self.values);
        ROWS.iter()
            .flat_map(|row| names_of(row).map(move |name| (name, row.id)))
            .filter(|(name, _)| patterns.iter().any(|glob| glob::matches(glob, name.as_bytes())))
            .map(|(name, id)| (name.to_owned(), values.value(id).to_string()))
            .collect()
    }

    /// `CONFIG SET`: all pairs, or none of them.
    pub fn set(&self, pairs: &[(&str, &str)]) -> Result<(), SetError> {
        let mut values = lock(&self.values);
        let mut changed = values.clone();
        let mut seen = Vec::with_capacity(pairs.len());
        for &(name, text) in pairs {
            let row = row_named(name).ok_or_else(|| SetError::Unknown { name: name.to_owned() })?;
            let refused = |reason: String| SetError::Refused { name: name.to_owned(), reason };
            if row.when == When::Start {
                return Err(refused("can't set immutable config".to_owned()));
            }
            if seen.contains(&row.id) {
                return Err(refused("duplicate parameter".to_owned()));
            }
            seen.push(row.id);
            changed.put(row, text, &self.machine).map_err(|Invalid(reason)| refused(reason))?;
        }
        *values = changed;
        let live = Arc::new(LiveSettings::of(&values));
        *self.live.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&live);
        // After the snapshot: whoever sees the new version finds at least the new values.
        self.version.fetch_add(1, Ordering::Release);
        drop(values);
        for listener in lock(&self.listeners).iter() {
            listener(&live);
        }
        Ok(())
    }

    /// `CONFIG REWRITE`: the file now says what holds, its comments and order kept.
    pub fn rewrite(&self) -> Result<(), RewriteError> {
        let path = self.path.as_deref().ok_or(RewriteError::NoFile)?;
        let _one_at_a_time = lock(&self.rewriting);
        // A copy: whoever reads or changes a setting meanwhile does not wait for the disk.
        let values = lock(&self.values).clone();
        file::rewrite(path, &values, &self.machine)
    }

    /// What holds now, as one consistent set.
    pub fn live(&self) -> Arc<LiveSettings> {
        Arc::clone(&self.live.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Grows with every change; a reader that remembers it fetches `live` only when it moved.
    #[inline]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// What is read once.
    pub fn start(&self) -> StartSettings {
        StartSettings::of(&lock(&self.values))
    }

    /// The file that REWRITE writes, as INFO prints it.
    pub fn path(&self) -> Option<&std::path::Path> {
        self.path.as_deref()
    }

    /// Memory that the machine allows, in bytes.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Calls `listener` after every change from now on.
    pub fn on_change(&self, listener: impl Fn(&LiveSettings) + Send + Sync + 'static) {
        lock(&self.listeners).push(Box::new(listener));
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Settings").field("live", &self.live()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    fn settings() -> Settings {
        let machine = Machine { cores: vec![0, 1], cpus: 2, memory_bytes: 1000 };
        Settings::load(machine, &Sources::default()).expect("defaults are valid")
    }

    fn get(settings: &Settings, pattern: &str) -> Vec<(String, String)> {
        settings.get(&[pattern.as_bytes()])
    }

    #[test]
    fn get_matches_patterns_and_names_each_once() {
        let settings = settings();
        assert_eq!(get(&settings, "maxmemory"), [("maxmemory".into(), "800".into())]);
        assert_eq!(get(&settings, "SAVE"), [("save".into(), String::new())]);
        assert_eq!(get(&settings, "nothing-*"), []);
        assert_eq!(get(&settings, "*").len(), ROWS.len() + crate::table::ALIASES.len());
        assert_eq!(get(&settings, "hash-max-*-entries").len(), 2);
        assert_eq!(settings.get(&[b"max*", b"maxclients"]).len(), 4);
    }

    #[test]
    fn set_changes_all_or_nothing_and_says_why() {
        let settings = settings();
        for (pairs, error) in [
            (
                &[("maxclients", "5"), ("nope", "1")][..],
                "ERR Unknown option or number of arguments for CONFIG SET - 'nope'",
            ),
            (
                &[("maxclients", "5"), ("port", "1")],
                "ERR CONFIG SET failed (possibly related to argument 'port') - can't set immutable config",
            ),
            (
                &[("maxclients", "5"), ("MAXCLIENTS", "6")],
                "ERR CONFIG SET failed (possibly related to argument 'MAXCLIENTS') - duplicate parameter",
            ),
            (
                &[("maxclients", "5"), ("maxmemory", "x")],
                "ERR CONFIG SET failed (possibly related to argument 'maxmemory') - argument must be a memory or percent value",
            ),
            (
                &[("appendonly", "yes")],
                "ERR CONFIG SET failed (possibly related to argument 'appendonly') - an append-only file is not supported, only 'no' is",
            ),
        ] {
            let before = settings.version();
            let refused = settings.set(pairs).expect_err("refused");
            assert_eq!(refused.to_string(), error);
            assert_eq!(settings.version(), before);
            assert_eq!(settings.live().maxclients, 10_000);
        }
        let before = settings.version();
        let pairs = [("MaxMemory", "1gb"), ("requirepass", "secret"), ("save", "")];
        assert_eq!(settings.set(&pairs), Ok(()));
        assert!(settings.version() > before);
        let live = settings.live();
        assert_eq!(live.maxmemory, Some(1 << 30));
        assert!(live.requirepass.as_ref().is_some_and(|secret| secret.matches(b"secret")));
        assert_eq!(get(&settings, "requirepass")[0].1, "secret");
    }

    #[test]
    fn old_names_change_the_same_values() {
        let settings = settings();
        let pairs = [("hash-max-ziplist-entries", "7"), ("LIST-MAX-ZIPLIST-SIZE", "-1")];
        assert_eq!(settings.set(&pairs), Ok(()));
        assert_eq!(get(&settings, "hash-max-listpack-entries")[0].1, "7");
        assert_eq!(get(&settings, "list-max-ziplist-size")[0].1, "-1");
        let limits = settings.live().pack_limits;
        assert_eq!((limits.hash_max_listpack_entries, limits.list_max_listpack_size), (7, -1));
        let both = [("zset-max-ziplist-value", "1"), ("zset-max-listpack-value", "2")];
        let refused = settings.set(&both).expect_err("one setting twice").to_string();
        assert!(refused.ends_with("duplicate parameter"), "{refused}");
    }

    #[test]
    fn listeners_hear_of_changes() {
        let settings = settings();
        let heard = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&heard);
        settings.on_change(move |live| {
            counter.store(live.slowlog_max_len, Ordering::Relaxed);
        });
        assert_eq!(settings.set(&[("slowlog-max-len", "7")]), Ok(()));
        assert_eq!(heard.load(Ordering::Relaxed), 7);
    }

    #[test]
    fn lane_doors_follow_the_port_unless_told() {
        for (port, base, expected) in [
            ("6379", "0", Some(7379)),
            ("0", "0", None),
            ("0", "9000", Some(9000)),
            ("6379", "9000", Some(9000)),
            // Two lanes have their last door on 65535; above there is none.
            ("64534", "0", Some(65534)),
            ("64535", "0", None),
            ("65000", "0", None),
        ] {
            let sources = Sources {
                arguments: vec![
                    ("port".to_owned(), port.to_owned()),
                    ("lane-port-base".to_owned(), base.to_owned()),
                ],
                ..Sources::default()
            };
            let loaded = Settings::load(settings().machine, &sources).expect("valid");
            assert_eq!(loaded.start().lane_port_base, expected);
        }
    }
}
