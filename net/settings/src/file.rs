//! The TOML file: one key a setting, at the top level. Reading gives texts for the table's kinds;
//! rewriting changes values in place and keeps comments, order and layout.

use std::fmt;
use std::io::Write;
use std::path::Path;

use toml_edit::{Document, DocumentMut, Item};

use crate::kind::Value;
use crate::settings::Values;
use crate::sources::SourceError;
use crate::table::{Machine, ROWS, names_of};
use crate::units::format_bytes;

/// One key of the file.
pub(crate) struct Entry {
    pub name: String,
    /// In the spelling that the row's kind reads.
    pub text: String,
    /// Counted from 1.
    pub line: usize,
}

/// Why the file does not say what holds.
#[derive(Debug)]
pub enum RewriteError {
    /// The server was started without one.
    NoFile,
    /// Nothing was changed on disk.
    Failed(String),
}

impl fmt::Display for RewriteError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFile => formatter.write_str("ERR The server is running without a config file"),
            Self::Failed(reason) => write!(formatter, "ERR Rewriting config file: {reason}"),
        }
    }
}

impl std::error::Error for RewriteError {}

/// The file's keys in its order.
pub(crate) fn entries(path: &str, text: &str) -> Result<Vec<Entry>, SourceError> {
    let line_of = |offset: usize| 1 + text[..offset.min(text.len())].matches('\n').count();
    let document = Document::parse(text).map_err(|error| SourceError::Malformed {
        path: path.to_owned(),
        line: line_of(error.span().map_or(0, |span| span.start)),
        reason: error.message().replace('\n', ", "),
    })?;
    let table = document.as_table();
    let entries = table.iter().map(|(name, item)| {
        let span = table.key(name).and_then(toml_edit::Key::span).or_else(|| item.span());
        let line = line_of(span.map_or(0, |span| span.start));
        Entry { name: name.to_owned(), text: text_of(item), line }
    });
    Ok(entries.collect())
}

/// A value as its text; elements of an array apart by spaces.
fn text_of(item: &Item) -> String {
    if let Some(text) = item.as_str() {
        return text.to_owned();
    }
    if let Some(array) = item.as_array() {
        let words: Vec<String> =
            array.iter().map(|element| text_of(&Item::Value(element.clone()))).collect();
        return words.join(" ");
    }
    item.to_string().trim().to_owned()
}

/// Writes the values that differ from their defaults, or that the file already names, beside the
/// file and then in its place. A spelling that means what holds (`1gb`, `50%`) stays as it is.
pub(crate) fn rewrite(path: &Path, values: &Values, machine: &Machine) -> Result<(), RewriteError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(RewriteError::Failed(error.to_string())),
    };
    let mut document: DocumentMut = text
        .parse()
        .map_err(|error: toml_edit::TomlError| RewriteError::Failed(error.message().to_owned()))?;
    let defaults = Values::defaults(machine);
    for row in ROWS {
        let now = values.value(row.id);
        let default = defaults.value(row.id);
        // An old name that the file uses stays.
        let name = names_of(row).find(|name| document.contains_key(name)).unwrap_or(row.name);
        match document.get_mut(name) {
            Some(item) => {
                let written = row.kind.parse(&text_of(item), machine, Some(default));
                if written.as_ref() != Ok(now) {
                    replace(item, now);
                }
            }
            None if now != default => {
                document.insert(row.name, Item::Value(toml_of(now)));
            }
            None => {}
        }
    }
    write_in_place(path, &document.to_string())
        .map_err(|error| RewriteError::Failed(error.to_string()))
}

/// Puts `now` in the place of `item`; the comment behind it stays.
fn replace(item: &mut Item, now: &Value) {
    let mut written = toml_of(now);
    if let Some(before) = item.as_value() {
        *written.decor_mut() = before.decor().clone();
    }
    *item = Item::Value(written);
}

fn toml_of(value: &Value) -> toml_edit::Value {
    match value {
        Value::Flag(flag) => (*flag).into(),
        Value::Integer(number) => (*number).into(),
        Value::Bytes(bytes) => format_bytes(*bytes).into(),
        Value::Share(percent) => format!("{percent}%").into(),
        Value::Choice(_)
        | Value::Text(_)
        | Value::Addresses(_)
        | Value::Cores(_)
        | Value::BufferLimits(_)
        | Value::Notices(_) => value.to_string().into(),
    }
}

/// A reader finds the old file or the new one, never half of either, also after a crash.
fn write_in_place(path: &Path, text: &str) -> std::io::Result<()> {
    // Through a link to the file that it names: mounted settings are often links.
    let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut beside = target.clone().into_os_string();
    beside.push(format!(".{}.new", std::process::id()));
    let mut file = std::fs::File::create(&beside)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    if let Ok(metadata) = std::fs::metadata(&target) {
        // The file may hold a password: it stays as closed as it was.
        std::fs::set_permissions(&beside, metadata.permissions())?;
    }
    let moved = written.and_then(|()| std::fs::rename(&beside, &target));
    if moved.is_err() {
        // Best effort: the error that matters is the one above.
        let _ = std::fs::remove_file(&beside);
    }
    moved
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Settings, Sources};

    #[test]
    fn rewriting_keeps_comments_and_changes_what_changed() {
        let directory =
            std::env::temp_dir().join(format!("ringlane-settings-{}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a place for the file");
        let path = directory.join("ringlane.toml");
        let before = "# the cache of the shop\nmaxmemory = \"1gb\" # half\n\n\
                      # many\nmaxclients = 20 # so many\nprotected-mode = true\n";
        std::fs::write(&path, before).expect("written");
        let machine = Machine { cores: vec![0], cpus: 1, memory_bytes: 1000 };
        let sources = || Sources {
            path: Some(path.clone()),
            file: std::fs::read_to_string(&path).expect("readable"),
            ..Sources::default()
        };
        let settings = Settings::load(machine.clone(), &sources()).expect("valid");
        let changes = [
            ("maxclients", "30"),
            ("protected-mode", "no"),
            ("slowlog-max-len", "1000"),
            ("client-query-buffer-limit", "64mb"),
        ];
        settings.set(&changes).expect("valid");
        settings.rewrite().expect("written");
        let after = std::fs::read_to_string(&path).expect("readable");
        assert_eq!(
            after,
            "# the cache of the shop\nmaxmemory = \"1gb\" # half\n\n\
             # many\nmaxclients = 30 # so many\nprotected-mode = false\n\
             client-query-buffer-limit = \"64mb\"\nslowlog-max-len = 1000\n"
        );
        let again = Settings::load(machine, &sources()).expect("valid");
        assert_eq!(again.get(&[b"*"]), settings.get(&[b"*"]));
        std::fs::remove_dir_all(&directory).expect("removed");
    }

    #[test]
    fn without_a_file_there_is_nothing_to_rewrite() {
        let machine = Machine { cores: vec![0], cpus: 1, memory_bytes: 1000 };
        let settings = Settings::load(machine, &Sources::default()).expect("valid");
        let error = settings.rewrite().expect_err("no file");
        assert_eq!(error.to_string(), "ERR The server is running without a config file");
    }
}
