//! The reference page, written from the table.

use std::fmt::Write;

use crate::sources::variable;
use crate::table::{Group, Preset, ROWS, Row, When, names_of};

const HEAD: &str = "\
# Settings

Written by `ringlane --print-settings-reference` from the table in `net/settings/src/table.rs`; a test
holds it equal. Every setting can be given in four places, each overriding the one before:

1. its default,
2. a TOML file (`ringlane ringlane.toml`): `maxmemory = \"1gb\"`,
3. a variable of the environment: `RINGLANE_MAXMEMORY=1gb`,
4. the command line: `--maxmemory 1gb`.

A *live* setting also follows `CONFIG SET`; `CONFIG REWRITE` writes what holds into the file and keeps
its comments. Sizes take Redis's units: `1k` is 1000 bytes, `1kb` 1024, so `mb`, `gb`.
";

/// All of `docs/settings.md`.
pub fn reference() -> String {
    let mut page = HEAD.to_owned();
    for group in Group::ALL {
        let heading = format!("\n## {}\n", group.title());
        page.push_str(&heading);
        for row in ROWS.iter().filter(|row| row.group == group) {
            entry(&mut page, row);
        }
    }
    page
}

fn entry(page: &mut String, row: &Row) {
    let default = match row.default {
        Preset::Fixed("") => "empty".to_owned(),
        Preset::Fixed(text) => format!("`{text}`"),
        Preset::Machine { words, .. } => words.to_owned(),
    };
    let when = match row.when {
        When::Live => "live",
        When::Start => "at start",
    };
    let Row { name, meaning, kind, .. } = row;
    let (words, variable) = (kind.words(), variable(name));
    writeln!(
        page,
        "\n### {name}\n{meaning}.\n\n- takes: {words}\n- default: {default}\n- changes: {when}\n- variable: `{variable}`"
    )
    .expect("a String takes everything");
    let others: Vec<String> = names_of(row).skip(1).map(|name| format!("`{name}`")).collect();
    if !others.is_empty() {
        writeln!(page, "- also named: {}", others.join(", ")).expect("a String takes everything");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_in_docs_is_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/settings.md");
        if std::env::var_os("RINGLANE_WRITE").is_some() {
            std::fs::write(path, reference()).expect("the page can be written");
        }
        let page = std::fs::read_to_string(path).expect("docs/settings.md is readable");
        assert!(
            page == reference(),
            "docs/settings.md is behind the table: \
             RINGLANE_WRITE=1 cargo test -p ringlane-settings writes it anew"
        );
    }
}
