//! `ringlane`: reads the settings, starts the server, and ends it when it is told to.
//!
//! Standard output gets one line, once every door is open: `ready port=6379 lane-ports=7379,7380`.
//! Everything else that is told goes to the log. A start that fails says why in one line on standard
//! error and exits with 1.

mod allocator;
mod arguments;
mod boot;
mod import;
mod limits;
mod logs;
mod machine;
mod mapped;
mod signals;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use arguments::Request;
use ringlane_settings::{Settings, Sources};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("ringlane: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let (path, arguments) = match arguments::parse(std::env::args_os())? {
        Request::Print(text) => {
            print!("{text}");
            return Ok(());
        }
        Request::Import(import) => {
            print!("{}", import.run()?);
            return Ok(());
        }
        Request::Serve { path, settings } => (path, settings),
    };
    let sources = sources(path, arguments)?;
    // As for an unknown option: what was meant to be set is not.
    if let Some(name) = sources.unknown_variables().first() {
        return Err(format!("the variable {name} is no setting; `ringlane --help` lists them"));
    }
    let settings = Settings::load(machine::probe(Path::new("/")), &sources)
        .map_err(|error| error.to_string())?;
    let logs = logs::install(&settings)?;
    boot::serve(&Arc::new(settings), logs)
}

/// The file that holds settings, if one is named, beside the other sources.
fn sources(path: Option<PathBuf>, arguments: Vec<(String, String)>) -> Result<Sources, String> {
    let path = path.or_else(|| std::env::var_os(PATH_VARIABLE).map(PathBuf::from));
    let file = match &path {
        Some(path) => std::fs::read_to_string(path)
            .map_err(|error| format!("cannot read the settings in {}: {error}", path.display()))?,
        None => String::new(),
    };
    // Absolute, so that REWRITE and INFO name the same file from anywhere.
    let path = path.map(|path| std::path::absolute(&path).unwrap_or(path));
    let variables = std::env::vars_os()
        .filter_map(|(name, text)| Some((name.into_string().ok()?, text.into_string().ok()?)))
        .filter(|(name, _)| name != PATH_VARIABLE)
        .collect();
    Ok(Sources { path, file, variables, arguments })
}

/// Names the settings' file where the command line does not.
const PATH_VARIABLE: &str = "RINGLANE_CONFIG";
