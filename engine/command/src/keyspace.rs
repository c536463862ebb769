//! Whole databases: counting, emptying, swapping, walking through.

use ringlane_base::{Database, glob};
use ringlane_store::types::Item;
use ringlane_store::{Store, TypeName};

use crate::parse::{self, is};
use crate::{Args, CommandError, Context, Reply};

/// Keys that one call of SCAN looks at, whatever COUNT says: a call with a greater one answers less
/// and the client goes on, so that no call holds its lane for long.
pub const SCAN_KEYS_MAX: usize = 2048;
/// What COUNT is if it is not given.
const SCAN_KEYS_DEFAULT: usize = 10;
/// Keys that KEYS looks at between two looks at the clock of its caller.
pub const KEYS_STEP: usize = 1024;

/// `DBSIZE`, of this lane's store.
pub fn dbsize(context: &mut Context<'_>) -> Result<(), CommandError> {
    let count = context.store.len(context.database);
    context.reply.integer(count as i64);
    Ok(())
}

/// `FLUSHALL [ASYNC | SYNC]`. Both mean the same: gone at once, freed in slices.
pub fn flushall(context: &mut Context<'_>) -> Result<(), CommandError> {
    check_flush_mode(context.args)?;
    context.store.flush(None);
    context.reply.simple("OK");
    Ok(())
}

/// `FLUSHDB [ASYNC | SYNC]`
pub fn flushdb(context: &mut Context<'_>) -> Result<(), CommandError> {
    check_flush_mode(context.args)?;
    context.store.flush(Some(context.database));
    context.reply.simple("OK");
    Ok(())
}

fn check_flush_mode(args: Args<'_>) -> Result<(), CommandError> {
    match args.from(1) {
        [] => Ok(()),
        [mode] if is(mode, "async") || is(mode, "sync") => Ok(()),
        _ => Err(CommandError::Syntax),
    }
}

/// `SWAPDB index1 index2`
pub fn swapdb(context: &mut Context<'_>) -> Result<(), CommandError> {
    let databases = context.limits.databases;
    let a = swap_index(&context.args[1], databases, "ERR invalid first DB index")?;
    let b = swap_index(&context.args[2], databases, "ERR invalid second DB index")?;
    let (a, b) = (a?, b?);
    if a != b {
        context.store.swap(a, b);
    }
    context.reply.simple("OK");
    Ok(())
}

/// What is no number is told at once; what is no database only after both numbers were read.
fn swap_index(
    text: &[u8],
    databases: u8,
    refusal: &'static str,
) -> Result<Result<Database, CommandError>, CommandError> {
    match parse::database(text, databases) {
        Err(error) if error != CommandError::DatabaseOutOfRange => {
            Err(CommandError::Fixed(refusal))
        }
        other => Ok(other),
    }
}

/// `KEYS pattern`, of this lane's store, at one go. A lane that must not be held calls
/// [`KeySearch::step`] itself.
pub fn keys(context: &mut Context<'_>) -> Result<(), CommandError> {
    let pattern = context.args.get(1).expect("arity was checked");
    let search = KeySearch { database: context.database, pattern };
    let mut found = KeyList::default();
    let mut cursor = 0;
    loop {
        let mut take = |key: &[u8]| found.push(key);
        cursor = search.step(context.store, cursor, KEYS_STEP, &mut take);
        if cursor == 0 {
            break;
        }
    }
    found.write(context);
    Ok(())
}

/// What KEYS looks for.
#[derive(Clone, Copy, Debug)]
pub struct KeySearch<'a> {
    pub database: Database,
    pub pattern: &'a [u8],
}

impl KeySearch<'_> {
    /// Looks at some `keys_max` keys from `cursor` on and gives those that match the pattern to
    /// `take`. Returns where to go on, 0 at the end. Starts with 0.
    pub fn step(
        self,
        store: &mut Store,
        cursor: u64,
        keys_max: usize,
        take: &mut dyn FnMut(&[u8]),
    ) -> u64 {
        store.scan(self.database, cursor, keys_max, &mut |key, _| {
            if glob::matches(self.pattern, key) {
                take(key);
            }
        })
    }
}

/// What SCAN was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanRequest<'a> {
    pub cursor: u64,
    pub count: usize,
    pub pattern: Option<&'a [u8]>,
    pub type_name: Option<&'a [u8]>,
    /// HSCAN's `NOVALUES`, ZSCAN's `NOSCORES`.
    pub names_only: bool,
}

/// What is walked through.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scanned {
    Keys,
    /// Of a set.
    Members,
    /// Of a hash, each with its value.
    Fields,
    /// Of a sorted set, each with its score.
    Scored,
}

impl<'a> ScanRequest<'a> {
    /// `SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]`
    pub fn parse(args: Args<'a>) -> Result<Self, CommandError> {
        Self::parse_options(scan_cursor(&args[1])?, args.from(2), Scanned::Keys)
    }

    /// What follows the cursor of SSCAN: `[MATCH pattern] [COUNT count]`. Redis reads the
    /// cursor, then looks at the key, then reads these.
    pub fn parse_elements(cursor: u64, options: &[&'a [u8]]) -> Result<Self, CommandError> {
        Self::parse_options(cursor, options, Scanned::Members)
    }

    /// The same of HSCAN, with `[NOVALUES]`.
    pub fn parse_fields(cursor: u64, options: &[&'a [u8]]) -> Result<Self, CommandError> {
        Self::parse_options(cursor, options, Scanned::Fields)
    }

    /// The same of ZSCAN, with `[NOSCORES]`.
    pub fn parse_scored(cursor: u64, options: &[&'a [u8]]) -> Result<Self, CommandError> {
        Self::parse_options(cursor, options, Scanned::Scored)
    }

    fn parse_options(
        cursor: u64,
        options: &[&'a [u8]],
        scanned: Scanned,
    ) -> Result<Self, CommandError> {
        let mut request = Self {
            cursor,
            count: SCAN_KEYS_DEFAULT,
            pattern: None,
            type_name: None,
            names_only: false,
        };
        let mut rest = options.iter().copied();
        while let Some(option) = rest.next() {
            if is(option, "novalues") {
                if scanned != Scanned::Fields {
                    return Err(CommandError::Fixed(
                        "ERR NOVALUES option can only be used in HSCAN",
                    ));
                }
                request.names_only = true;
                continue;
            }
            if is(option, "noscores") {
                if scanned != Scanned::Scored {
                    return Err(CommandError::Fixed(
                        "ERR NOSCORES option can only be used in ZSCAN",
                    ));
                }
                request.names_only = true;
                continue;
            }
            let value = rest.next().ok_or(CommandError::Syntax)?;
            if is(option, "count") {
                let count = parse::integer(value)?;
                if count < 1 {
                    return Err(CommandError::Syntax);
                }
                request.count = usize::try_from(count).unwrap_or(usize::MAX).min(SCAN_KEYS_MAX);
            } else if is(option, "match") {
                request.pattern = Some(value);
            } else if is(option, "type") && scanned == Scanned::Keys {
                request.type_name = Some(value);
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(request)
    }

    /// Whether an element is asked for.
    pub fn wants_element(&self, element: Item<'_>) -> bool {
        self.pattern
            .is_none_or(|pattern| glob::matches(pattern, element.bytes(&mut itoa::Buffer::new())))
    }

    /// The answer of a scan of what is not there.
    pub fn write_nothing(reply: &mut dyn Reply) {
        reply.array(2);
        reply.bulk(b"0");
        reply.array(0);
    }

    fn wants(&self, key: &[u8], type_name: TypeName) -> bool {
        let name = type_name.name().as_bytes();
        self.type_name.is_none_or(|wanted| wanted.eq_ignore_ascii_case(name))
            && self.pattern.is_none_or(|pattern| glob::matches(pattern, key))
    }
}

/// A SCAN cursor: decimal digits within 64 bits, with a plus before them if need be.
pub fn scan_cursor(text: &[u8]) -> Result<u64, CommandError> {
    const REFUSAL: CommandError = CommandError::Fixed("ERR invalid cursor");
    let digits = match text {
        [b'+', digits @ ..] if !digits.is_empty() => digits,
        _ => text,
    };
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(REFUSAL);
    }
    let add = |sum: u64, &digit: &u8| sum.checked_mul(10)?.checked_add(u64::from(digit - b'0'));
    digits.iter().try_fold(0, add).ok_or(REFUSAL)
}

/// `SCAN`, of this lane's store: its cursor is 0 when this store is through.
pub fn scan(context: &mut Context<'_>) -> Result<(), CommandError> {
    let request = ScanRequest::parse(context.args)?;
    let mut found = KeyList::default();
    let mut visit = |key: &[u8], type_name| {
        if request.wants(key, type_name) {
            found.push(key);
        }
    };
    let next = context.store.scan(context.database, request.cursor, request.count, &mut visit);
    context.reply.array(2);
    context.reply.bulk(itoa::Buffer::new().format(next).as_bytes());
    found.write(context);
    Ok(())
}

/// Keys one behind the other in one allocation: their number must be told before the first.
#[derive(Default)]
struct KeyList {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl KeyList {
    fn push(&mut self, key: &[u8]) {
        self.bytes.extend_from_slice(key);
        self.ends.push(self.bytes.len());
    }

    fn write(&self, context: &mut Context<'_>) {
        context.reply.array(self.ends.len());
        let mut start = 0;
        for &end in &self.ends {
            context.reply.bulk(&self.bytes[start..end]);
            start = end;
        }
    }
}
