//! The rows of the command table, a file per family: a command is added by one row here and one
//! function in its family's file. The chain of `up to` constants numbers them.

use crate::spec::CommandSpec;

/// What clients are told in `COMMAND`'s tips.
pub mod tip {
    pub const MULTI_SHARD: &str = "request_policy:multi_shard";
    pub const ALL_SHARDS: &str = "request_policy:all_shards";
    pub const ALL_NODES: &str = "request_policy:all_nodes";
    pub const SPECIAL_REQUEST: &str = "request_policy:special";
    pub const SUM: &str = "response_policy:agg_sum";
    pub const MIN: &str = "response_policy:agg_min";
    pub const SUCCEEDED: &str = "response_policy:all_succeeded";
    pub const ANY_SUCCEEDED: &str = "response_policy:one_succeeded";
    pub const ALL_TRUE: &str = "response_policy:agg_logical_and";
    pub const SPECIAL: &str = "response_policy:special";
    pub const VARIES: &str = "nondeterministic_output";
    pub const UNORDERED: &str = "nondeterministic_output_order";
}

/// Rows: `"name" Arity(n) Access Keys Merge => Run(who), "arguments"`, then
/// `[flags] [categories] [what happens to the keys] [tips]`, then
/// `Group "since" "complexity" "summary"` and, for a container, `of SUBCOMMANDS`; for
/// a command that can name another database, `at` the function that reads which; if what happens to
/// the key depends on the arguments, a comma and `by` the function that tells it; if patterns among them
/// name keys, a comma and `forms` the function that tells which; if it is deprecated, a comma and
/// `instead`, since which version and what is said now.
macro_rules! commands {
    ($table:ident from $first:expr, up to $end:ident; $(
        $name:literal $arity:ident($count:literal) $access:ident $keys:ident $(($key_at:literal))? $merge:ident
        => $run:ident($target:path), $arguments:literal
        [$($flag:ident)*] [$($category:ident)*] [$($key_flags:literal),*] [$($tip:ident)*]
        $group:ident $since:literal $complexity:literal $summary:literal
        $(of $subcommands:ident)? $(at $second_database:path)? $(, by $key_flags_by:path)? $(, forms $formed_keys:path)?
        $(, instead $deprecated:literal $instead:literal)? ;
    )*) => {
        pub const $end: usize = {
            const NAMES: &[&str] = &[$($name),*];
            $first + NAMES.len()
        };
        pub static $table: &[$crate::spec::CommandSpec] = &$crate::rows::numbered($first, [$($crate::spec::CommandSpec {
            name: $name,
            id: 0,
            arity: $crate::spec::Arity::$arity($count),
            access: $crate::spec::Access::$access,
            keys: $crate::spec::Keys::$keys$(($key_at))?,
            merge: $crate::spec::Merge::$merge,
            flags: $crate::spec::Flags::empty()$(.union($crate::spec::Flags::$flag))*,
            group: $crate::spec::Group::$group,
            since: $since,
            complexity: $complexity,
            summary: $summary,
            deprecated: deprecated!($($deprecated $instead)?),
            arguments: $arguments,
            member: $crate::spec::member_in($arguments),
            categories: $crate::spec::Categories::empty()$(.union($crate::spec::Categories::$category))*,
            key_flags: &[$($key_flags),*],
            tips: &[$($crate::rows::tip::$tip),*],
            subcommands: subcommands!($($subcommands)?),
            second_database: optional!($($second_database)?),
            key_flags_by: optional!($($key_flags_by)?),
            formed_keys: optional!($($formed_keys)?),
            run: $crate::spec::Run::$run($target),
        }),*]);
    };
}

macro_rules! subcommands {
    () => {
        &[]
    };
    ($table:ident) => {
        $table
    };
}

macro_rules! deprecated {
    () => {
        None
    };
    ($since:literal $instead:literal) => {
        Some($crate::spec::Deprecated { since: $since, instead: $instead })
    };
}

macro_rules! optional {
    () => {
        None
    };
    ($function:path) => {
        Some($function)
    };
}

mod bitmaps;
mod geo;
mod hashes;
mod hyperloglogs;
mod keys;
mod lists;
mod pubsub;
mod scripting;
mod server;
mod sets;
mod sorted_sets;
mod streams;
mod strings;
mod subcommands;
mod transactions;

pub const fn numbered<const N: usize>(
    first: usize,
    mut rows: [CommandSpec; N],
) -> [CommandSpec; N] {
    let mut at = 0;
    while at < N {
        rows[at].id = (first + at) as u16;
        at += 1;
    }
    rows
}

/// How many commands there are, subcommands not counted.
pub const COMMANDS_END: usize = server::SERVER_END;
/// One more than the highest number of a row.
pub const ROWS_END: usize = scripting::FUNCTION_END;

/// Every command, in the order of their numbers.
pub static COMMANDS: [&CommandSpec; COMMANDS_END] = gathered(&[
    strings::STRINGS,
    keys::KEYS,
    hashes::HASHES,
    lists::LISTS,
    sets::SETS,
    sorted_sets::SORTED_SETS,
    streams::STREAMS,
    bitmaps::BITMAPS,
    hyperloglogs::HYPERLOGLOGS,
    geo::GEO,
    scripting::SCRIPTING,
    transactions::TRANSACTIONS,
    pubsub::PUBSUB,
    server::SERVER,
]);

const fn gathered<const N: usize>(
    families: &[&'static [CommandSpec]],
) -> [&'static CommandSpec; N] {
    let mut all = [&families[0][0]; N];
    let (mut family, mut at) = (0, 0);
    while family < families.len() {
        let mut row = 0;
        while row < families[family].len() {
            all[at] = &families[family][row];
            at += 1;
            row += 1;
        }
        family += 1;
    }
    assert!(at == N);
    all
}
