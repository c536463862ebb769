//! BITOP: strings combined bit by bit, eight bytes a step. A shorter string is continued by zeros.

use bytes::Bytes;
use ringlane_store::{Expiry, NewValue, NoticeClasses, Removal, Value};

use crate::parse::is;
use crate::strings::with_bytes;
use crate::{CommandError, Context};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    And,
    Or,
    Xor,
    Not,
    /// What the first has and none of the others.
    Diff,
    /// What any of the others has and the first has not.
    Diff1,
    /// What the first has and any of the others.
    AndOr,
    /// What exactly one of them has.
    One,
}

impl Operation {
    fn parse(word: &[u8]) -> Option<Self> {
        [
            ("and", Self::And),
            ("or", Self::Or),
            ("xor", Self::Xor),
            ("not", Self::Not),
            ("diff", Self::Diff),
            ("diff1", Self::Diff1),
            ("andor", Self::AndOr),
            ("one", Self::One),
        ]
        .into_iter()
        .find_map(|(name, operation)| is(word, name).then_some(operation))
    }

    /// Whether so many sources will do.
    fn check_sources(self, count: usize) -> Result<(), CommandError> {
        let least = |name| {
            let text = format!("ERR BITOP {name} must be called with at least two source keys.");
            if count < 2 { Err(CommandError::Text(text)) } else { Ok(()) }
        };
        match self {
            Self::Not if count != 1 => {
                Err(CommandError::Fixed("ERR BITOP NOT must be called with a single source key."))
            }
            Self::Diff => least("DIFF"),
            Self::Diff1 => least("DIFF1"),
            Self::AndOr => least("ANDOR"),
            Self::And | Self::Or | Self::Xor | Self::Not | Self::One => Ok(()),
        }
    }
}

/// `BITOP op destination key [key …]`
pub fn bitop(context: &mut Context<'_>) -> Result<(), CommandError> {
    let operation = Operation::parse(&context.args[1]).ok_or(CommandError::Syntax)?;
    operation.check_sources(context.args.len() - 3)?;
    let to = context.new_key(2)?;
    let mut sources = Vec::with_capacity(context.args.len() - 3);
    for index in 3..context.args.len() {
        let key = context.key(index);
        sources.push(match context.store.get(&key) {
            None => Bytes::new(),
            Some(Value::Blob(blob)) => blob.clone(),
            Some(value) => with_bytes(value, Bytes::copy_from_slice)?,
        });
    }
    context.limits.claim_bytes(sources.iter().map(Bytes::len).sum())?;
    let result = combine(operation, &sources);
    drop(sources);
    let length = result.len();
    if result.is_empty() {
        if context.store.remove(&to, Removal::Deleted) {
            context.notify(NoticeClasses::GENERIC, "del", &to);
        }
    } else {
        context.store.set(&to, NewValue::Blob(&Bytes::from(result)), Expiry::Never)?;
        context.notify(NoticeClasses::STRING, "set", &to);
    }
    context.reply.integer(length as i64);
    Ok(())
}

fn combine(operation: Operation, sources: &[Bytes]) -> Vec<u8> {
    let length = sources.iter().map(Bytes::len).max().unwrap_or(0);
    let mut first = Vec::with_capacity(length);
    let (head, others) = sources.split_first().expect("arity was checked");
    first.extend_from_slice(head);
    first.resize(length, 0);
    match operation {
        Operation::And => {
            for other in others {
                let (common, beyond) = first.split_at_mut(other.len());
                each_word(common, other, |a, b| a & b);
                beyond.fill(0);
            }
        }
        Operation::Or => or_all(&mut first, others),
        Operation::Xor => {
            for other in others {
                each_word(&mut first, other, |a, b| a ^ b);
            }
        }
        Operation::Not => {
            let same = vec![0; length];
            each_word(&mut first, &same, |a, _| !a);
        }
        Operation::Diff | Operation::Diff1 | Operation::AndOr => {
            let mut any = vec![0; length];
            or_all(&mut any, others);
            match operation {
                Operation::Diff => each_word(&mut first, &any, |a, b| a & !b),
                Operation::Diff1 => each_word(&mut first, &any, |a, b| !a & b),
                _ => each_word(&mut first, &any, |a, b| a & b),
            }
        }
        Operation::One => {
            let mut several = vec![0; length];
            for other in others {
                let seen = &first[..other.len()];
                each_word_of_three(&mut several, seen, other);
                each_word(&mut first, other, |a, b| a | b);
            }
            each_word(&mut first, &several, |a, b| a & !b);
        }
    }
    first
}

fn or_all(into: &mut [u8], sources: &[Bytes]) {
    for source in sources {
        each_word(into, source, |a, b| a | b);
    }
}

/// Combines as many bytes of `into` as `other` has.
#[inline]
fn each_word(into: &mut [u8], other: &[u8], combine: impl Fn(u64, u64) -> u64) {
    let (words, rest) = into[..other.len()].as_chunks_mut::<8>();
    let (other_words, other_rest) = other.as_chunks::<8>();
    for (word, other) in words.iter_mut().zip(other_words) {
        *word = combine(u64::from_ne_bytes(*word), u64::from_ne_bytes(*other)).to_ne_bytes();
    }
    for (byte, other) in rest.iter_mut().zip(other_rest) {
        *byte = combine(u64::from(*byte), u64::from(*other)) as u8;
    }
}

/// Adds to `several` the bits that both have.
fn each_word_of_three(several: &mut [u8], a: &[u8], b: &[u8]) {
    let (words, rest) = several[..b.len()].as_chunks_mut::<8>();
    let (a_words, a_rest) = a.as_chunks::<8>();
    let (b_words, b_rest) = b.as_chunks::<8>();
    for ((word, a), b) in words.iter_mut().zip(a_words).zip(b_words) {
        let both = u64::from_ne_bytes(*a) & u64::from_ne_bytes(*b);
        *word = (u64::from_ne_bytes(*word) | both).to_ne_bytes();
    }
    for ((byte, a), b) in rest.iter_mut().zip(a_rest).zip(b_rest) {
        *byte |= a & b;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A byte of the result, of the sources' bytes at its place.
    type OfBytes<'f> = dyn Fn(&[u8]) -> u8 + 'f;

    #[test]
    fn every_operation_is_as_byte_by_byte() {
        let mut random = fastrand::Rng::with_seed(9);
        for _ in 0..2_000 {
            let sources: Vec<Bytes> = (0..random.usize(2..5))
                .map(|_| (0..random.usize(..40)).map(|_| random.u8(..)).collect::<Vec<u8>>().into())
                .collect();
            let length = sources.iter().map(Bytes::len).max().unwrap();
            let byte = |source: &Bytes, at: usize| source.get(at).copied().unwrap_or(0);
            let expect = |one: &dyn Fn(&[u8]) -> u8| -> Vec<u8> {
                (0..length)
                    .map(|at| one(&sources.iter().map(|s| byte(s, at)).collect::<Vec<_>>()))
                    .collect()
            };
            let or = |some: &[u8]| some.iter().fold(0, |a, b| a | b);
            let exactly_one = |all: &[u8]| {
                (0..8).fold(0, |byte, bit| {
                    let count = all.iter().filter(|b| **b >> bit & 1 == 1).count();
                    byte | u8::from(count == 1) << bit
                })
            };
            let cases: [(Operation, &OfBytes<'_>); 7] = [
                (Operation::And, &|all| all.iter().fold(0xff, |a, b| a & b)),
                (Operation::Or, &|all| or(all)),
                (Operation::Xor, &|all| all.iter().fold(0, |a, b| a ^ b)),
                (Operation::Diff, &|all| all[0] & !or(&all[1..])),
                (Operation::Diff1, &|all| !all[0] & or(&all[1..])),
                (Operation::AndOr, &|all| all[0] & or(&all[1..])),
                (Operation::One, &exactly_one),
            ];
            for (operation, one) in cases {
                assert_eq!(combine(operation, &sources), expect(one), "{operation:?} {sources:?}");
            }
            let not: Vec<u8> = sources[0].iter().map(|byte| !byte).collect();
            assert_eq!(combine(Operation::Not, &sources[..1]), not);
        }
    }
}
