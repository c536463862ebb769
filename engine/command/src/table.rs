//! THE command table. A command is one row (`rows/`) and one function in its family's file; arity
//! errors, routing, merging of lanes, `COMMAND`, help texts and the reference page derive from the
//! row. [`lookup`] finds a row by name, [`resolve`] the row of a whole command, or its refusal.

use crate::rows::{COMMANDS, COMMANDS_END, ROWS_END};
use crate::spec::CommandSpec;
use crate::{CommandError, parse};

/// How many commands there are, subcommands not counted.
pub const COMMAND_COUNT: usize = COMMANDS_END;
/// Every `CommandSpec::id`, of commands and subcommands, is below this.
pub const ID_COUNT: usize = ROWS_END;

/// Every command, in the table's order: a command's `id` is its position.
pub fn all() -> &'static [&'static CommandSpec] {
    &COMMANDS
}

/// Every command and every subcommand.
pub fn all_with_subcommands() -> impl Iterator<Item = &'static CommandSpec> {
    COMMANDS.iter().flat_map(|row| std::iter::once(*row).chain(row.subcommands))
}

/// The command of this name, case ignored. No allocation; one probe of a small table.
#[inline]
pub fn lookup(name: &[u8]) -> Option<&'static CommandSpec> {
    let wanted = Folded::of(name)?;
    let mut at = wanted.start();
    loop {
        let index = usize::from(INDEX[at]);
        if index == EMPTY {
            return None;
        }
        if NAMES[index] == wanted {
            return Some(COMMANDS[index]);
        }
        at = (at + 1) % INDEX_LEN;
    }
}

/// A command or subcommand by its full name, `get` or `config|get`.
pub fn find(full_name: &[u8]) -> Option<&'static CommandSpec> {
    match full_name.iter().position(|&byte| byte == b'|') {
        None => lookup(full_name),
        Some(bar) => lookup(&full_name[..bar])?.subcommand(&full_name[bar + 1..]),
    }
}

/// The row of a whole command, the subcommand's if it has one, with its arity checked. `args` are
/// the arguments, the name first.
#[inline]
pub fn resolve(args: &[&[u8]]) -> Result<&'static CommandSpec, CommandError> {
    let mut spec =
        args.first().and_then(|name| lookup(name)).ok_or_else(|| unknown_command(args))?;
    if !spec.subcommands.is_empty() && args.len() > 1 {
        spec = spec.subcommand(args[1]).ok_or_else(|| unknown_subcommand(spec, args[1]))?;
    }
    spec.check_arity(args.len())?;
    Ok(spec)
}

/// How much of an unknown name, and of its arguments together, an error tells.
const UNKNOWN_BYTES_MAX: usize = 128;

/// The refusal of a command that is not in the table, with what it began with.
#[cold]
pub fn unknown_command(args: &[&[u8]]) -> CommandError {
    let name = args.first().map_or(String::new(), |name| parse::printable(name, UNKNOWN_BYTES_MAX));
    let mut text = format!("ERR unknown command '{name}', with args beginning with: ");
    let mut told = 0;
    for argument in args.iter().skip(1) {
        if told >= UNKNOWN_BYTES_MAX {
            break;
        }
        let shown = parse::printable(argument, UNKNOWN_BYTES_MAX - told);
        told += argument.len().min(UNKNOWN_BYTES_MAX - told) + "'' ".len();
        text = text + "'" + &shown + "' ";
    }
    CommandError::Text(text)
}

#[cold]
fn unknown_subcommand(container: &CommandSpec, name: &[u8]) -> CommandError {
    let name = parse::printable(name, UNKNOWN_BYTES_MAX);
    let container = container.name.to_ascii_uppercase();
    CommandError::Text(format!("ERR unknown subcommand '{name}'. Try {container} HELP."))
}

/// A command's name of 1 to 24 bytes in a form that compares in a few instructions: its first and
/// last bytes, overlapping, and what is between them, each with the bit set that makes a capital
/// letter small.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Folded {
    head: u64,
    /// What neither end covers, of a name of more than 16 bytes.
    middle: u64,
    tail: u64,
    len: u8,
}

const FOLD: u64 = 0x2020_2020_2020_2020;

impl Folded {
    /// None for an empty name and for one that is longer than any command's.
    #[inline]
    const fn of(name: &[u8]) -> Option<Self> {
        let len = name.len();
        let (head, tail) = if let (Some(head), Some(tail)) =
            (name.first_chunk::<8>(), name.last_chunk::<8>())
        {
            (u64::from_le_bytes(*head), u64::from_le_bytes(*tail))
        } else if let (Some(head), Some(tail)) = (name.first_chunk::<4>(), name.last_chunk::<4>()) {
            (u32::from_le_bytes(*head) as u64, u32::from_le_bytes(*tail) as u64)
        } else if let [first, .., last] = name {
            // Two or three bytes: first, second and last.
            (*first as u64 | (name[1] as u64) << 8, *last as u64)
        } else if let [only] = name {
            (*only as u64, 0)
        } else {
            return None;
        };
        let middle = if len <= 16 {
            0
        } else if len <= 24 {
            let (_, rest) = name.split_at(8);
            let Some(middle) = rest.first_chunk::<8>() else { return None };
            u64::from_le_bytes(*middle)
        } else {
            return None;
        };
        Some(Self { head: head | FOLD, middle: middle | FOLD, tail: tail | FOLD, len: len as u8 })
    }

    /// Where the name's probe of the index begins.
    #[inline]
    const fn start(self) -> usize {
        let mixed = (self.head ^ self.tail.rotate_left(29) ^ self.len as u64)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (mixed >> (64 - INDEX_BITS)) as usize
    }
}

const INDEX_BITS: u32 = 11;
const INDEX_LEN: usize = 1 << INDEX_BITS;
const EMPTY: usize = u16::MAX as usize;
const _: () = assert!(COMMAND_COUNT < EMPTY && COMMAND_COUNT * 4 <= INDEX_LEN);

static NAMES: [Folded; COMMAND_COUNT] = {
    let mut names = [Folded { head: 0, middle: 0, tail: 0, len: 0 }; COMMAND_COUNT];
    let mut at = 0;
    while at < COMMAND_COUNT {
        let name = COMMANDS[at].name.as_bytes();
        let mut byte = 0;
        while byte < name.len() {
            // Folding is exact for letters alone; of `_`, only an unprintable byte is not told apart.
            assert!(name[byte].is_ascii_lowercase() || name[byte] == b'_');
            byte += 1;
        }
        names[at] = Folded::of(name).expect("1 to 24 letters");
        at += 1;
    }
    names
};

/// Open addressing: positions in `COMMANDS`, or `EMPTY`.
static INDEX: [u16; INDEX_LEN] = {
    let mut index = [EMPTY as u16; INDEX_LEN];
    let mut row = 0;
    while row < COMMAND_COUNT {
        let mut at = NAMES[row].start();
        while index[at] as usize != EMPTY {
            at = (at + 1) % INDEX_LEN;
        }
        index[at] = row as u16;
        row += 1;
    }
    index
};
