//! The reference page of all commands, written from the table (`docs/commands.md`).

use std::fmt::Write;

use crate::spec::{CommandSpec, Group};
use crate::{introspect, table};

const GROUPS: [(Group, &str); 16] = [
    (Group::String, "Strings"),
    (Group::Bitmap, "Bitmaps"),
    (Group::List, "Lists"),
    (Group::Hash, "Hashes"),
    (Group::Set, "Sets"),
    (Group::SortedSet, "Sorted sets"),
    (Group::Stream, "Streams"),
    (Group::HyperLogLog, "HyperLogLogs"),
    (Group::Geo, "Geographic indices"),
    (Group::Generic, "Keys"),
    (Group::Transactions, "Transactions"),
    (Group::Scripting, "Scripts and functions"),
    (Group::PubSub, "Channels"),
    (Group::Server, "Server"),
    (Group::Connection, "Connection"),
    (Group::Cluster, "Cluster"),
];

/// The page, in Markdown.
pub fn page() -> String {
    let mut page = String::from(
        "# Commands\n\nWritten from the command table (`engine/command/src/rows/`); a test \
         holds this page to it. *Since* is the version of Redis, or of Valkey where it says so, \
         that first had the command.\n",
    );
    for (group, title) in GROUPS {
        if !table::all().iter().any(|spec| spec.group == group) {
            continue;
        }
        write!(page, "\n## {title}\n\n| command | what it does | cost | since | ACL |\n|---|---|---|---|---|\n")
            .expect("a string takes all");
        let of_group = table::all().iter().filter(|spec| spec.group == group);
        for spec in of_group {
            if spec.subcommands.is_empty() {
                write_row(&mut page, spec);
            }
            for subcommand in spec.subcommands {
                write_row(&mut page, subcommand);
            }
        }
    }
    page
}

fn write_row(page: &mut String, spec: &CommandSpec) {
    let name = spec.name.to_ascii_uppercase().replace('|', " ");
    let arguments = spec.arguments.replace('|', "\\|");
    let usage = format!("{name} {arguments}");
    let categories = introspect::category_names(spec).join(" ");
    writeln!(
        page,
        "| `{}` | {} | {} | {} | {categories} |",
        usage.trim_end(),
        spec.summary,
        spec.complexity,
        spec.since
    )
    .expect("a string takes all");
}
