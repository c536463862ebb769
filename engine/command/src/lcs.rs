//! The longest common subsequence of two strings, by rows of bits: 64 cells of the classical
//! matrix a step, and one bit a cell kept instead of four bytes.
//! Source: Hyyrö, "Bit-parallel LCS-length computation revisited", AWOCA 2004.
//!
//! Cell `(i, j)` is the length for the first `i` bytes of `a` and `j` of `b`. Bit `j` of row `i` says
//! that it is one more than its left neighbour, `(i, j - 1)`.

use crate::parse::{self, is};
use crate::strings::with_bytes;
use crate::{Args, CommandError, Context};

/// The most bytes in either string: two such take 4 million steps (rows times words a row), some 12 ms
/// of CPU time, and 32 MiB for the rows. Redis refuses what needs more than the memory that it may have.
const BYTES_MAX: usize = 1 << 14;
/// Steps in the time that it takes to go through one element.
const STEPS_AN_ELEMENT: usize = 64;

const TOO_LONG: CommandError = CommandError::Fixed("ERR String too long for LCS");

const WORD_BITS: usize = u64::BITS as usize;

#[derive(Clone, Copy, Default)]
struct LcsOptions {
    length_only: bool,
    ranges: bool,
    with_lengths: bool,
    length_min: usize,
}

impl LcsOptions {
    fn parse(args: Args<'_>) -> Result<Self, CommandError> {
        let mut options = Self::default();
        let mut rest = args.from(3).iter();
        while let Some(option) = rest.next() {
            if is(option, "len") {
                options.length_only = true;
            } else if is(option, "idx") {
                options.ranges = true;
            } else if is(option, "withmatchlen") {
                options.with_lengths = true;
            } else if is(option, "minmatchlen") {
                let length = parse::integer(rest.next().ok_or(CommandError::Syntax)?)?;
                options.length_min = usize::try_from(length).unwrap_or(0);
            } else {
                return Err(CommandError::Syntax);
            }
        }
        if options.length_only && options.ranges {
            let text = "ERR If you want both the length and indexes, please just use IDX.";
            return Err(CommandError::Fixed(text));
        }
        Ok(options)
    }
}

/// `LCS key1 key2 [LEN] [IDX] [MINMATCHLEN length] [WITHMATCHLEN]`
pub fn lcs(context: &mut Context<'_>) -> Result<(), CommandError> {
    let a = text_of(context, 1)?;
    let b = text_of(context, 2)?;
    let options = LcsOptions::parse(context.args)?;
    let (Some(a), Some(b)) = (a, b) else { return Err(TOO_LONG) };
    context.limits.claim(a.len() * b.len().div_ceil(WORD_BITS) / STEPS_AN_ELEMENT)?;
    let matrix = Matrix::compute(&a, &b, !options.length_only);
    if options.length_only {
        context.reply.integer(matrix.length as i64);
        return Ok(());
    }
    let trace = matrix.trace(&a, &b);
    if !options.ranges {
        context.reply.bulk(&trace.subsequence);
        return Ok(());
    }
    let long_enough = |range: &&Range| range.length >= options.length_min;
    let shown: Vec<_> = trace.ranges.iter().filter(long_enough).collect();
    let reply = &mut *context.reply;
    reply.map(2);
    reply.bulk(b"matches");
    reply.array(shown.len());
    for range in shown {
        reply.array(2 + usize::from(options.with_lengths));
        for start in [range.a, range.b] {
            reply.array(2);
            reply.integer(start as i64);
            reply.integer((start + range.length - 1) as i64);
        }
        if options.with_lengths {
            reply.integer(range.length as i64);
        }
    }
    reply.bulk(b"len");
    reply.integer(matrix.length as i64);
    Ok(())
}

/// A copy of the string, empty if there is no such key; None if it is too long.
fn text_of(context: &mut Context<'_>, index: usize) -> Result<Option<Vec<u8>>, CommandError> {
    const NO_STRING: CommandError =
        CommandError::Fixed("ERR The specified keys must contain string values");
    let key = context.key(index);
    let Some(value) = context.store.get(&key) else { return Ok(Some(Vec::new())) };
    let copied = |bytes: &[u8]| (bytes.len() <= BYTES_MAX).then(|| bytes.to_vec());
    with_bytes(value, copied).map_err(|_| NO_STRING)
}

struct Matrix {
    /// Row after row, `words` each; none if only the length was wanted.
    rows: Vec<u64>,
    words: usize,
    length: usize,
}

/// `length` bytes that both strings have in common, from these places on.
struct Range {
    a: usize,
    b: usize,
    length: usize,
}

struct Trace {
    subsequence: Vec<u8>,
    /// From the last to the first.
    ranges: Vec<Range>,
}

impl Matrix {
    fn compute(a: &[u8], b: &[u8], keep_rows: bool) -> Self {
        let words = b.len().div_ceil(WORD_BITS);
        let masks = Masks::new(a, b, words);
        // Bit j is clear where row i grows: the complement of what is kept, as in the paper.
        let mut row = vec![u64::MAX; words];
        let mut rows = Vec::with_capacity(if keep_rows { a.len() * words } else { 0 });
        for &byte in a {
            let mut carry = 0;
            for (word, mask) in row.iter_mut().zip(masks.of(byte)) {
                let common = *word & mask;
                let (sum, first) = word.overflowing_add(common);
                let (sum, second) = sum.overflowing_add(carry);
                carry = u64::from(first || second);
                *word = sum | (*word & !mask);
            }
            if keep_rows {
                rows.extend(row.iter().map(|word| !word));
            }
        }
        // Bits beyond the last column may have been cleared by a carry.
        let beyond = words * WORD_BITS - b.len();
        let grown: u32 = row.iter().map(|word| word.count_zeros()).sum();
        let stray = row.last().map_or(0, |last| match beyond {
            0 => 0,
            beyond => (!last >> (WORD_BITS - beyond)).count_ones(),
        });
        Self { rows, words, length: (grown - stray) as usize }
    }

    fn grows(&self, row: usize, column: usize) -> bool {
        let word = self.rows[(row - 1) * self.words + (column - 1) / WORD_BITS];
        word >> ((column - 1) % WORD_BITS) & 1 == 1
    }

    /// Walks back from the last cell, taking Redis's way where several are as long: a row up only
    /// if the cell to the left is shorter.
    fn trace(&self, a: &[u8], b: &[u8]) -> Trace {
        let mut subsequence = Vec::with_capacity(self.length);
        let mut ranges: Vec<Range> = Vec::new();
        let (mut i, mut j) = (a.len(), b.len());
        let mut open = false;
        while i > 0 && j > 0 {
            if a[i - 1] == b[j - 1] {
                subsequence.push(a[i - 1]);
                (i, j) = (i - 1, j - 1);
                match ranges.last_mut() {
                    Some(range) if open => {
                        (range.a, range.b, range.length) = (i, j, range.length + 1);
                    }
                    Some(_) | None => ranges.push(Range { a: i, b: j, length: 1 }),
                }
                open = true;
            } else {
                if self.grows(i, j) {
                    i -= 1;
                } else {
                    j -= 1;
                }
                open = false;
            }
        }
        subsequence.reverse();
        Trace { subsequence, ranges }
    }
}

/// For each byte of `a`, where it stands in `b`, a bit a column.
struct Masks {
    /// Which mask a byte has; the first, empty one for bytes that `b` lacks.
    index: [u16; 256],
    bits: Vec<u64>,
    words: usize,
}

impl Masks {
    fn new(a: &[u8], b: &[u8], words: usize) -> Self {
        let mut index = [0u16; 256];
        let mut count = 1;
        for &byte in a {
            if index[usize::from(byte)] == 0 {
                index[usize::from(byte)] = count;
                count += 1;
            }
        }
        let mut bits = vec![0; usize::from(count) * words];
        for (column, &byte) in b.iter().enumerate() {
            let mask = usize::from(index[usize::from(byte)]);
            if mask != 0 {
                bits[mask * words + column / WORD_BITS] |= 1 << (column % WORD_BITS);
            }
        }
        Self { index, bits, words }
    }

    fn of(&self, byte: u8) -> &[u64] {
        let mask = usize::from(self.index[usize::from(byte)]);
        &self.bits[mask * self.words..(mask + 1) * self.words]
    }
}
