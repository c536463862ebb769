//! Keys whatever they hold: being there, names, types, copies. Expiry is in `expiry`.

use ringlane_base::Database;
use ringlane_store::{Exported, Key, NoticeClasses, Removal};

use crate::parse::{self, is};
use crate::{Args, CommandError, Context};

/// `DEL key`, `UNLINK key`, called once a key.
pub fn del_one(context: &mut Context<'_>) -> Result<(), CommandError> {
    let key = context.key(1);
    let removed = context.store.remove(&key, Removal::Deleted);
    if removed {
        context.notify(NoticeClasses::GENERIC, "del", &key);
    }
    context.reply.integer(i64::from(removed));
    Ok(())
}

/// `EXISTS key`, called once a key.
pub fn exists_one(context: &mut Context<'_>) -> Result<(), CommandError> {
    let key = context.key(1);
    let found = context.store.contains(&key);
    context.reply.integer(i64::from(found));
    Ok(())
}

/// `TOUCH key`, called once a key.
pub fn touch_one(context: &mut Context<'_>) -> Result<(), CommandError> {
    let key = context.key(1);
    let found = context.store.touch(&key);
    context.reply.integer(i64::from(found));
    Ok(())
}

/// `TYPE key`
pub fn type_of(context: &mut Context<'_>) -> Result<(), CommandError> {
    let key = context.key(1);
    // `object` leaves no mark, as in Redis: asking for the type is no use of the value.
    let name = context.store.object(&key).map_or("none", |object| object.type_name.name());
    context.reply.simple(name);
    Ok(())
}

/// `RENAME key newkey`
pub fn rename(context: &mut Context<'_>) -> Result<(), CommandError> {
    let (from, to) = (context.key(1), context.new_key(2)?);
    let exported = context.store.export(&from).ok_or(CommandError::NoSuchKey)?;
    if from.bytes != to.bytes {
        move_entry(context, &from, &to, &exported)?;
        context.notify(NoticeClasses::GENERIC, "rename_from", &from);
        context.notify(NoticeClasses::GENERIC, "rename_to", &to);
    }
    context.reply.simple("OK");
    Ok(())
}

/// `RENAMENX key newkey`
pub fn renamenx(context: &mut Context<'_>) -> Result<(), CommandError> {
    let (from, to) = (context.key(1), context.new_key(2)?);
    let exported = context.store.export(&from).ok_or(CommandError::NoSuchKey)?;
    let free = from.bytes != to.bytes && context.store.peek(&to).is_none();
    if free {
        move_entry(context, &from, &to, &exported)?;
        context.notify(NoticeClasses::GENERIC, "rename_from", &from);
        context.notify(NoticeClasses::GENERIC, "rename_to", &to);
    }
    context.reply.integer(i64::from(free));
    Ok(())
}

/// The database that MOVE names, if there is such a one.
pub fn move_database(args: Args<'_>, databases: u8) -> Option<Database> {
    parse::database(&args[2], databases).ok()
}

/// `MOVE key db`
pub fn move_key(context: &mut Context<'_>) -> Result<(), CommandError> {
    let database = parse::database(&context.args[2], context.limits.databases)?;
    if database == context.database {
        return Err(CommandError::SameObject);
    }
    let from = context.key(1);
    let to = Key { database, ..from };
    let moved = match context.store.export(&from) {
        Some(exported) if context.store.peek(&to).is_none() => {
            move_entry(context, &from, &to, &exported)?;
            context.notify(NoticeClasses::GENERIC, "move_from", &from);
            context.notify(NoticeClasses::GENERIC, "move_to", &to);
            true
        }
        Some(_) | None => false,
    };
    context.reply.integer(i64::from(moved));
    Ok(())
}

/// The copy comes first: if memory is refused, nothing has changed.
fn move_entry(
    context: &mut Context<'_>,
    from: &Key<'_>,
    to: &Key<'_>,
    exported: &Exported,
) -> Result<(), CommandError> {
    context.store.import(to, exported)?;
    context.store.remove(from, Removal::Deleted);
    Ok(())
}

/// What follows the keys of COPY: another database, and REPLACE.
fn copy_options(args: Args<'_>, databases: u8) -> Result<(Option<Database>, bool), CommandError> {
    let mut database = None;
    let mut replace = false;
    let mut rest = args.from(3).iter();
    while let Some(option) = rest.next() {
        if is(option, "replace") {
            replace = true;
        } else if is(option, "db") {
            let number = rest.next().ok_or(CommandError::Syntax)?;
            database = Some(parse::database(number, databases)?);
        } else {
            return Err(CommandError::Syntax);
        }
    }
    Ok((database, replace))
}

/// The database that COPY's `DB` names, if all its options are in order.
pub fn copy_database(args: Args<'_>, databases: u8) -> Option<Database> {
    copy_options(args, databases).ok()?.0
}

/// `COPY source destination [DB number] [REPLACE]`
pub fn copy(context: &mut Context<'_>) -> Result<(), CommandError> {
    let (database, replace) = copy_options(context.args, context.limits.databases)?;
    let database = database.unwrap_or(context.database);
    let from = context.key(1);
    let to = Key { database, ..context.new_key(2)? };
    if from.bytes == to.bytes && from.database == to.database {
        return Err(CommandError::SameObject);
    }
    let copied = match context.store.export(&from) {
        Some(mut exported) if replace || context.store.peek(&to).is_none() => {
            // Else the first change of either key would copy all of it, on its lane.
            let (elements, bytes) = exported.value.shared();
            context.limits.claim_of(elements, (elements, bytes))?;
            exported.value.unshare();
            context.store.import(&to, &exported)?;
            context.notify(NoticeClasses::GENERIC, "copy_to", &to);
            true
        }
        Some(_) | None => false,
    };
    context.reply.integer(i64::from(copied));
    Ok(())
}

/// `RANDOMKEY`, of this lane's store.
pub fn random(context: &mut Context<'_>) -> Result<(), CommandError> {
    match context.store.random_key(context.database) {
        Some(key) => context.reply.bulk(&key),
        None => context.reply.null(),
    }
    Ok(())
}
