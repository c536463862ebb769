//! Holds the crates' dependencies on each other to the drawing in ARCHITECTURE.md, and the engine to
//! its promise of holding no socket, thread, clock or async.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Which crates of ours each imports, tests apart.
const ALLOWED: [(&str, &[&str]); 11] = [
    ("engine/base", &[]),
    ("engine/store", &["base"]),
    ("engine/command", &["base", "store"]),
    ("engine/script", &["base", "store", "command", "resp"]),
    ("net/resp", &[]),
    ("net/settings", &["base", "store"]),
    ("net/serve", &["base", "store", "command", "script", "resp", "settings"]),
    ("bin", &["store", "settings", "serve"]),
    ("benches", &["base", "store", "command", "resp"]),
    ("perf", &["base", "store"]),
    ("tests/support", &["resp"]),
];

/// Crates that do not know of sockets, threads, clocks or async, and what would bring them in.
const PURE: [&str; 5] =
    ["engine/base", "engine/store", "engine/command", "engine/script", "net/resp"];
const IMPURE: [&str; 10] = [
    "std::net",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "SystemTime::now",
    "Instant::now",
    "async fn",
    "glommio",
    "tokio",
    "io_uring",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("bin is in the root").to_owned()
}

fn manifest(path: &Path) -> toml_edit::DocumentMut {
    let text = fs::read_to_string(path).expect("the manifest is readable");
    text.parse().expect("the manifest is TOML")
}

#[test]
fn crates_import_whom_the_drawing_says() {
    for (folder, allowed) in ALLOWED {
        let manifest = manifest(&root().join(folder).join("Cargo.toml"));
        let ours: BTreeSet<&str> = manifest["dependencies"]
            .as_table_like()
            .map(|table| {
                table.iter().filter_map(|(name, _)| name.strip_prefix("ringlane-")).collect()
            })
            .unwrap_or_default();
        let allowed: BTreeSet<&str> = allowed.iter().copied().collect();
        let surplus: Vec<&&str> = ours.difference(&allowed).collect();
        assert!(surplus.is_empty(), "{folder} may not import {surplus:?}");
        let unused: Vec<&&str> = allowed.difference(&ours).collect();
        assert!(unused.is_empty(), "{folder} no longer imports {unused:?}: mend the drawing");
    }
}

#[test]
fn every_file_that_the_map_names_is_there() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("readable");
    let folders = ALLOWED.iter().map(|(folder, _)| root().join(folder));
    let files: Vec<PathBuf> = folders.flat_map(|folder| sources(&folder)).collect();
    // Between two backquotes: every second piece.
    let named = text.split('`').skip(1).step_by(2).map(Path::new);
    let named: Vec<&Path> = named.filter(|name| is_rust(name)).collect();
    assert!(named.len() > 40, "{named:?}");
    for name in named {
        assert!(files.iter().any(|file| file.ends_with(name)), "there is no {}", name.display());
    }
}

#[test]
fn every_crate_of_the_workspace_is_in_the_drawing() {
    let manifest = manifest(&root().join("Cargo.toml"));
    let members = manifest["workspace"]["members"].as_array().expect("a list of folders");
    let members: BTreeSet<&str> = members.iter().filter_map(|member| member.as_str()).collect();
    let drawn: BTreeSet<&str> = ALLOWED.iter().map(|(folder, _)| *folder).collect();
    assert_eq!(members, drawn);
}

#[test]
fn the_engine_has_no_socket_thread_or_clock() {
    for folder in PURE {
        for file in sources(&root().join(folder).join("src")) {
            let text = fs::read_to_string(&file).expect("readable");
            let before_tests = text.split("#[cfg(test)]").next().unwrap_or_default();
            for (number, line) in before_tests.lines().enumerate() {
                let code = line.split("//").next().unwrap_or_default();
                for word in IMPURE {
                    let place = format!("{}:{}", file.display(), number + 1);
                    assert!(!code.contains(word), "{place} uses {word}; make it an argument");
                }
            }
        }
    }
}

/// Every Rust file below a folder, of which there is at least one.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    collect(folder, &mut found);
    assert!(!found.is_empty(), "{} holds no Rust", folder.display());
    found
}

fn is_rust(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs")
}

/// Folders without Rust below it are fine: results of a measurement, say.
fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            collect(&path, found);
        } else if is_rust(&path) {
            found.push(path);
        }
    }
}

/// Lines of a file before its tests.
const FILE_LINES_MAX: usize = 800;

#[test]
fn files_stay_readable_and_finished() {
    // Put together here, so that this file is not found by its own search.
    let unfinished = [["TO", "DO"], ["FIX", "ME"], ["unimple", "mented!"], ["#[ig", "nore"]];
    let unfinished = unfinished.map(|parts| parts.concat());
    for (folder, _) in ALLOWED {
        for file in sources(&root().join(folder)) {
            let text = fs::read_to_string(&file).expect("readable");
            let lines = text.lines().take_while(|line| *line != "#[cfg(test)]").count();
            assert!(lines <= FILE_LINES_MAX, "{} has {lines} lines", file.display());
            for word in &unfinished {
                assert!(!text.contains(word.as_str()), "{} holds {word}", file.display());
            }
        }
    }
}
