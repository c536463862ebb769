//! ACL, as far as there is anything to tell: there is one user, `default`, who may do everything. Changes
//! nothing; `requirepass` is the password.

use ringlane_command::{Args, CommandError, Reply, introspect, parse, table};

use super::{Outcome, Subcommand, auth, done};
use crate::core::Core;
use crate::ring::ConnectionId;

pub const SUBCOMMANDS: &[Subcommand] = &[
    ("cat", cat),
    ("getuser", get_user),
    ("list", list),
    ("users", |core, id, _| {
        done(core, id, |reply| {
            reply.array(1);
            reply.bulk(auth::USER);
        })
    }),
    ("whoami", |core, id, _| done(core, id, |reply| reply.bulk(auth::USER))),
];

/// In Redis's order.
const CATEGORIES: [&str; 21] = [
    "keyspace",
    "read",
    "write",
    "set",
    "sortedset",
    "list",
    "hash",
    "string",
    "bitmap",
    "hyperloglog",
    "geo",
    "stream",
    "pubsub",
    "admin",
    "fast",
    "slow",
    "blocking",
    "dangerous",
    "connection",
    "transaction",
    "scripting",
];

/// `ACL CAT [category]`
fn cat(core: &mut Core, id: ConnectionId, args: Args<'_>) -> Outcome {
    let names: Vec<&'static str> = match args.from(2) {
        [] => CATEGORIES.to_vec(),
        [category] => {
            let category = CATEGORIES.iter().find(|name| parse::is(category, name));
            let category = category.ok_or_else(|| {
                let category = super::quoted(&args[2]);
                CommandError::Text(format!("ERR Unknown category '{category}'"))
            })?;
            table::all_with_subcommands()
                .filter(|row| {
                    introspect::category_names(row).iter().any(|it| it[1..] == **category)
                })
                .map(|row| row.name)
                .collect()
        }
        _ => {
            let name = super::quoted(&args[1]);
            return Err(CommandError::Text(format!(
                "ERR unknown subcommand or wrong number of arguments for '{name}'. Try ACL HELP."
            )));
        }
    };
    done(core, id, |reply| {
        reply.array(names.len());
        for name in names {
            reply.bulk(name.as_bytes());
        }
    })
}

/// What is said of the user: `nopass` without a password. The hash of one is not told.
fn flags(core: &Core) -> &'static [&'static str] {
    if core.live.requirepass.is_some() { &["on"] } else { &["on", "nopass"] }
}

/// `ACL GETUSER username`
fn get_user(core: &mut Core, id: ConnectionId, args: Args<'_>) -> Outcome {
    let flags = flags(core);
    let known = args[2] == *auth::USER;
    done(core, id, |reply| {
        if !known {
            reply.null();
            return;
        }
        reply.map(6);
        reply.bulk(b"flags");
        reply.set(flags.len());
        for flag in flags {
            reply.bulk(flag.as_bytes());
        }
        reply.bulk(b"passwords");
        reply.array(0);
        for (name, rules) in [("commands", "+@all"), ("keys", "~*"), ("channels", "&*")] {
            reply.bulk(name.as_bytes());
            reply.bulk(rules.as_bytes());
        }
        reply.bulk(b"selectors");
        reply.array(0);
    })
}

/// `ACL LIST`
fn list(core: &mut Core, id: ConnectionId, _: Args<'_>) -> Outcome {
    let flags = flags(core).join(" ");
    done(core, id, |reply| {
        reply.array(1);
        reply.bulk(format!("user default {flags} ~* &* +@all").as_bytes());
    })
}
