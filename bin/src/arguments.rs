//! The command line, made from the table of settings.

use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command};
use ringlane_settings::{Group, Kind, ROWS, Row};

use crate::import::Import;

const REFERENCE: &str = "print-settings-reference";
const CONFIG: &str = "config";
const FILE: &str = "file";
const IMPORT: &str = "import";

const AFTER_HELP: &str = "\
Every option is also a variable (--maxmemory-policy: RINGLANE_MAXMEMORY_POLICY) and a key of the \
TOML file; the command line wins over variables, variables over the file. Sizes: 1k is 1000 bytes, \
1kb 1024, so mb and gb. docs/settings.md holds ranges and says what CONFIG SET changes live.

Examples:
  ringlane                                        port 6379 on loopback, every core, 80% of the memory
  ringlane --maxmemory 2gb --lanes 4
  ringlane --bind '*' --requirepass \"$PASSWORD\"   reachable from other hosts
  ringlane /etc/ringlane.toml --loglevel verbose
  ringlane --port 0                               prints the port it was given
  ringlane import --from redis://old-host:6379    copies a running Redis or Valkey into this host's server";

/// What the command line asks for.
pub enum Request {
    /// Print this and leave with success.
    Print(String),
    /// Copy another server's keys.
    Import(Import),
    Serve {
        /// The settings' file.
        path: Option<PathBuf>,
        /// Name and value as given.
        settings: Vec<(String, String)>,
    },
}

/// Reads the arguments, the program's name first. The error is one line.
pub fn parse(arguments: impl IntoIterator<Item = std::ffi::OsString>) -> Result<Request, String> {
    let matches = match command().try_get_matches_from(arguments) {
        Ok(matches) => matches,
        Err(error)
            if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) =>
        {
            return Ok(Request::Print(error.render().to_string()));
        }
        Err(error) => return Err(one_line(&error)),
    };
    if let Some((IMPORT, matches)) = matches.subcommand() {
        return Ok(Request::Import(import_of(matches)));
    }
    if matches.get_flag(REFERENCE) {
        return Ok(Request::Print(ringlane_settings::reference()));
    }
    let path = [CONFIG, FILE].iter().find_map(|name| matches.get_one::<PathBuf>(name)).cloned();
    Ok(Request::Serve { path, settings: settings(&matches) })
}

fn settings(matches: &ArgMatches) -> Vec<(String, String)> {
    let given = |row: &Row| {
        let values: Vec<&str> = matches.get_many::<String>(row.name)?.map(String::as_str).collect();
        // `--bind 127.0.0.1 --bind ::1` adds up for lists; for a single value the last one counts.
        let value =
            if row.kind.is_list() { values.join(" ") } else { (*values.last()?).to_owned() };
        Some((row.name.to_owned(), value))
    };
    ROWS.iter().filter_map(given).collect()
}

fn command() -> Command {
    let mut command = Command::new("ringlane")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Ringlane: an in-memory cache, one thread per core, for any Redis client")
        .after_help(AFTER_HELP)
        .arg(
            Arg::new(FILE)
                .value_name("FILE")
                .value_parser(clap::value_parser!(PathBuf))
                .help("TOML file with settings; CONFIG REWRITE writes it"),
        )
        .arg(
            Arg::new(CONFIG)
                .long(CONFIG)
                .value_name("FILE")
                .conflicts_with(FILE)
                .value_parser(clap::value_parser!(PathBuf))
                .help("The same file, as an option [variable: RINGLANE_CONFIG]"),
        )
        .arg(
            Arg::new(REFERENCE)
                .long(REFERENCE)
                .action(ArgAction::SetTrue)
                .help("Print docs/settings.md and exit"),
        );
    command = command.subcommand(import_command());
    for group in Group::ALL {
        for row in ROWS.iter().filter(|row| row.group == group) {
            command = command.arg(option(row));
        }
    }
    command
}

fn import_command() -> Command {
    let number = |name, value, text| Arg::new(name).long(name).value_name(value).help(text);
    Command::new(IMPORT)
        .about("Copy every key of a running Redis, Valkey or Ringlane into another server")
        .after_help(
            "Keys keep their expiry. Writes that the source takes meanwhile may be missed: point \
             the application at the new server first and copy with --keep-existing, so that what \
             it has written there stays.\n\nFunctions are not copied: FUNCTION DUMP on the source and \
             FUNCTION RESTORE on the target do that.\n\nInterrupted, the same command again goes on \
             where it was if --state names a file; otherwise it copies all from the beginning.",
        )
        .arg(
            number("from", "URL", "Where the keys are: redis://[user:password@]host:port[/database]")
                .required(true),
        )
        .arg(
            number("to", "URL", "Where they go [default: redis://127.0.0.1:6379]")
                .default_value("redis://127.0.0.1:6379")
                .hide_default_value(true),
        )
        .arg(number("match", "PATTERN", "Only keys that match this glob"))
        .arg(
            number("database", "N", "Only this database; may be repeated [default: all]")
                .action(ArgAction::Append)
                .value_parser(clap::value_parser!(i64).range(0..)),
        )
        .arg(
            Arg::new("keep-existing")
                .long("keep-existing")
                .action(ArgAction::SetTrue)
                .help("Leave keys alone that are already there, instead of replacing them"),
        )
        .arg(
            number("batch", "N", "Keys asked for at once [default: 500]")
                .default_value("500")
                .hide_default_value(true)
                .value_parser(clap::value_parser!(u64).range(1..=100_000)),
        )
        .arg(
            number("state", "FILE", "Keep how far the copy has come, and go on from there")
                .value_parser(clap::value_parser!(PathBuf)),
        )
}

fn import_of(matches: &ArgMatches) -> Import {
    let text = |name| matches.get_one::<String>(name).cloned();
    Import {
        from: text("from").expect("it is required"),
        to: text("to").expect("it has a default"),
        pattern: text("match"),
        databases: matches.get_many("database").unwrap_or_default().copied().collect(),
        keep_existing: matches.get_flag("keep-existing"),
        batch: usize::try_from(*matches.get_one::<u64>("batch").expect("it has a default"))
            .expect("bounded by its range"),
        state: matches.get_one::<PathBuf>("state").cloned(),
    }
}

fn option(row: &'static Row) -> Arg {
    let default = match row.default.words() {
        "" => "empty",
        words => words,
    };
    let names = if let Kind::Choice(_) = row.kind {
        format!("one of: {}; ", row.kind.words())
    } else {
        String::new()
    };
    Arg::new(row.name)
        .long(row.name)
        .value_name(row.kind.placeholder())
        .action(ArgAction::Append)
        .allow_hyphen_values(true)
        .help_heading(row.group.title())
        .help(format!("{} [{names}default: {default}]", row.meaning))
}

/// The error without usage and colours.
fn one_line(error: &clap::Error) -> String {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(_) | None => None,
    };
    let argument = text(ContextKind::InvalidArg).unwrap_or_default();
    let importing = error
        .get(ContextKind::Usage)
        .is_some_and(|usage| usage.to_string().contains(&format!("ringlane {IMPORT}")));
    let help = if importing { "ringlane import --help" } else { "ringlane --help" };
    match error.kind() {
        ErrorKind::UnknownArgument if !argument.starts_with('-') && importing => {
            format!("import takes options alone: '{argument}' is none; `{help}` lists them")
        }
        ErrorKind::UnknownArgument if !argument.starts_with('-') => {
            format!("one settings file is enough: '{argument}' is too many")
        }
        ErrorKind::UnknownArgument => match text(ContextKind::SuggestedArg) {
            Some(nearest) => format!("unknown option '{argument}'; did you mean '{nearest}'?"),
            None => format!("unknown option '{argument}'; `{help}` lists them"),
        },
        ErrorKind::MissingRequiredArgument => match error.get(ContextKind::InvalidArg) {
            Some(ContextValue::Strings(missing)) => {
                format!("{} is needed; `{help}` tells the options", missing.join(", "))
            }
            Some(_) | None => format!("something is missing; `{help}` tells what is needed"),
        },
        ErrorKind::InvalidValue if text(ContextKind::InvalidValue).is_none_or(|v| v.is_empty()) => {
            format!("option '{argument}' needs a value")
        }
        _ => {
            let rendered = error.render().to_string();
            let first = rendered.lines().next().unwrap_or_default();
            first.trim_start_matches("error: ").to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> String {
        let arguments = std::iter::once("ringlane").chain(line.split_whitespace());
        match parse(arguments.map(Into::into)) {
            Ok(Request::Print(text)) => text,
            Ok(Request::Serve { path, settings }) => {
                let path = path.map(|path| path.display().to_string()).unwrap_or_default();
                let words: Vec<String> =
                    settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
                format!("{path}:{}", words.join(","))
            }
            Ok(Request::Import(import)) => format!("{import:?}"),
            Err(line) => format!("! {line}"),
        }
    }

    #[test]
    fn the_command_is_well_formed() {
        command().debug_assert();
    }

    #[test]
    fn options_are_the_settings() {
        for (line, expected) in [
            ("", ":"),
            ("--maxmemory 1gb --port 0", ":port=0,maxmemory=1gb"),
            ("r.toml --timeout 5", "r.toml:timeout=5"),
            ("--config r.toml", "r.toml:"),
            ("--bind ::1 --bind -10.0.0.1", ":bind=::1 -10.0.0.1"),
            ("--port 1 --port=2", ":port=2"),
            ("--slowlog-log-slower-than -1", ":slowlog-log-slower-than=-1"),
            ("--maxmemry 1", "! unknown option '--maxmemry'; did you mean '--maxmemory'?"),
            ("--zzz", "! unknown option '--zzz'; `ringlane --help` lists them"),
            ("a.toml b.toml", "! one settings file is enough: 'b.toml' is too many"),
            ("import", "! --from <URL> is needed; `ringlane import --help` tells the options"),
            (
                "import redis://old-host",
                "! import takes options alone: 'redis://old-host' is none; `ringlane import --help` \
                 lists them",
            ),
            ("import --zzz", "! unknown option '--zzz'; `ringlane import --help` lists them"),
        ] {
            assert_eq!(parsed(line), expected, "{line:?}");
        }
        assert!(parsed("--port").starts_with("! "), "{}", parsed("--port"));
    }

    #[test]
    fn help_lists_every_setting_under_its_heading() {
        let help = parsed("--help");
        for row in ROWS {
            assert!(help.contains(&format!("--{} ", row.name)), "{}", row.name);
        }
        for group in Group::ALL {
            assert!(help.contains(&format!("\n{}:\n", group.title())));
        }
    }
}
