//! Sorted sets: one packed block in order while small; when large a tree in order and a table that
//! finds a member's leaf. Owns the block's form and what an edit does; the tree's own matters are
//! the tree's.
//!
//! block: | count 2 | score, member | score, member | .. |  (empty: no bytes at all)
//!
//! A large set holds each member's bytes once, in a leaf. The table has 8 bytes for each: half of
//! the member's hash and the name of the leaf.

use ringlane_base::Now;

use super::counted::{ELEMENTS, packed_count, packed_run, set_packed_count};
use super::pack::Item;
pub use super::run::Edge;
use super::run::{self, Backward};
use super::table::{Segmented, hash_bytes};
use super::tree::{LeafId, Place, Tree};
use super::{
    Edit, End, PACKED_BYTES_MAX, Packable, PackableView, Packs, SettleCursor, Shared, SortedChange,
};
use crate::settle::Settling;

/// Where a member is: half of its hash, and its leaf. Members with equal halves in one leaf have
/// equal spots, and it does not matter whose is whose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    hash: u32,
    leaf: LeafId,
}

/// The half of a member's hash that is kept.
fn hash_of(member: &[u8]) -> u32 {
    half(hash_bytes(member))
}

/// The same of its whole hash.
fn half(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// The hash that places a spot in the table, whose upper bits choose the segment: the half, spread
/// over 64 bits by multiplication with an odd number (2^64 divided by the golden ratio).
fn placed(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// The members of a large sorted set.
#[derive(Clone, Debug)]
pub struct SortedTree {
    table: Segmented<Spot>,
    tree: Tree,
}

impl SortedTree {
    /// One without members, to stand in for another.
    pub(crate) fn empty() -> Self {
        Self::of_run(&[], 0)
    }

    /// A large set of the entries of one run.
    fn of_run(run: &[u8], count: usize) -> Self {
        let mut large = Self { table: Segmented::with_capacity(count + 1), tree: Tree::new() };
        let mut offset = 0;
        let mut buffer = itoa::Buffer::new();
        while offset < run.len() {
            let (score, member, length) = run::entry(&run[offset..]);
            large.insert(score, member.bytes(&mut buffer));
            offset += length;
        }
        large
    }

    pub fn len(&self) -> usize {
        self.tree.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Heap bytes by size class, this struct not included.
    pub fn bytes(&self) -> usize {
        self.table.bytes() + self.tree.bytes()
    }

    /// A member's place and score.
    fn find(&self, member: &[u8]) -> Option<(Place, f64)> {
        let (hash, item) = (hash_of(member), Item::of(member));
        let mut found = None;
        self.table.find(placed(hash), |spot| {
            if spot.hash == hash {
                found = run::find(self.tree.run(spot.leaf), item)
                    .map(|(offset, score)| (Place { leaf: spot.leaf, offset }, score));
            }
            found.is_some()
        })?;
        found
    }

    /// Where the member of this hash (`hash_bytes`) is, as a rule.
    #[inline]
    pub(crate) fn hint(&self, hash: u64) -> Option<&Spot> {
        self.table.hint(placed(half(hash)))
    }

    /// Begins to load what says where the leaf of a spot is.
    #[inline]
    pub(crate) fn prefetch_leaf(&self, spot: Spot) {
        self.tree.prefetch_leaf(spot.leaf);
    }

    /// Begins to load the leaf of a spot.
    #[inline]
    pub(crate) fn prefetch_run(&self, spot: Spot) {
        self.tree.prefetch_run(spot.leaf);
    }

    /// Puts a member in that is not there.
    fn insert(&mut self, score: f64, member: &[u8]) {
        let (hash, table) = (hash_of(member), &mut self.table);
        let leaf =
            self.tree.insert(score, member, |member, from, to| moved(table, member, from, to));
        table.insert(placed(hash), Spot { hash, leaf }, |spot| placed(spot.hash));
    }

    /// Gives a member that is there another score.
    fn change(&mut self, (place, old): (Place, f64), score: f64, member: &[u8]) {
        if self.tree.change_within(place, score, member) {
            return;
        }
        let table = &mut self.table;
        // Meanwhile the member has a spot in a leaf where it no longer is, or that is none. That
        // harms nobody: of equal spots any may be changed.
        self.tree.remove(place, old, member, |member, from, to| moved(table, member, from, to));
        let leaf =
            self.tree.insert(score, member, |member, from, to| moved(table, member, from, to));
        relocate(table, hash_of(member), place.leaf, leaf);
    }

    /// Takes a member out whose place and score these are.
    fn remove(&mut self, (place, score): (Place, f64), member: &[u8]) {
        let (hash, table) = (hash_of(member), &mut self.table);
        let spot = Spot { hash, leaf: place.leaf };
        let gone = table.remove(placed(hash), |other| *other == spot, |spot| placed(spot.hash));
        debug_assert!(gone.is_some(), "table and tree hold the same members");
        self.tree.remove(place, score, member, |member, from, to| moved(table, member, from, to));
    }

    /// Frees some leaves or members, one unit each, until no units are left. True: nothing is left.
    pub(crate) fn settle_some(&mut self, cursor: &mut SettleCursor, slice: &mut Settling) -> bool {
        self.tree.settle_some(cursor, slice)
    }

    pub fn free_some(&mut self, units: &mut u32) -> bool {
        self.tree.free_some(units) && *units > 0 && self.table.free_some(units, |_| ())
    }
}

fn moved(table: &mut Segmented<Spot>, member: Item<'_>, from: LeafId, to: LeafId) {
    relocate(table, hash_of(member.bytes(&mut itoa::Buffer::new())), from, to);
}

fn relocate(table: &mut Segmented<Spot>, hash: u32, from: LeafId, to: LeafId) {
    let spot = Spot { hash, leaf: from };
    let found = table.find_mut(placed(hash), |other| *other == spot);
    found.expect("every member of a leaf has a spot").leaf = to;
}

/// A sorted set.
pub type SortedSet = Packable<SortedTree>;

impl Packs for SortedTree {
    type View<'a> = SortedView<'a>;

    fn view(form: SortedView<'_>, _now: Now) -> SortedView<'_> {
        form
    }

    fn packed_len(block: &[u8]) -> usize {
        packed_count(block)
    }

    fn repeat(edit: &mut Edit<'_, SortedSet>, change: &SortedChange) {
        match change {
            SortedChange::Put { member, score } => {
                edit.put(member, *score);
            }
            SortedChange::Remove { member } => {
                edit.remove(member);
            }
        }
    }
}

impl SortedSet {
    /// The view of what is owned here.
    pub fn as_view(&self) -> SortedView<'_> {
        self.form()
    }
}

/// A sorted set, to read. A rank is a member's place from the lowest score on, from 0.
pub type SortedView<'a> = PackableView<'a, SortedTree>;

impl<'a> SortedView<'a> {
    pub fn len(self) -> usize {
        match self {
            Self::Packed(block) => packed_count(block),
            Self::Large(large) => large.len(),
        }
    }

    /// Bytes that it takes; constant time.
    pub fn bytes(self) -> usize {
        match self {
            Self::Packed(block) => block.len(),
            Self::Large(large) => large.bytes(),
        }
    }

    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// As OBJECT ENCODING names it.
    pub fn encoding(self) -> &'static str {
        match self {
            Self::Packed(_) => "listpack",
            Self::Large(_) => "skiplist",
        }
    }

    pub fn score(self, member: &[u8]) -> Option<f64> {
        match self {
            Self::Packed(block) => {
                run::find(packed_run(block), Item::of(member)).map(|(_, score)| score)
            }
            Self::Large(large) => large.find(member).map(|(_, score)| score),
        }
    }

    /// A member's rank and score; `reverse`: the rank from the highest score on.
    pub fn rank(self, member: &[u8], reverse: bool) -> Option<(usize, f64)> {
        let score = self.score(member)?;
        let rank = self.rank_of(Edge::Member { score, member, behind: false });
        Some((if reverse { self.len() - 1 - rank } else { rank }, score))
    }

    /// How many members stand before an edge: the rank of the first one behind it.
    pub fn rank_of(self, edge: Edge<'_>) -> usize {
        match self {
            Self::Packed(block) => run::position(packed_run(block), edge).0,
            Self::Large(large) => large.tree.rank(edge),
        }
    }

    /// How many members stand between two edges.
    pub fn count_between(self, from: Edge<'_>, to: Edge<'_>) -> usize {
        self.rank_of(to).saturating_sub(self.rank_of(from))
    }

    /// The member of a rank, and its score.
    pub fn at(self, rank: usize) -> Option<(Item<'a>, f64)> {
        self.range(rank, 1).next()
    }

    /// All members, from the lowest score on.
    pub fn iter(self) -> SortedIter<'a> {
        self.range(0, usize::MAX)
    }

    /// Up to `length` members from a rank on, ascending.
    pub fn range(self, rank: usize, length: usize) -> SortedIter<'a> {
        let left = length.min(self.len().saturating_sub(rank));
        if left == 0 {
            return SortedIter::Up(Up { run: &[], next: None, left });
        }
        let (run, index, next) = self.start(rank);
        let run = &run[run::offset_of(run, index)..];
        SortedIter::Up(Up { run, next, left })
    }

    /// Up to `length` members from a rank on, descending: that member, the one before it, ..
    pub fn range_rev(self, rank: usize, length: usize) -> SortedIter<'a> {
        let there = if rank < self.len() { rank + 1 } else { 0 };
        let left = length.min(there);
        if left == 0 {
            return SortedIter::Down(Down { run: Backward::new(&[], 0), next: None, left });
        }
        let (run, index, next) = self.start(rank);
        SortedIter::Down(Down { run: Backward::new(run, index + 1), next, left })
    }

    /// The run that holds a rank below the count, the index in it, and the leaf that it is.
    fn start(self, rank: usize) -> (&'a [u8], usize, Option<(&'a Tree, LeafId)>) {
        match self {
            Self::Packed(block) => (packed_run(block), rank, None),
            Self::Large(large) => {
                let (leaf, index) = large.tree.at(rank);
                (large.tree.run(leaf), index, Some((&large.tree, leaf)))
            }
        }
    }

    /// A member, all of them equally likely.
    pub fn random(self, dice: &mut fastrand::Rng) -> Option<(Item<'a>, f64)> {
        if self.is_empty() { None } else { self.at(dice.usize(..self.len())) }
    }

    /// Shows about `count` members from the cursor on and gives the next cursor, 0 at the end: as
    /// `Segmented::scan`. A packed set is shown whole.
    pub fn scan(self, cursor: u64, count: usize, mut visit: impl FnMut(Item<'a>, f64)) -> u64 {
        let large = match self {
            Self::Packed(_) => {
                self.iter().for_each(|(member, score)| visit(member, score));
                return 0;
            }
            Self::Large(large) => large,
        };
        let mut buffer = itoa::Buffer::new();
        large.table.scan(
            cursor,
            count,
            |spot| placed(spot.hash),
            |spot| {
                let run = large.tree.run(spot.leaf);
                let mut offset = 0;
                while offset < run.len() {
                    let (score, member, length) = run::entry(&run[offset..]);
                    if hash_of(member.bytes(&mut buffer)) == spot.hash {
                        visit(member, score);
                    }
                    offset += length;
                }
            },
        )
    }
}

/// Members with their scores one after another, from a rank on.
// A box would be an allocation for each range that is read from the top.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Debug)]
pub enum SortedIter<'a> {
    Up(Up<'a>),
    Down(Down<'a>),
}

impl<'a> Iterator for SortedIter<'a> {
    type Item = (Item<'a>, f64);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Up(up) => up.next(),
            Self::Down(down) => down.next(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = match self {
            Self::Up(up) => up.left,
            Self::Down(down) => down.left,
        };
        (left, Some(left))
    }
}

impl ExactSizeIterator for SortedIter<'_> {}

/// Ascending.
#[derive(Clone, Debug)]
pub struct Up<'a> {
    /// What is left of the run that the walk is in.
    run: &'a [u8],
    /// The leaf that it is of.
    next: Option<(&'a Tree, LeafId)>,
    left: usize,
}

impl<'a> Up<'a> {
    fn next(&mut self) -> Option<(Item<'a>, f64)> {
        self.left = self.left.checked_sub(1)?;
        if self.run.is_empty() {
            let (tree, leaf) = self.next?;
            let leaf = tree.behind(leaf)?;
            self.next = Some((tree, leaf));
            self.run = tree.run(leaf);
        }
        let (score, member, length) = run::entry(self.run);
        self.run = &self.run[length..];
        Some((member, score))
    }
}

/// Descending.
#[derive(Clone, Debug)]
pub struct Down<'a> {
    run: Backward<'a>,
    /// The leaf that the run is of.
    next: Option<(&'a Tree, LeafId)>,
    left: usize,
}

impl<'a> Down<'a> {
    fn next(&mut self) -> Option<(Item<'a>, f64)> {
        self.left = self.left.checked_sub(1)?;
        if let Some((member, score)) = self.run.next() {
            return Some((member, score));
        }
        let (tree, leaf) = self.next?;
        let leaf = tree.before(leaf)?;
        self.next = Some((tree, leaf));
        self.run = Backward::new(tree.run(leaf), tree.leaf_len(leaf));
        self.run.next()
    }
}

/// What became of a member that was put.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Put {
    Added,
    /// It had this score.
    Changed(f64),
    /// It had that score already.
    Same,
}

impl Put {
    // Equality is meant: an equal score changes nothing.
    #[allow(clippy::float_cmp)]
    fn of(old: f64, new: f64) -> Self {
        if old == new { Self::Same } else { Self::Changed(old) }
    }
}

impl Edit<'_, SortedSet> {
    /// Gives a member a score, which is not NaN.
    pub fn put(&mut self, member: &[u8], score: f64) -> Put {
        debug_assert!(!score.is_nan(), "handlers refuse NaN");
        // Minus zero equals zero and is not told from it.
        let score = score + 0.0;
        let put = self.put_packed(member, score).unwrap_or_else(|| self.put_large(member, score));
        if put != Put::Same {
            self.record(|| SortedChange::Put { member: member.into(), score });
        }
        put
    }

    /// Puts a member into the block. None: the set is large, or has become so since the block may
    /// not hold the entry; nothing was put.
    fn put_packed(&mut self, member: &[u8], score: f64) -> Option<Put> {
        let SortedSet::Packed(block) = &mut *self.value else { return None };
        let item = Item::of(member);
        let old = run::find(packed_run(block), item);
        let put = match old {
            Some((_, old)) => Put::of(old, score),
            None => Put::Added,
        };
        if put == Put::Same {
            return Some(put);
        }
        let count = packed_count(block) + usize::from(old.is_none());
        // As if a known member came anew: a little early, where only the bytes decide.
        let bytes = block.len().max(ELEMENTS) + run::entry_len(score, item);
        let fits = count <= self.limits.zset_max_listpack_entries
            && (old.is_some() || member.len() <= self.limits.zset_max_listpack_value)
            && bytes <= PACKED_BYTES_MAX;
        if !fits {
            let large = SortedTree::of_run(packed_run(block), packed_count(block));
            *self.value = SortedSet::Large(Shared::new(large));
            return None;
        }
        if block.is_empty() {
            block.resize(ELEMENTS, 0);
        }
        let edge = Edge::Member { score, member, behind: false };
        let (_, offset) = run::position(packed_run(block), edge);
        match old {
            Some((old, _)) => run::replace(block, ELEMENTS, (old, offset), (score, item)),
            None => run::insert(block, ELEMENTS, offset, (score, item)),
        }
        set_packed_count(block, count);
        Some(put)
    }

    fn put_large(&mut self, member: &[u8], score: f64) -> Put {
        let SortedSet::Large(large) = &mut *self.value else {
            unreachable!("what is not packed is large");
        };
        let Some(found) = large.find(member) else {
            large.make_mut().insert(score, member);
            return Put::Added;
        };
        let put = Put::of(found.1, score);
        if put != Put::Same {
            large.make_mut().change(found, score, member);
        }
        put
    }

    /// Takes a member away; says its score.
    pub fn remove(&mut self, member: &[u8]) -> Option<f64> {
        let score = match &mut *self.value {
            SortedSet::Packed(block) => {
                let (offset, score) = run::find(packed_run(block), Item::of(member))?;
                run::remove(block, ELEMENTS, offset);
                let count = packed_count(block) - 1;
                set_packed_count(block, count);
                score
            }
            SortedSet::Large(large) => {
                let found = large.find(member)?;
                large.make_mut().remove(found, member);
                found.1
            }
        };
        self.record(|| SortedChange::Remove { member: member.into() });
        Some(score)
    }

    /// Takes the member of a rank away; says which it was. To take a range away, do so at its
    /// lower rank again and again, in slices if it is long.
    pub fn remove_at(&mut self, rank: usize) -> Option<(Vec<u8>, f64)> {
        let (member, score) = self.view().at(rank)?;
        let member = member.to_vec();
        match &mut *self.value {
            SortedSet::Packed(_) => {
                self.remove(&member);
                return Some((member, score));
            }
            SortedSet::Large(large) => {
                let (leaf, index) = large.tree.at(rank);
                let offset = run::offset_of(large.tree.run(leaf), index);
                large.make_mut().remove((Place { leaf, offset }, score), &member);
            }
        }
        self.record(|| SortedChange::Remove { member: member.as_slice().into() });
        Some((member, score))
    }

    /// Takes the member with the lowest (`Front`) or the highest score away.
    pub fn pop(&mut self, end: End) -> Option<(Vec<u8>, f64)> {
        match end {
            End::Front => self.remove_at(0),
            End::Back => self.remove_at(self.view().len().checked_sub(1)?),
        }
    }
}

#[cfg(test)]
impl SortedTree {
    /// Whether a member is in the leaf of a spot.
    pub(crate) fn holds(&self, spot: Spot, member: &[u8]) -> bool {
        run::find(self.tree.run(spot.leaf), Item::of(member)).is_some()
    }

    fn check(&self) {
        self.tree.check();
        assert_eq!(self.table.len(), self.tree.len());
        let mut rank = 0;
        while rank < self.len() {
            let (leaf, index) = self.tree.at(rank);
            let (_, member, _) =
                run::entry(&self.tree.run(leaf)[run::offset_of(self.tree.run(leaf), index)..]);
            assert_eq!(self.find(&member.to_vec()).map(|found| found.0.leaf), Some(leaf));
            rank += 1;
        }
    }
}

#[cfg(test)]
#[path = "sorted_tests.rs"]
mod tests;
