//! Runs of scored members in order: what a packed sorted set and a leaf of a large one hold. Owns
//! the order and how a run is searched and changed; what stands around a run is its holder's.
//!
//! run: | score, member | score, member | .. |, ascending by score, then by the member's bytes

use super::pack::{self, Item};

/// A place between members: every member stands before it or not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Edge<'a> {
    /// In front of all members of this score, or behind them.
    Score { score: f64, behind: bool },
    /// In front of this member, or behind it, where all scores are the same.
    Lex { member: &'a [u8], behind: bool },
    /// In front of this member of this score, or behind it.
    Member { score: f64, member: &'a [u8], behind: bool },
}

impl Edge<'_> {
    /// Whether a member stands before the edge. `member` is asked only if the score leaves it open.
    #[inline]
    pub(super) fn is_behind<'m>(&self, score: f64, member: impl FnOnce() -> Item<'m>) -> bool {
        let by_member = |bytes: &[u8], behind: bool| {
            let order = member().cmp_bytes(bytes);
            order.is_lt() || behind && order.is_eq()
        };
        match *self {
            Self::Score { score: edge, behind } => score < edge || behind && score <= edge,
            Self::Lex { member: edge, behind } => by_member(edge, behind),
            Self::Member { score: edge, member: bytes, behind } => {
                score < edge || score <= edge && by_member(bytes, behind)
            }
        }
    }
}

/// An entry of a run, and how many bytes it takes.
#[inline]
pub(super) fn entry(run: &[u8]) -> (f64, Item<'_>, usize) {
    let (score, before) = pack::read_score(run);
    let (member, length) = pack::read(&run[before..]);
    (score, member, before + length)
}

/// How many bytes a run's first entry takes.
#[inline]
pub(super) fn skip(run: &[u8]) -> usize {
    let before = pack::skip(run);
    before + pack::skip(&run[before..])
}

pub(super) fn entry_len(score: f64, member: Item<'_>) -> usize {
    pack::score_len(score) + member.packed_len()
}

/// Where in a run the entry at `index` begins; `index` may be the run's count.
pub(super) fn offset_of(run: &[u8], index: usize) -> usize {
    (0..index).fold(0, |offset, _| offset + skip(&run[offset..]))
}

/// How many entries stand before an edge, and where the next one begins.
pub(super) fn position(run: &[u8], edge: Edge<'_>) -> (usize, usize) {
    let (mut index, mut offset) = (0, 0);
    while offset < run.len() {
        let (score, before) = pack::read_score(&run[offset..]);
        let member = &run[offset + before..];
        if !edge.is_behind(score, || pack::read(member).0) {
            break;
        }
        offset += before + pack::skip(member);
        index += 1;
    }
    (index, offset)
}

/// Where a member's entry begins, and its score.
#[inline]
pub(super) fn find(run: &[u8], member: Item<'_>) -> Option<(usize, f64)> {
    match member {
        // A short text's head is its length: most others differ there.
        Item::Text(text) if member.packed_len() == 1 + text.len() => {
            let head = text.len() as u8;
            match text.last_chunk::<TAIL>() {
                // Members often begin alike (`user:..`) and end differently.
                Some(tail) => find_by(run, |element| {
                    element[0] == head
                        && element[..=text.len()].last_chunk() == Some(tail)
                        && element[1..=text.len()] == *text
                }),
                None => {
                    find_by(run, |element| element[0] == head && element[1..=text.len()] == *text)
                }
            }
        }
        Item::Text(_) | Item::Integer(_) => find_by(run, |element| pack::read(element).0 == member),
    }
}

/// Bytes at the end of a member that are compared at once, before the rest.
const TAIL: usize = 8;

#[inline]
fn find_by(run: &[u8], is_it: impl Fn(&[u8]) -> bool) -> Option<(usize, f64)> {
    let mut offset = 0;
    while offset < run.len() {
        let at = offset + pack::skip(&run[offset..]);
        if is_it(&run[at..]) {
            return Some((offset, pack::read_score(&run[offset..]).0));
        }
        offset = at + pack::skip(&run[at..]);
    }
    None
}

/// Puts an entry where an offset says, behind `header` bytes that are no part of the run.
pub(super) fn insert(
    bytes: &mut Vec<u8>,
    header: usize,
    offset: usize,
    (score, member): (f64, Item<'_>),
) {
    let (at, length, old) = (header + offset, entry_len(score, member), bytes.len());
    bytes.resize(old + length, 0);
    bytes.copy_within(at..old, at + length);
    put_entry(&mut bytes[at..at + length], score, member);
}

/// Takes the entry at an offset away.
pub(super) fn remove(bytes: &mut Vec<u8>, header: usize, offset: usize) {
    let at = header + offset;
    let length = skip(&bytes[at..]);
    bytes.drain(at..at + length);
}

/// Takes the entry at `old` away and puts another one where `new` says, an offset that counts with
/// the old entry still there.
pub(super) fn replace(
    bytes: &mut Vec<u8>,
    header: usize,
    (old, new): (usize, usize),
    (score, member): (f64, Item<'_>),
) {
    let (old, new, end) = (header + old, header + new, bytes.len());
    let old_end = old + skip(&bytes[old..]);
    let length = entry_len(score, member);
    let behind = old_end.max(new);
    // What stands behind both places, and where it goes.
    let tail = behind..end;
    let tail_to = behind + length + old - old_end;
    // What stands between them, and where it goes.
    let (between, between_to, at) = if new <= old {
        (new..old, new + length, new)
    } else {
        (old_end..new, old, new + old - old_end)
    };
    if tail_to > behind {
        bytes.resize(tail_to + tail.len(), 0);
        bytes.copy_within(tail, tail_to);
        bytes.copy_within(between, between_to);
    } else {
        bytes.copy_within(between, between_to);
        if tail_to < behind {
            bytes.copy_within(tail, tail_to);
            bytes.truncate(end + tail_to - behind);
        }
    }
    put_entry(&mut bytes[at..at + length], score, member);
}

fn put_entry(place: &mut [u8], score: f64, member: Item<'_>) {
    let (first, second) = place.split_at_mut(pack::score_len(score));
    pack::put_score(score, first);
    pack::put(member, second);
}

/// Entries of a run from the back, found from the front, a window at a time.
#[derive(Clone, Debug)]
pub(super) struct Backward<'a> {
    run: &'a [u8],
    /// Entries that are still to come, of the run's first ones.
    left: usize,
    /// Where the last of them begin, in order.
    offsets: [u32; WINDOW],
    known: usize,
}

/// Entries whose places are found in one walk over a run.
const WINDOW: usize = 64;

impl<'a> Backward<'a> {
    /// The run's first `left` entries, the last first.
    pub(super) fn new(run: &'a [u8], left: usize) -> Self {
        Self { run, left, offsets: [0; WINDOW], known: 0 }
    }

    fn look(&mut self) {
        self.known = self.left.min(WINDOW);
        let mut offset = offset_of(self.run, self.left - self.known);
        for place in &mut self.offsets[..self.known] {
            *place = offset as u32;
            offset += skip(&self.run[offset..]);
        }
    }
}

impl<'a> Iterator for Backward<'a> {
    type Item = (Item<'a>, f64);

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        if self.known == 0 {
            self.look();
        }
        self.left -= 1;
        self.known -= 1;
        let (score, member, _) = entry(&self.run[self.offsets[self.known] as usize..]);
        Some((member, score))
    }
}
