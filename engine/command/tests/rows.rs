//! What holds for every row of the table.

use std::collections::HashSet;

use ringlane_base::Database;
use ringlane_command::table::{self, COMMAND_COUNT, ID_COUNT};
use ringlane_command::{Access, Args, Arity, Keys, Merge, Run};

#[test]
fn names_are_found_in_any_case_and_nothing_else_is() {
    for spec in table::all() {
        let mixed: String = spec
            .name
            .chars()
            .enumerate()
            .map(|(at, letter)| if at % 2 == 0 { letter.to_ascii_uppercase() } else { letter })
            .collect();
        for name in [spec.name, &spec.name.to_uppercase(), &mixed] {
            assert_eq!(table::lookup(name.as_bytes()).map(|found| found.id), Some(spec.id));
        }
        let bytes = spec.name.as_bytes();
        for at in 0..bytes.len() {
            // Bytes that share a letter's low bits, and a name that is cut or grown.
            for other in [bytes[at] & 0x1f, bytes[at] | 0x80, b'_', b'@', 0, b' '] {
                let mut name = bytes.to_vec();
                if name[at] == other {
                    continue;
                }
                name[at] = other;
                assert!(table::lookup(&name).is_none(), "{}", name.escape_ascii());
            }
        }
        assert!(table::lookup(&[bytes, b"\0"].concat()).is_none());
        assert!(table::lookup(&[bytes, b" "].concat()).is_none());
        assert!(table::lookup(&[bytes, &vec![b'x'; 65_536][..]].concat()).is_none());
    }
    assert!(table::lookup(b"").is_none());
    assert!(table::lookup(b"x").is_none());
}

#[test]
fn ids_are_positions_and_names_are_unique() {
    let rows: Vec<_> = table::all_with_subcommands().collect();
    assert_eq!(rows.len(), ID_COUNT);
    let ids: HashSet<_> = rows.iter().map(|spec| usize::from(spec.id)).collect();
    assert_eq!(ids.len(), ID_COUNT);
    assert!(ids.iter().all(|&id| id < ID_COUNT));
    let names: HashSet<_> = rows.iter().map(|spec| spec.name).collect();
    assert_eq!(names.len(), ID_COUNT);
    for (position, spec) in table::all().iter().enumerate() {
        assert_eq!(usize::from(spec.id), position);
    }
    assert_eq!(table::all().len(), COMMAND_COUNT);
}

/// Whether the lane that holds the connection runs it.
fn serves(spec: &ringlane_command::CommandSpec) -> bool {
    matches!(spec.run, Run::Serve(_))
}

#[test]
fn rows_do_not_contradict_themselves() {
    for spec in table::all_with_subcommands() {
        let name = spec.name;
        let least = match spec.arity {
            Arity::Exactly(count) | Arity::AtLeast(count) => count,
        };
        assert!(least >= 1 && !spec.summary.is_empty() && !spec.complexity.is_empty(), "{name}");
        assert_eq!(spec.key_flags.is_empty(), spec.keys == Keys::None, "{name}");
        assert!(
            spec.keys == Keys::None || spec.access != Access::Neither || serves(spec),
            "{name}"
        );
        match spec.merge {
            Merge::Single => {
                let single = matches!(spec.keys, Keys::None | Keys::First | Keys::Second);
                assert!(single || serves(spec), "{name}");
            }
            Merge::Ordered | Merge::Sum => assert_eq!(spec.keys, Keys::All, "{name}"),
            Merge::Together => {
                let several = spec.keys != Keys::None && spec.keys != Keys::First;
                assert!(several || spec.formed_keys.is_some(), "{name}");
            }
            Merge::SpreadSum
            | Merge::SpreadOk
            | Merge::SpreadJoin
            | Merge::Cursor
            | Merge::Pick => {
                assert!(spec.keys == Keys::None && matches!(spec.run, Run::Store(_)), "{name}");
            }
        }
        for subcommand in spec.subcommands {
            assert_eq!(subcommand.name, format!("{name}|{}", subcommand.short_name()));
            assert_eq!(
                spec.subcommand(subcommand.short_name().as_bytes()).unwrap().id,
                subcommand.id
            );
        }
        if !spec.subcommands.is_empty() {
            assert!(spec.subcommand(b"HELP").is_some(), "{name}");
        }
    }
}

#[test]
fn keys_are_found() {
    let positions = |words: &str| -> Vec<usize> {
        let args: Vec<&[u8]> = words.split(' ').map(str::as_bytes).collect();
        table::resolve(&args).unwrap().key_positions(args.len(), |index| args[index]).collect()
    };
    assert_eq!(positions("GET k"), [1]);
    assert_eq!(positions("SET k v PX 10"), [1]);
    assert_eq!(positions("MGET a b c"), [1, 2, 3]);
    assert_eq!(positions("MSET a 1 b 2"), [1, 3]);
    assert_eq!(positions("COPY a b DB 1"), [1, 2]);
    assert_eq!(positions("OBJECT FREQ k"), [2]);
    assert_eq!(positions("MEMORY USAGE k SAMPLES 5"), [2]);
    assert_eq!(positions("OBJECT HELP"), [0; 0]);
    assert_eq!(positions("PING"), [0; 0]);
}

#[test]
fn members_stand_where_the_arguments_say() {
    for (name, position) in [
        ("hset", Some(2)),
        ("hget", Some(2)),
        ("hgetall", None),
        ("hexpire", Some(5)),
        ("hgetex", Some(4)),
        ("sadd", Some(2)),
        ("smembers", None),
        ("srandmember", None),
        ("zadd", Some(3)),
        ("zincrby", Some(3)),
        ("zrange", None),
        ("zrank", Some(2)),
        ("geoadd", Some(4)),
        ("geopos", None),
        ("georadiusbymember", Some(2)),
        ("get", None),
    ] {
        let spec = table::find(name.as_bytes()).expect("a command");
        assert_eq!(spec.member_position(), position, "{name}");
    }
}

#[test]
fn copies_name_the_database_of_their_second_key() {
    let database = |words: &str, position: usize| {
        let slices: Vec<&[u8]> = words.split(' ').map(str::as_bytes).collect();
        let spec = table::lookup(slices[0]).expect("a command");
        spec.key_database(Args::new(&slices, &[]), position, Database(3), 16)
    };
    assert_eq!(database("COPY a b DB 5", 1), Database(3));
    assert_eq!(database("COPY a b DB 5", 2), Database(5));
    assert_eq!(database("COPY a b replace db 5", 2), Database(5));
    assert_eq!(database("COPY a b DB 1 DB 2", 2), Database(2));
    assert_eq!(database("COPY a b", 2), Database(3));
    assert_eq!(database("COPY a b DB x", 2), Database(3));
    assert_eq!(database("COPY a b DB 16", 2), Database(3));
    assert_eq!(database("COPY a b DB", 2), Database(3));
    assert_eq!(database("COPY a b DB 5 FOO", 2), Database(3));
    assert_eq!(database("RENAME a b", 2), Database(3));
}

/// `RINGLANE_WRITE=1 cargo test -p ringlane-command --test rows` writes the pages anew.
#[test]
fn the_pages_are_the_tables() {
    for (name, page) in [
        ("commands.md", ringlane_command::reference::page()),
        ("compatibility.md", ringlane_command::compatibility::page()),
    ] {
        let path = format!("{}/../../docs/{name}", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("RINGLANE_WRITE").is_some() {
            std::fs::write(&path, &page).expect("the page can be written");
        }
        let written = std::fs::read_to_string(&path).expect("the page is there");
        assert!(
            written == page,
            "docs/{name} is stale: RINGLANE_WRITE=1 cargo test -p ringlane-command --test rows writes it anew"
        );
    }
}
