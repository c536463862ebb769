//! Scores, and the bounds of ranges of sorted sets, as clients write them. Reads arguments only.
//!
//! Numbers are decimal: hexadecimal ones, which Redis took before it read floats by a library of its
//! own (8.0), are refused.

use ringlane_base::number;
use ringlane_store::types::{Edge, SortedView};

use crate::CommandError;

/// A finite or infinite number that its type can hold: what overflows or vanishes is refused.
pub fn float(text: &[u8], refusal: CommandError) -> Result<f64, CommandError> {
    let Some(value) = number::parse_double(text) else { return Err(refusal) };
    let overflows = value.is_infinite() && text.iter().any(u8::is_ascii_digit);
    if overflows || (value == 0.0 && vanishes(text)) {
        return Err(refusal);
    }
    Ok(value)
}

/// Whether a number that was read as zero is none: it has a digit above 0 before its exponent.
fn vanishes(text: &[u8]) -> bool {
    let mantissa = text.iter().take_while(|byte| !byte.eq_ignore_ascii_case(&b'e'));
    mantissa.into_iter().any(|byte| matches!(byte, b'1'..=b'9'))
}

/// A score, a weight of one place, a coordinate.
pub fn score(text: &[u8]) -> Result<f64, CommandError> {
    float(text, CommandError::NotAFloat)
}

/// Where a range of a sorted set begins or ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place<'a> {
    /// Before all members.
    First,
    /// Behind all of them.
    Last,
    At(Edge<'a>),
}

impl Place<'_> {
    fn rank(self, set: SortedView<'_>) -> usize {
        match self {
            Self::First => 0,
            Self::Last => set.len(),
            Self::At(edge) => set.rank_of(edge),
        }
    }
}

/// A range of a sorted set by scores or by members.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span<'a> {
    from: Place<'a>,
    to: Place<'a>,
}

impl<'a> Span<'a> {
    /// `min max`: numbers, each included unless a `(` stands before it.
    pub fn of_scores(min: &[u8], max: &[u8]) -> Result<Self, CommandError> {
        let (min, min_excluded) = score_bound(min)?;
        let (max, max_excluded) = score_bound(max)?;
        Ok(Self {
            from: Place::At(Edge::Score { score: min, behind: min_excluded }),
            to: Place::At(Edge::Score { score: max, behind: !max_excluded }),
        })
    }

    /// `min max`: `-`, `+`, `[member` or `(member`.
    pub fn of_members(min: &'a [u8], max: &'a [u8]) -> Result<Self, CommandError> {
        Ok(Self { from: member_bound(min, false)?, to: member_bound(max, true)? })
    }

    /// The ranks of the members within.
    pub fn ranks(self, set: SortedView<'_>) -> std::ops::Range<usize> {
        let from = self.from.rank(set);
        from..self.to.rank(set).max(from)
    }
}

/// A bound and whether it is excluded. More is taken than as a score, as in Redis: nothing at all for 0,
/// and what overflows for infinity.
fn score_bound(text: &[u8]) -> Result<(f64, bool), CommandError> {
    let (text, excluded) = text.strip_prefix(b"(").map_or((text, false), |rest| (rest, true));
    if text.is_empty() {
        return Ok((0.0, excluded));
    }
    let value =
        number::parse_double(text).ok_or(CommandError::Fixed("ERR min or max is not a float"))?;
    Ok((value, excluded))
}

/// The place of a bound; `upper`: whether it is the range's end, so that an included member stands
/// before it.
fn member_bound(text: &[u8], upper: bool) -> Result<Place<'_>, CommandError> {
    match text {
        b"-" => Ok(Place::First),
        b"+" => Ok(Place::Last),
        [b'[', member @ ..] => Ok(Place::At(Edge::Lex { member, behind: upper })),
        [b'(', member @ ..] => Ok(Place::At(Edge::Lex { member, behind: !upper })),
        _ => Err(CommandError::Fixed("ERR min or max not valid string range item")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_their_type_cannot_hold_are_refused() {
        for text in ["1e400", "-1e400", "1e-400", "nan", "", " 1", "1 ", "0x10", "1e", "+-1", "."] {
            assert_eq!(score(text.as_bytes()), Err(CommandError::NotAFloat), "{text}");
        }
        for (text, value) in [
            ("0e-400", 0.0),
            ("+inf", f64::INFINITY),
            ("-Infinity", f64::NEG_INFINITY),
            ("+1.5", 1.5),
            (".5", 0.5),
            ("5.", 5.0),
            ("5e-324", 5e-324),
        ] {
            assert_eq!(score(text.as_bytes()), Ok(value), "{text}");
        }
    }

    #[test]
    fn bounds_are_read_more_freely() {
        let taken = [("(1.5", 1.5, true), ("", 0.0, false), ("(", 0.0, true)];
        for (text, value, excluded) in taken {
            assert_eq!(score_bound(text.as_bytes()), Ok((value, excluded)), "{text}");
        }
        assert_eq!(score_bound(b"1e400"), Ok((f64::INFINITY, false)));
        for text in ["nan", "((1", "1(", "x", " ", " 7", "( 7"] {
            assert!(score_bound(text.as_bytes()).is_err(), "{text}");
        }
    }
}
