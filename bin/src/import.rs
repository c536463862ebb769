//! `ringlane import`: copies every key of a running Redis, Valkey or Ringlane to another server, by
//! SCAN and DUMP on one side and RESTORE on the other. One thread reads, one writes, so that neither
//! server waits for the other. Where it stands is kept in a file, to go on after an interruption.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use redis::{Client, Connection, ErrorKind, ServerErrorKind, Value};

use crate::signals::Signals;

/// Batches that have been read and not yet written.
const BATCHES_AHEAD: usize = 4;
/// Refusals that are told with their keys; the others are counted.
const REFUSALS_TOLD: usize = 10;
/// How the process ends when a signal ended the copy: what a shell makes of SIGINT.
const INTERRUPTED: i32 = 130;

/// Ends the line about what was copied.
const FUNCTIONS_STAY: &str = "; functions are not copied: \
     FUNCTION DUMP on the source and FUNCTION RESTORE on the target do that";

/// What to copy, from where to where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// `redis://[user:password@]host:port[/database]`
    pub from: String,
    pub to: String,
    /// Glob of the keys that are wanted.
    pub pattern: Option<String>,
    /// Databases; empty: all that have keys.
    pub databases: Vec<i64>,
    /// Keys that are already there stay as they are.
    pub keep_existing: bool,
    /// Keys that are asked for at once.
    pub batch: usize,
    /// Where it is kept how far the copy has come.
    pub state: Option<PathBuf>,
}

/// One key on its way.
struct Item {
    key: Vec<u8>,
    /// Milliseconds it still lives, 0 without an end.
    ttl_ms: i64,
    payload: Vec<u8>,
}

/// Keys of one database, and where SCAN goes on behind them.
struct Batch {
    database: i64,
    cursor: u64,
    /// Keys that were seen, those that went before they could be read included.
    seen: u64,
    items: Vec<Item>,
}

/// What became of the keys.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    copied: u64,
    kept: u64,
    gone: u64,
    refused: u64,
    refusals: Vec<String>,
}

/// Where a copy goes on: the database being copied and its cursor, and those that are done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Progress {
    done: Vec<i64>,
    cursors: BTreeMap<i64, u64>,
}

impl Import {
    /// Copies, and says what was copied.
    ///
    /// # Errors
    /// One line: a server that does not answer, the same server twice, or keys that were refused.
    pub fn run(&self) -> Result<String, String> {
        let bar = ProgressBar::new(0).with_style(style());
        self.end_with_a_word(&bar)?;
        let mut source = connect(&self.from)?;
        let mut target = connect(&self.to)?;
        if is_same(&mut source, &mut target) {
            return Err(format!(
                "--from {} and --to {} are the same server: there is nothing to copy",
                without_password(&self.from),
                without_password(&self.to)
            ));
        }
        let mut progress = self.load()?;
        let chosen = self.chosen_databases()?;
        for database in &chosen {
            redis::cmd("SELECT")
                .arg(database)
                .exec(&mut source)
                .map_err(|error| format!("database {database} of {}", told(&self.from, &error)))?;
        }
        let sizes = sizes(&mut source).map_err(|error| told(&self.from, &error))?;
        let wanted = |database: &i64| {
            (chosen.is_empty() || chosen.contains(database)) && !progress.done.contains(database)
        };
        let databases: Vec<i64> = sizes.keys().copied().filter(wanted).collect();
        let total = databases.iter().filter_map(|database| sizes.get(database)).sum();
        bar.set_length(total);
        let (sender, receiver) = sync_channel(BATCHES_AHEAD);
        let reader = {
            let (import, cursors) = (self.clone(), progress.cursors.clone());
            std::thread::spawn(move || import.read(&mut source, &databases, &cursors, &sender))
        };
        let written = self.write(&mut target, &receiver, &mut progress, &bar);
        drop(receiver);
        let read = reader.join().expect("the reader does not panic");
        bar.finish_and_clear();
        let tally = written?;
        read?;
        self.forget()?;
        tally.report()
    }

    /// The databases that the arguments and the addresses name; none: all.
    fn chosen_databases(&self) -> Result<Vec<i64>, String> {
        let chosen = match named_database(&self.from)? {
            None => self.databases.clone(),
            Some(named) if self.databases.iter().all(|database| *database == named) => vec![named],
            Some(named) => {
                return Err(format!(
                    "--from {} names database {named}, and --database another: leave out one of them",
                    without_password(&self.from)
                ));
            }
        };
        match named_database(&self.to)? {
            Some(named) if chosen != [named] => Err(format!(
                "--to {} names a database: keys go to the database of the number that they come \
                 from, so leave it out",
                without_password(&self.to)
            )),
            Some(_) | None => Ok(chosen),
        }
    }

    /// From now on a signal ends the process with a line that says how to go on. Before any other
    /// thread starts, since threads inherit what is blocked.
    fn end_with_a_word(&self, bar: &ProgressBar) -> Result<(), String> {
        let signals = Signals::block();
        let bar = bar.clone();
        let word = if self.state.is_some() {
            "interrupted; the same command again goes on from here"
        } else {
            "interrupted; the same command again copies all from the beginning, and with \
             --state FILE it would go on where it was interrupted"
        };
        let end = move || {
            if signals.wait(None).is_some() {
                bar.finish_and_clear();
                eprintln!("ringlane: {word}");
                std::process::exit(INTERRUPTED);
            }
        };
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(end)
            .map(drop)
            .map_err(|error| format!("no thread for signals could be started: {error}"))
    }

    /// Reads batch after batch until every database has been seen through.
    fn read(
        &self,
        source: &mut Connection,
        databases: &[i64],
        cursors: &BTreeMap<i64, u64>,
        batches: &SyncSender<Batch>,
    ) -> Result<(), String> {
        let told = |error| told(&self.from, &error);
        for &database in databases {
            redis::cmd("SELECT").arg(database).exec(source).map_err(told)?;
            let mut cursor = cursors.get(&database).copied().unwrap_or(0);
            loop {
                let mut scan = redis::cmd("SCAN");
                scan.arg(cursor).arg("COUNT").arg(self.batch);
                if let Some(pattern) = &self.pattern {
                    scan.arg("MATCH").arg(pattern);
                }
                let (next, keys): (u64, Vec<Vec<u8>>) = scan.query(source).map_err(told)?;
                let items = dump(source, &keys).map_err(told)?;
                let batch = Batch { database, cursor: next, seen: keys.len() as u64, items };
                // The writer has given up, and says why.
                if batches.send(batch).is_err() {
                    return Ok(());
                }
                cursor = next;
                if cursor == 0 {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Writes what is read, and keeps how far it has come.
    fn write(
        &self,
        target: &mut Connection,
        batches: &Receiver<Batch>,
        progress: &mut Progress,
        bar: &ProgressBar,
    ) -> Result<Tally, String> {
        let told = |error| told(&self.to, &error);
        let mut tally = Tally::default();
        let mut selected = None;
        for batch in batches {
            if selected != Some(batch.database) {
                redis::cmd("SELECT").arg(batch.database).exec(target).map_err(told)?;
                selected = Some(batch.database);
            }
            tally.gone += batch.seen - batch.items.len() as u64;
            let answers = restore(target, &batch.items, self.keep_existing).map_err(told)?;
            for (item, answer) in batch.items.iter().zip(answers) {
                tally.count(&item.key, answer);
            }
            bar.inc(batch.seen);
            progress.passed(batch.database, batch.cursor);
            self.keep(progress)?;
        }
        Ok(tally)
    }

    fn load(&self) -> Result<Progress, String> {
        let Some(path) = self.state.as_ref().filter(|path| path.exists()) else {
            return Ok(Progress::default());
        };
        let text = fs::read_to_string(path)
            .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        Progress::parse(&text, &self.from).ok_or_else(|| {
            format!("{} is of another copy: remove it to begin anew", path.display())
        })
    }

    fn keep(&self, progress: &Progress) -> Result<(), String> {
        let Some(path) = &self.state else { return Ok(()) };
        let beside = path.with_extension("new");
        fs::write(&beside, progress.to_text(&self.from))
            .and_then(|()| fs::rename(&beside, path))
            .map_err(|error| format!("cannot write {}: {error}", path.display()))
    }

    /// All is copied: the next copy begins anew.
    fn forget(&self) -> Result<(), String> {
        match self.state.as_ref().filter(|path| path.exists()) {
            Some(path) => fs::remove_file(path)
                .map_err(|error| format!("cannot remove {}: {error}", path.display())),
            None => Ok(()),
        }
    }
}

impl Tally {
    fn count(&mut self, key: &[u8], answer: Value) {
        let Value::ServerError(error) = answer else {
            self.copied += 1;
            return;
        };
        if error.code() == "BUSYKEY" {
            self.kept += 1;
            return;
        }
        self.refused += 1;
        if self.refusals.len() < REFUSALS_TOLD {
            let details = error.details().unwrap_or_default();
            self.refusals.push(format!("{}: {} {details}", key.escape_ascii(), error.code()));
        }
    }

    fn report(self) -> Result<String, String> {
        let mut text = format!("{} keys copied", self.copied);
        for (count, what) in [
            (self.kept, "were there already and stay"),
            (self.gone, "went before they could be read"),
        ] {
            if count > 0 {
                write!(text, ", {count} {what}").expect("a string takes it");
            }
        }
        if self.refused == 0 {
            return Ok(text + FUNCTIONS_STAY + "\n");
        }
        let refusals = self.refusals.join("; ");
        Err(format!("{text}; {} were refused, the first being {refusals}", self.refused))
    }
}

impl Progress {
    fn passed(&mut self, database: i64, cursor: u64) {
        if cursor == 0 {
            self.cursors.remove(&database);
            self.done.push(database);
        } else {
            self.cursors.insert(database, cursor);
        }
    }

    /// One line for the source, one for each database: its number, and its cursor or `done`.
    fn to_text(&self, from: &str) -> String {
        let mut text = format!("from {}\n", without_password(from));
        for database in &self.done {
            writeln!(text, "{database} done").expect("a string takes it");
        }
        for (database, cursor) in &self.cursors {
            writeln!(text, "{database} {cursor}").expect("a string takes it");
        }
        text
    }

    fn parse(text: &str, from: &str) -> Option<Self> {
        let mut progress = Self::default();
        let mut lines = text.lines();
        if lines.next()? != format!("from {}", without_password(from)) {
            return None;
        }
        for line in lines {
            let (database, stand) = line.split_once(' ')?;
            let database = database.parse().ok()?;
            if stand == "done" {
                progress.done.push(database);
            } else {
                progress.cursors.insert(database, stand.parse().ok()?);
            }
        }
        Some(progress)
    }
}

fn connect(url: &str) -> Result<Connection, String> {
    let client = Client::open(url)
        .map_err(|error| format!("'{}' is no redis:// address: {error}", without_password(url)))?;
    client.get_connection().map_err(|error| told(url, &error))
}

/// The database that an address names: `redis://host:port/3`.
fn named_database(url: &str) -> Result<Option<i64>, String> {
    let parsed = redis::parse_redis_url(url)
        .ok_or_else(|| format!("'{}' is no redis:// address", without_password(url)))?;
    if parsed.scheme().contains("unix") {
        return Ok(None); // The path is the socket's.
    }
    match parsed.path().trim_matches('/') {
        "" => Ok(None),
        number => number
            .parse()
            .map(Some)
            .map_err(|_| format!("'{}' names a database that is no number", without_password(url))),
    }
}

/// Whether both are one server, under whichever names: every start of one draws an id of its own.
fn is_same(source: &mut Connection, target: &mut Connection) -> bool {
    let run_id = |server: &mut Connection| -> Option<String> {
        // Who may not ask for it is told so where it matters.
        let info: String = redis::cmd("INFO").arg("server").query(server).ok()?;
        info.lines().find_map(|line| Some(line.trim().strip_prefix("run_id:")?.to_owned()))
    };
    run_id(source).is_some_and(|id| run_id(target) == Some(id))
}

/// An error with the server it came from.
fn told(url: &str, error: &redis::RedisError) -> String {
    let hint = match error.kind() {
        ErrorKind::Io => " (is it running, and is the address right?)",
        ErrorKind::Server(ServerErrorKind::NoPerm) => " (this user may not do that)",
        _ => "",
    };
    format!("{}: {error}{hint}", without_password(url))
}

/// The address as it may be shown and kept.
fn without_password(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
        _ => url.to_owned(),
    }
}

/// How many keys each database has that has any.
fn sizes(source: &mut Connection) -> redis::RedisResult<BTreeMap<i64, u64>> {
    let info: String = redis::cmd("INFO").arg("keyspace").query(source)?;
    let size = |line: &str| {
        let (database, fields) = line.trim().strip_prefix("db")?.split_once(':')?;
        let keys = fields.split(',').find_map(|field| field.strip_prefix("keys="))?;
        Some((database.parse().ok()?, keys.parse().ok()?))
    };
    Ok(info.lines().filter_map(size).collect())
}

/// The keys with what they hold and how long they live; those that have gone are left out.
fn dump(source: &mut Connection, keys: &[Vec<u8>]) -> redis::RedisResult<Vec<Item>> {
    // SCAN may find none, above all with a pattern; a pipeline of nothing is refused.
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let mut pipeline = redis::pipe();
    for key in keys {
        pipeline.cmd("PTTL").arg(key).cmd("DUMP").arg(key);
    }
    let answers: Vec<Value> = pipeline.query(source)?;
    let mut items = Vec::with_capacity(keys.len());
    for (key, pair) in keys.iter().zip(answers.chunks_exact(2)) {
        let ttl_ms: i64 = redis::from_redis_value(pair[0].clone())?;
        let payload: Option<Vec<u8>> = redis::from_redis_value(pair[1].clone())?;
        if let Some(payload) = payload {
            items.push(Item { key: key.clone(), ttl_ms: ttl_ms.max(0), payload });
        }
    }
    Ok(items)
}

/// Writes the keys; the answer to each.
fn restore(
    target: &mut Connection,
    items: &[Item],
    keep_existing: bool,
) -> redis::RedisResult<Vec<Value>> {
    // All may have gone meanwhile; a pipeline of nothing is refused.
    if items.is_empty() {
        return Ok(Vec::new());
    }
    let mut pipeline = redis::pipe();
    for item in items {
        let restore = pipeline.cmd("RESTORE");
        restore.arg(&item.key).arg(item.ttl_ms).arg(&item.payload);
        if !keep_existing {
            restore.arg("REPLACE");
        }
    }
    pipeline.ignore_errors();
    pipeline.query(target)
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{bar:40} {pos} of {len} keys, {rate}, {eta} left")
        .expect("the template is well-formed")
        .with_key("rate", |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            // A bar that cannot be written to has nobody to tell.
            let _ = write!(out, "{:.0}/s", state.per_sec());
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_read_back_and_belongs_to_its_source() {
        let mut progress = Progress::default();
        progress.passed(0, 17);
        progress.passed(0, 0);
        progress.passed(3, 1 << 60);
        let from = "redis://user:secret@host:6379";
        let text = progress.to_text(from);
        assert!(!text.contains("secret"), "{text}");
        assert_eq!(Progress::parse(&text, from), Some(progress));
        assert_eq!(Progress::parse(&text, "redis://other:6379"), None);
        assert_eq!(Progress::parse("from redis://host:6379\n0 x\n", from), None);
    }

    #[test]
    fn an_address_may_name_a_database() {
        let chosen = |from: &str, to: &str, databases: &[i64]| {
            let import = Import {
                from: from.to_owned(),
                to: to.to_owned(),
                pattern: None,
                databases: databases.to_vec(),
                keep_existing: false,
                batch: 1,
                state: None,
            };
            import.chosen_databases().ok()
        };
        let (plain, third) = ("redis://user:secret@host:1", "redis://user:secret@host:1/3");
        for (from, to, databases, expected) in [
            (plain, plain, &[][..], Some(vec![])),
            (plain, plain, &[1, 2], Some(vec![1, 2])),
            (third, plain, &[], Some(vec![3])),
            (third, plain, &[3], Some(vec![3])),
            (third, third, &[], Some(vec![3])),
            (plain, third, &[3], Some(vec![3])),
            ("redis://host:1/", plain, &[], Some(vec![])),
            ("redis://host:1/0", plain, &[], Some(vec![0])),
            (third, plain, &[3, 4], None),
            (plain, third, &[], None),
            (third, "redis://host:1/0", &[], None),
            ("redis://host:1/x", plain, &[], None),
        ] {
            assert_eq!(chosen(from, to, databases), expected, "{from} {to} {databases:?}");
        }
    }

    #[test]
    fn what_was_refused_is_told_and_is_a_failure() {
        let mut tally = Tally { copied: 2, gone: 1, ..Tally::default() };
        let fine = std::mem::take(&mut tally).report();
        assert_eq!(
            fine,
            Ok(format!("2 keys copied, 1 went before they could be read{FUNCTIONS_STAY}\n"))
        );
        let tally =
            Tally { refused: 1, refusals: vec!["k: ERR no".to_owned()], ..Tally::default() };
        assert!(tally.report().is_err_and(|line| line.contains("k: ERR no")));
    }
}
