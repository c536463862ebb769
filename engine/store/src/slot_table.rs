//! The entries of one slot. Most slots are one segment; a large one is a directory of segments by
//! extendible hashing: a segment that would pass its bound splits by the next bit of the field.
//!
//! ```text
//! small: | first segment |
//! wide:  plain directory ─ index by the field's leading bits ─> segments (some closed)
//!        hardened directory, by SipHash: the entries of the closed ones
//! ```
//! A walker visits the plain segments in field order, then the hardened ones.

use crate::directory::Directory;
use crate::entry::Entry;
use crate::hashing::Hashing;
use crate::segment::{FIELD_COUNT, Growth, Segment, TableMemory};
use crate::slab::{Handle, Slab};

/// One slot's entries.
#[repr(align(64))] // One cache line, so that one prefetch brings it.
pub struct SlotTable {
    /// All of it, as long as `wide` is none; then empty.
    first: Segment,
    wide: Option<Box<Wide>>,
}
const _: () = assert!(size_of::<SlotTable>() == 64);

struct Wide {
    plain: Directory,
    /// Made when the first segment closes.
    hardened: Option<Directory>,
}

/// Which segment of a slot. Good until the slot's layout changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    First,
    Plain(u32),
    Hardened(u32),
}

/// Where a walker stands in a slot: survives any change of the layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Position {
    pub hardened: bool,
    pub field: u32,
    pub bucket: u32,
}

/// What rehashing needs.
#[derive(Clone, Copy)]
pub struct Rehash<'a> {
    pub slab: &'a Slab,
    pub hashing: &'a Hashing,
}

impl Rehash<'_> {
    fn plain(self, handle: &Handle) -> u64 {
        self.hashing.of_entry(Entry::of(self.slab, handle))
    }

    fn hardened(self, handle: &Handle) -> u64 {
        self.hashing.hardened_of_entry(Entry::of(self.slab, handle))
    }
}

impl Wide {
    fn hardened(&self) -> &Directory {
        self.hardened.as_ref().expect("made when a segment closed")
    }
}

impl SlotTable {
    pub fn new(memory: &TableMemory) -> Self {
        Self { first: Segment::new(memory, 0, 0, 0), wide: None }
    }

    /// How many entries the slot has, those of flushed databases included.
    #[inline]
    pub fn len(&self) -> usize {
        match &self.wide {
            None => self.first.table.len(),
            Some(wide) => wide.plain.len() + wide.hardened.as_ref().map_or(0, Directory::len),
        }
    }

    /// Entries outside of the hardened directory.
    #[cfg(test)]
    pub fn plain_len(&self) -> usize {
        self.wide.as_ref().map_or(self.first.table.len(), |wide| wide.plain.len())
    }

    /// Every segment.
    #[cfg(test)]
    pub fn segments(&self) -> Vec<&Segment> {
        let mut segments = Vec::new();
        let mut position = Some(Position::default());
        while let Some(piece) = position.and_then(|position| self.at(position)) {
            segments.push(self.segment(piece));
            position = self.after(piece);
        }
        segments
    }

    /// Bytes of the directories.
    pub fn wide_bytes(&self) -> usize {
        let Some(wide) = &self.wide else { return 0 };
        let hardened = wide.hardened.as_ref().map_or(0, Directory::bytes);
        size_of::<Wide>() + wide.plain.bytes() + hardened
    }

    /// The segment where an entry with this hash belongs, and the hash that finds it there.
    /// `hardened` computes its other hash if that is needed.
    #[inline]
    pub fn piece(&self, hash: u64, hardened: impl FnOnce() -> u64) -> (Piece, u64) {
        let Some(wide) = &self.wide else { return (Piece::First, hash) };
        let number = wide.plain.find(hash);
        if !wide.plain.segment(number).closed {
            return (Piece::Plain(number), hash);
        }
        let hash = hardened();
        (Piece::Hardened(wide.hardened().find(hash)), hash)
    }

    #[inline]
    pub fn segment(&self, piece: Piece) -> &Segment {
        match (piece, &self.wide) {
            (Piece::First, _) => &self.first,
            (Piece::Plain(number), Some(wide)) => wide.plain.segment(number),
            (Piece::Hardened(number), Some(wide)) => wide.hardened().segment(number),
            (Piece::Plain(_) | Piece::Hardened(_), None) => unreachable!("the layout changed"),
        }
    }

    #[inline]
    pub fn segment_mut(&mut self, piece: Piece) -> &mut Segment {
        match (piece, &mut self.wide) {
            (Piece::First, _) => &mut self.first,
            (Piece::Plain(number), Some(wide)) => wide.plain.segment_mut(number),
            (Piece::Hardened(number), Some(wide)) => {
                wide.hardened.as_mut().expect("made when a segment closed").segment_mut(number)
            }
            (Piece::Plain(_) | Piece::Hardened(_), None) => unreachable!("the layout changed"),
        }
    }

    /// Makes room in a full segment. Entries that move to the hardened directory are told, with
    /// their new hash: what found them by the old one does no longer.
    #[cold]
    pub fn grow(
        &mut self,
        piece: Piece,
        rehash: Rehash<'_>,
        hardened: &mut dyn FnMut(&Handle, u64),
    ) {
        match (piece, &mut self.wide) {
            (Piece::First, wide) => match self.first.growth() {
                Growth::Rebuild { capacity } => {
                    self.first.rebuild(capacity, |handle| rehash.plain(handle));
                }
                Growth::Split => {
                    debug_assert!(wide.is_none());
                    let memory = self.first.table.allocator().clone();
                    let empty = Segment::new(&memory, 0, 0, 0);
                    let first = std::mem::replace(&mut self.first, empty);
                    let plain = Directory::of(first);
                    self.wide = Some(Box::new(Wide { plain, hardened: None }));
                    self.grow_plain(0, rehash, hardened);
                }
            },
            (Piece::Plain(number), Some(_)) => self.grow_plain(number, rehash, hardened),
            (Piece::Hardened(number), Some(wide)) => {
                let directory = wide.hardened.as_mut().expect("made when a segment closed");
                // SipHash with a secret key cannot be made to skew.
                directory.grow(number, |handle| rehash.hardened(handle));
            }
            (Piece::Plain(_) | Piece::Hardened(_), None) => unreachable!("the layout changed"),
        }
    }

    fn grow_plain(&mut self, number: u32, rehash: Rehash<'_>, told: &mut dyn FnMut(&Handle, u64)) {
        let wide = self.wide.as_mut().expect("it is wide");
        let Some(skewed) = wide.plain.grow(number, |handle| rehash.plain(handle)) else { return };
        let segment = wide.plain.segment_mut(skewed);
        let memory = segment.table.allocator().clone();
        let empty = Segment::new(&memory, segment.start, segment.depth, segment.generation);
        let mut old = std::mem::replace(segment, Segment { closed: true, ..empty });
        let directory = wide.hardened.get_or_insert_with(|| Directory::empty(&memory));
        for handle in old.table.drain() {
            let hash = rehash.hardened(&handle);
            told(&handle, hash);
            if directory.segment(directory.find(hash)).is_full() {
                directory.grow(directory.find(hash), |handle| rehash.hardened(handle));
            }
            let number = directory.find(hash);
            directory.segment_mut(number).insert(hash, handle);
        }
    }

    /// Makes a sparse segment smaller.
    #[cold]
    pub fn shrink(&mut self, piece: Piece, rehash: Rehash<'_>) {
        match (piece, &mut self.wide) {
            (Piece::First, _) => self.first.shrink(|handle| rehash.plain(handle)),
            (Piece::Plain(number), Some(wide)) => {
                wide.plain.shrink(number, |handle| rehash.plain(handle));
                if wide.hardened.is_none() && wide.plain.is_single() {
                    let wide = self.wide.take().expect("it is wide");
                    self.first = wide.plain.into_single();
                }
            }
            (Piece::Hardened(number), Some(wide)) => {
                let directory = wide.hardened.as_mut().expect("made when a segment closed");
                directory.shrink(number, |handle| rehash.hardened(handle));
            }
            (Piece::Plain(_) | Piece::Hardened(_), None) => unreachable!("the layout changed"),
        }
    }

    /// Takes the slot apart, for freeing its entries piece by piece.
    pub fn into_segments(self) -> Vec<Segment> {
        let mut segments = vec![self.first];
        if let Some(wide) = self.wide {
            segments.extend(wide.plain.into_segments());
            segments.extend(wide.hardened.into_iter().flat_map(Directory::into_segments));
        }
        segments
    }

    /// The segment that covers a walker's position; None behind the last.
    pub fn at(&self, position: Position) -> Option<Piece> {
        if position.field >= FIELD_COUNT {
            return None;
        }
        match (&self.wide, position.hardened) {
            (None, false) => Some(Piece::First),
            (None, true) => None,
            (Some(wide), false) => Some(Piece::Plain(wide.plain.at_field(position.field))),
            (Some(wide), true) => {
                let directory = wide.hardened.as_ref()?;
                Some(Piece::Hardened(directory.at_field(position.field)))
            }
        }
    }

    /// The beginning of the segment after this one; None behind the last.
    pub fn after(&self, piece: Piece) -> Option<Position> {
        let hardened = matches!(piece, Piece::Hardened(_));
        let field = self.segment(piece).end();
        if field < FIELD_COUNT {
            return Some(Position { hardened, field, bucket: 0 });
        }
        let more = self.wide.as_ref().is_some_and(|wide| wide.hardened.is_some());
        (more && !hardened).then_some(Position { hardened: true, field: 0, bucket: 0 })
    }

    /// Where a hash that was cut to its re-finding bits may be: the plain segment, then the
    /// hardened one.
    pub fn pieces_of_cut(&self, hash: u64) -> [Option<Piece>; 2] {
        match &self.wide {
            None => [Some(Piece::First), None],
            Some(wide) => [
                Some(Piece::Plain(wide.plain.find(hash))),
                wide.hardened.as_ref().map(|directory| Piece::Hardened(directory.find(hash))),
            ],
        }
    }
}
