//! Where values come from, and in which order: defaults, the file, `RINGLANE_*` variables, the
//! command line. Each overrides the one before.

use std::fmt;
use std::path::PathBuf;

use crate::file;
use crate::settings::Values;
use crate::table::{Machine, ROWS, Row, names_of, row_named};

/// What the names of variables begin with.
pub const VARIABLE_PREFIX: &str = "RINGLANE_";

/// The variable of a setting: `maxmemory-policy` is `RINGLANE_MAXMEMORY_POLICY`.
pub fn variable(name: &str) -> String {
    format!("{VARIABLE_PREFIX}{}", name.to_ascii_uppercase().replace('-', "_"))
}

/// Everything that was said outside the table.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file's path, for REWRITE and for messages. None: no file.
    pub path: Option<PathBuf>,
    /// What the file holds.
    pub file: String,
    /// Name and value of environment variables; those without our prefix are passed over.
    pub variables: Vec<(String, String)>,
    /// Name of the setting and value, as the command line gave them.
    pub arguments: Vec<(String, String)>,
}

/// Where a value was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    File { path: String, line: usize },
    Variable(String),
    Argument(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line } => write!(formatter, "{path}, line {line}"),
            Self::Variable(name) => write!(formatter, "variable {name}"),
            Self::Argument(name) => write!(formatter, "command line, --{name}"),
        }
    }
}

/// Why the settings cannot be loaded; one line that says what to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceError {
    /// The file is no TOML.
    Malformed {
        path: String,
        line: usize,
        reason: String,
    },
    Unknown {
        name: String,
        origin: Origin,
    },
    Invalid {
        name: &'static str,
        value: String,
        origin: Origin,
        reason: String,
    },
}

impl fmt::Display for SourceError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { path, line, reason } => {
                write!(formatter, "{path}, line {line}: {reason}")
            }
            Self::Unknown { name, origin } => {
                write!(formatter, "unknown setting '{name}' ({origin})")?;
                match nearest(name) {
                    Some(row) => write!(formatter, "; did you mean '{}'?", row.name),
                    None => write!(formatter, "; `ringlane --help` lists them"),
                }
            }
            Self::Invalid { name, value, origin, reason } => {
                write!(formatter, "bad value '{value}' for {name} ({origin}): {reason}")
            }
        }
    }
}

impl std::error::Error for SourceError {}

impl Sources {
    /// Overrides `values` by what was said.
    pub(crate) fn apply(&self, values: &mut Values, machine: &Machine) -> Result<(), SourceError> {
        let path = self.path.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
        for entry in file::entries(&path, &self.file)? {
            let origin = Origin::File { path: path.clone(), line: entry.line };
            put(values, machine, &entry.name, &entry.text, origin)?;
        }
        for name in ROWS.iter().flat_map(names_of) {
            let variable = variable(name);
            if let Some((_, text)) = self.variables.iter().find(|(found, _)| *found == variable)
                && !is_service_link(text)
            {
                put(values, machine, name, text, Origin::Variable(variable))?;
            }
        }
        for (name, text) in &self.arguments {
            put(values, machine, name, text, Origin::Argument(name.clone()))?;
        }
        Ok(())
    }

    /// Variables with our prefix that no setting and none of our tools has: most likely a typing error.
    pub fn unknown_variables(&self) -> Vec<&str> {
        self.variables
            .iter()
            .map(|(name, _)| name.as_str())
            .filter(|name| name.starts_with(VARIABLE_PREFIX))
            // Kubernetes sets RINGLANE_SERVICE_HOST, RINGLANE_PORT_6379_TCP and their like.
            .filter(|name| !name.contains("_SERVICE_") && !name.contains("_PORT_"))
            .filter(|name| !TOOL_VARIABLES.contains(name))
            .filter(|name| !ROWS.iter().flat_map(names_of).any(|known| variable(known) == *name))
            .collect()
    }
}

/// What the tests and the measuring tools read, which start servers: no settings.
const TOOL_VARIABLES: [&str; 4] =
    ["RINGLANE_BINARY", "RINGLANE_PERF_BINARIES", "RINGLANE_PERF_PASSWORD", "RINGLANE_TRACES"];

/// Kubernetes sets `RINGLANE_PORT=tcp://10.0.0.1:6379` in every pod beside a service named ringlane.
fn is_service_link(text: &str) -> bool {
    text.starts_with("tcp://") || text.starts_with("udp://")
}

fn put(
    values: &mut Values,
    machine: &Machine,
    name: &str,
    text: &str,
    origin: Origin,
) -> Result<(), SourceError> {
    let Some(row) = row_named(name) else {
        return Err(SourceError::Unknown { name: name.to_owned(), origin });
    };
    values.put(row, text, machine).map_err(|invalid| SourceError::Invalid {
        name: row.name,
        value: text.to_owned(),
        origin,
        reason: match row.kind.example() {
            Some(example) => format!("{}; write it like {example}", invalid.0),
            None => invalid.0,
        },
    })
}

/// The setting whose name is at most two edits away.
fn nearest(name: &str) -> Option<&'static Row> {
    const EDITS_MAX: usize = 2;
    let name = name.to_ascii_lowercase().replace('_', "-");
    ROWS.iter()
        .map(|row| (edits(row.name.as_bytes(), name.as_bytes()), row))
        .filter(|(edits, _)| *edits <= EDITS_MAX)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, row)| row)
}

/// Levenshtein distance.
fn edits(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;

    fn machine() -> Machine {
        Machine { cores: vec![0], cpus: 1, memory_bytes: 1000 }
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    fn sources(file: &str, variables: &[(&str, &str)], arguments: &[(&str, &str)]) -> Sources {
        Sources {
            path: Some("r.toml".into()),
            file: file.to_owned(),
            variables: pairs(variables),
            arguments: pairs(arguments),
        }
    }

    #[test]
    fn each_source_overrides_the_one_before() {
        let file = "timeout = 1\nmaxclients = 1\nport = 1\nprotected-mode = false\n\
                    bind = [\"::1\", \"10.0.0.1\"]\nmaxmemory = \"1kb\"";
        let variables =
            [("RINGLANE_MAXCLIENTS", "2"), ("RINGLANE_PORT", "2"), ("RINGLANE_MAXMEMORY", "2kb")];
        let sources = sources(file, &variables, &[("port", "3")]);
        let settings = Settings::load(machine(), &sources).expect("valid");
        for (name, value) in [
            ("timeout", "1"),
            ("maxclients", "2"),
            ("port", "3"),
            ("protected-mode", "no"),
            ("bind", "::1 10.0.0.1"),
            ("maxmemory", "2048"),
            ("databases", "16"),
        ] {
            assert_eq!(settings.get(&[name.as_bytes()]), pairs(&[(name, value)]));
        }
    }

    #[test]
    fn mistakes_are_told_in_one_line() {
        for (file, variables, arguments, expected) in [
            (
                "port = 1\nmaxmemry = 1",
                &[][..],
                &[][..],
                "unknown setting 'maxmemry' (r.toml, line 2); did you mean 'maxmemory'?",
            ),
            (
                "port = 1\n\nmaxmemory = \"lots\"",
                &[],
                &[],
                "bad value 'lots' for maxmemory (r.toml, line 3): argument must be a memory or percent value; write it like 100mb, 1gb or 80%",
            ),
            (
                "",
                &[],
                &[("script-memory-limit", "1xb")],
                "bad value '1xb' for script-memory-limit (command line, --script-memory-limit): \
                 argument must be a memory value; write it like 64kb, 100mb or 1gb",
            ),
            ("port = 1\nport", &[], &[], "r.toml, line 2: "),
            ("[section]\nport = 1", &[], &[], "unknown setting 'section' (r.toml, line 1)"),
            (
                "",
                &[("RINGLANE_LANES", "0")],
                &[],
                "bad value '0' for lanes (variable RINGLANE_LANES): argument must be between 1 and 256 inclusive",
            ),
            (
                "",
                &[],
                &[("port", "http")],
                "bad value 'http' for port (command line, --port): argument couldn't be parsed into an integer",
            ),
        ] {
            let error = Settings::load(machine(), &sources(file, variables, arguments))
                .expect_err("refused")
                .to_string();
            assert!(error.starts_with(expected), "{error:?} against {expected:?}");
            assert!(!error.contains('\n'), "{error:?}");
        }
    }

    #[test]
    fn variables_of_others_are_told_apart() {
        let variables = [
            ("PATH", "/bin"),
            ("RINGLANE_PORT", "tcp://10.0.0.1:6379"),
            ("RINGLANE_SERVICE_HOST", "10.0.0.1"),
            ("RINGLANE_MAXMEMRY", "1"),
        ];
        let sources = sources("", &variables, &[]);
        assert_eq!(sources.unknown_variables(), ["RINGLANE_MAXMEMRY"]);
        let settings = Settings::load(machine(), &sources).expect("the link is passed over");
        assert_eq!(settings.start().port, 6379);
    }
}
