//! The order of a large sorted set: a B+tree whose leaves are packed runs and whose branches know how
//! many members are below them, so that ranks, places by score and places by member are all found
//! in one descent. Owns leaves and branches; who looks a member up by its name keeps the name of
//! its leaf, and is told when members move to another one.
//!
//! branch: | count, first score, first leaf, branch below | .. |
//! leaf:   | run | count | leaf before | leaf behind |, in an arena, so that its name stays

use super::SettleCursor;
use super::heap_bytes;
use super::pack::Item;
use super::run::{self, Edge};
use crate::memory::settle_bytes;
use crate::segment::prefetch;
use crate::settle::Settling;

/// A leaf is split rather than passing this; a single entry may be longer.
const LEAF_BYTES_MAX: usize = 768;
/// A leaf below this is joined with a neighbour.
const LEAF_BYTES_MIN: usize = LEAF_BYTES_MAX / 4;
const LEAF_BYTES_JOINED: usize = LEAF_BYTES_MAX / 4 * 3;

const BRANCH_CHILDREN_MAX: usize = 64;
const BRANCH_CHILDREN_MIN: usize = BRANCH_CHILDREN_MAX / 4;
const BRANCH_CHILDREN_JOINED: usize = BRANCH_CHILDREN_MAX / 4 * 3;

const CACHE_LINE_BYTES: usize = 64;

/// Leaves whose places are allocated together: no growth moves more.
const ARENA_STEP: usize = 128;

/// The name of a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LeafId(u32);

/// Where a member is: its leaf, and where in the leaf's run its entry begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub leaf: LeafId,
    pub offset: usize,
}

/// No leaf.
const NONE: LeafId = LeafId(u32::MAX);

#[derive(Clone, Debug)]
struct Leaf {
    run: Vec<u8>,
    count: u32,
    before: LeafId,
    /// Of a free place: the next free one.
    behind: LeafId,
}

impl Leaf {
    fn heap(&self) -> usize {
        heap_bytes(self.run.capacity())
    }

    fn count(&self) -> usize {
        self.count as usize
    }

    /// Makes room for so many bytes more, just as many as the allocator gives anyway.
    fn reserve(&mut self, bytes: usize) {
        let needed = self.run.len() + bytes;
        if needed > self.run.capacity() {
            self.run.reserve_exact(heap_bytes(needed) - self.run.len());
        }
    }

    fn give_back(&mut self) {
        if self.run.capacity() - self.run.len() > self.run.capacity() / 4 {
            self.run.shrink_to(heap_bytes(self.run.len()));
        }
    }

    fn first(&self) -> (f64, Item<'_>) {
        let (score, member, _) = run::entry(&self.run);
        (score, member)
    }
}

/// The leaves, and the count of all bytes of the tree.
#[derive(Clone, Debug)]
struct Leaves {
    steps: Vec<Vec<Leaf>>,
    free: LeafId,
    /// Bytes of runs, arena and branches by size class, without `steps`' own buffer.
    heap: usize,
}

impl Leaves {
    fn get(&self, id: LeafId) -> &Leaf {
        &self.steps[id.0 as usize / ARENA_STEP][id.0 as usize % ARENA_STEP]
    }

    /// To change what no count depends on.
    fn get_mut(&mut self, id: LeafId) -> &mut Leaf {
        &mut self.steps[id.0 as usize / ARENA_STEP][id.0 as usize % ARENA_STEP]
    }

    /// Changes a leaf's run, keeping the books.
    fn change<R>(&mut self, id: LeafId, f: impl FnOnce(&mut Leaf) -> R) -> R {
        let leaf = self.get_mut(id);
        let old = leaf.heap();
        let result = f(leaf);
        let new = leaf.heap();
        self.heap = self.heap + new - old;
        result
    }

    /// A new leaf behind another one, or the only one.
    fn add(&mut self, run: Vec<u8>, count: u32, before: LeafId) -> LeafId {
        let behind = if before == NONE { NONE } else { self.get(before).behind };
        let leaf = Leaf { run, count, before, behind };
        self.heap += leaf.heap();
        let id = if self.free == NONE {
            self.add_place(leaf)
        } else {
            let id = self.free;
            self.free = self.get(id).behind;
            *self.get_mut(id) = leaf;
            id
        };
        if before != NONE {
            self.get_mut(before).behind = id;
        }
        if behind != NONE {
            self.get_mut(behind).before = id;
        }
        id
    }

    fn add_place(&mut self, leaf: Leaf) -> LeafId {
        if self.steps.last().is_none_or(|step| step.len() == ARENA_STEP) {
            self.steps.push(Vec::new());
        }
        let steps = self.steps.len();
        let step = self.steps.last_mut().expect("one was pushed if there was none");
        let old = heap_bytes(step.capacity() * size_of::<Leaf>());
        if step.len() == step.capacity() {
            step.reserve_exact((step.len() * 2).clamp(4, ARENA_STEP) - step.len());
        }
        step.push(leaf);
        self.heap += heap_bytes(step.capacity() * size_of::<Leaf>()) - old;
        LeafId(((steps - 1) * ARENA_STEP + step.len() - 1) as u32)
    }

    /// Frees a leaf's run and place.
    fn remove(&mut self, id: LeafId) {
        let free = self.free;
        let leaf = self.get_mut(id);
        let (before, behind, heap) = (leaf.before, leaf.behind, leaf.heap());
        *leaf = Leaf { run: Vec::new(), count: 0, before: NONE, behind: free };
        self.heap -= heap;
        self.free = id;
        if before != NONE {
            self.get_mut(before).behind = behind;
        }
        if behind != NONE {
            self.get_mut(behind).before = before;
        }
    }
}

/// A subtree, as the branch above it knows it.
#[derive(Clone, Debug)]
struct Child {
    count: usize,
    /// Of the first member below.
    score: f64,
    /// The leaf that holds the first member below; with no branch below, all of them.
    first: LeafId,
    below: Option<Box<Branch>>,
}

impl Child {
    fn of_leaf(id: LeafId, leaves: &Leaves) -> Self {
        let leaf = leaves.get(id);
        Self { count: leaf.count(), score: leaf.first().0, first: id, below: None }
    }

    fn of_branch(branch: Box<Branch>) -> Self {
        let (count, first) = (branch.count(), &branch.children[0]);
        Self { count, score: first.score, first: first.first, below: Some(branch) }
    }

    /// Takes over what has changed below; something must be left there.
    fn refresh(&mut self, leaves: &Leaves) {
        self.count = match &self.below {
            None => leaves.get(self.first).count(),
            Some(branch) => branch.count(),
        };
        self.refresh_first(leaves);
    }

    /// Takes over what is first below.
    fn refresh_first(&mut self, leaves: &Leaves) {
        match &self.below {
            None => self.score = leaves.get(self.first).first().0,
            Some(branch) => {
                self.score = branch.children[0].score;
                self.first = branch.children[0].first;
            }
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Branch {
    children: Vec<Child>,
}

/// A member that is to come, and who is told which others move.
struct Insertion<'a, F> {
    score: f64,
    member: Item<'a>,
    edge: Edge<'a>,
    moved: F,
}

impl Branch {
    fn count(&self) -> usize {
        self.children.iter().map(|child| child.count).sum()
    }

    fn heap(&self) -> usize {
        heap_bytes(self.children.capacity() * size_of::<Child>())
    }

    /// A branch that is not the root, with its box.
    fn boxed_heap(&self) -> usize {
        self.heap() + heap_bytes(size_of::<Self>())
    }

    /// The branches below.
    fn below_heap(&self) -> usize {
        let branches = self.children.iter().filter_map(|child| child.below.as_ref());
        branches.map(|branch| branch.boxed_heap() + branch.below_heap()).sum()
    }

    /// How many children begin before an edge: the edge is in the last of them.
    fn children_before(&self, edge: Edge<'_>, leaves: &Leaves) -> usize {
        self.children.partition_point(|child| {
            edge.is_behind(child.score, || leaves.get(child.first).first().1)
        })
    }

    /// Puts the entry where it belongs. Returns its leaf, none if it is to be tried again, and what
    /// had to be split off to the right of this branch.
    fn insert<F: FnMut(Item<'_>, LeafId, LeafId)>(
        &mut self,
        leaves: &mut Leaves,
        insertion: &mut Insertion<'_, F>,
    ) -> (Option<LeafId>, Option<Child>) {
        let at = self.children_before(insertion.edge, leaves).saturating_sub(1);
        let child = &mut self.children[at];
        let (leaf, split) = match &mut child.below {
            Some(branch) => branch.insert(leaves, insertion),
            None => insert_in_leaf(leaves, child.first, insertion),
        };
        let Some(split) = split else {
            // Not counted anew: that would fetch all that the branch below has.
            child.count += usize::from(leaf.is_some());
            child.refresh_first(leaves);
            return (leaf, None);
        };
        child.refresh(leaves);
        let heap = self.heap();
        self.children.insert(at + 1, split);
        leaves.heap = leaves.heap + self.heap() - heap;
        if self.children.len() <= BRANCH_CHILDREN_MAX {
            return (leaf, None);
        }
        let appended = at + 2 == self.children.len();
        let cut = if appended { BRANCH_CHILDREN_MAX } else { BRANCH_CHILDREN_MAX / 2 };
        let right = Box::new(Self { children: self.children.split_off(cut) });
        leaves.heap += right.boxed_heap();
        (leaf, Some(Child::of_branch(right)))
    }

    /// Takes the entry at an edge's left away, whose place is known.
    fn remove<F: FnMut(Item<'_>, LeafId, LeafId)>(
        &mut self,
        leaves: &mut Leaves,
        edge: Edge<'_>,
        place: Place,
        moved: &mut F,
    ) {
        let at = self.children_before(edge, leaves).checked_sub(1).expect("it is in a child");
        let child = &mut self.children[at];
        let small = if let Some(branch) = &mut child.below {
            branch.remove(leaves, edge, place, moved);
            branch.children.len() < BRANCH_CHILDREN_MIN
        } else {
            assert!(child.first == place.leaf, "the order leads to where the member is");
            leaves.change(child.first, |leaf| {
                run::remove(&mut leaf.run, 0, place.offset);
                leaf.count -= 1;
                leaf.give_back();
                leaf.run.len() < LEAF_BYTES_MIN
            })
        };
        let empty = match &child.below {
            Some(branch) => branch.children.is_empty(),
            None => leaves.get(child.first).count == 0,
        };
        if empty {
            self.drop_child(at, leaves);
            return;
        }
        child.count -= 1;
        child.refresh_first(leaves);
        if small && !self.join(at, leaves, moved) && at > 0 {
            self.join(at - 1, leaves, moved);
        }
    }

    /// Drops a child that has nothing left.
    fn drop_child(&mut self, at: usize, leaves: &mut Leaves) {
        let heap = self.heap();
        let child = self.children.remove(at);
        if self.children.capacity() > 4 * self.children.len() {
            self.children.shrink_to(2 * self.children.len());
        }
        leaves.heap = leaves.heap + self.heap() - heap;
        match child.below {
            Some(branch) => leaves.heap -= branch.boxed_heap(),
            None => leaves.remove(child.first),
        }
    }

    /// Joins a child with the one on its right, if both together leave slack.
    fn join<F: FnMut(Item<'_>, LeafId, LeafId)>(
        &mut self,
        at: usize,
        leaves: &mut Leaves,
        moved: &mut F,
    ) -> bool {
        let Some([left, right]) = self.children.get_mut(at..at + 2) else { return false };
        match (&mut left.below, &mut right.below) {
            (Some(one), Some(other)) => {
                if one.children.len() + other.children.len() > BRANCH_CHILDREN_JOINED {
                    return false;
                }
                let heap = one.heap();
                one.children.append(&mut other.children);
                leaves.heap = leaves.heap + one.heap() - heap;
            }
            (None, None) => {
                let together = leaves.get(left.first).run.len() + leaves.get(right.first).run.len();
                if together > LEAF_BYTES_JOINED {
                    return false;
                }
                let (to, from) = (left.first, right.first);
                let (moving, count) = leaves.change(from, |leaf| {
                    (std::mem::take(&mut leaf.run), std::mem::take(&mut leaf.count))
                });
                each_member(&moving, |member| moved(member, from, to));
                leaves.change(to, |leaf| {
                    leaf.reserve(moving.len());
                    leaf.run.extend_from_slice(&moving);
                    leaf.count += count;
                });
            }
            (Some(_), None) | (None, Some(_)) => unreachable!("all leaves are equally deep"),
        }
        left.refresh(leaves);
        self.drop_child(at + 1, leaves);
        true
    }

    /// Frees branches below, one unit each. True: none is left.
    fn free_some(&mut self, leaves: &mut Leaves, units: &mut u32) -> bool {
        while let Some(branch) = self.children.last_mut().and_then(|child| child.below.as_mut()) {
            if !branch.free_some(leaves, units) || *units == 0 {
                return false;
            }
            *units -= 1;
            leaves.heap -= branch.boxed_heap();
            self.children.pop();
        }
        // Children without a branch below hold nothing that is freed one by one.
        self.children.clear();
        true
    }
}

fn each_member(run: &[u8], mut visit: impl FnMut(Item<'_>)) {
    let mut offset = 0;
    while offset < run.len() {
        let (_, member, length) = run::entry(&run[offset..]);
        visit(member);
        offset += length;
    }
}

/// Puts an entry into a leaf, or splits the leaf to make room. Returns the leaf that holds the entry
/// now, none if it is to be tried again, and what was split off.
fn insert_in_leaf<F: FnMut(Item<'_>, LeafId, LeafId)>(
    leaves: &mut Leaves,
    id: LeafId,
    insertion: &mut Insertion<'_, F>,
) -> (Option<LeafId>, Option<Child>) {
    let entry = (insertion.score, insertion.member);
    let length = run::entry_len(entry.0, entry.1);
    let put = |leaf: &mut Leaf, offset: usize| {
        leaf.reserve(length);
        run::insert(&mut leaf.run, 0, offset, entry);
        leaf.count += 1;
    };
    let leaf = leaves.get(id);
    let (index, offset) = run::position(&leaf.run, insertion.edge);
    if leaf.run.len() + length <= LEAF_BYTES_MAX {
        leaves.change(id, |leaf| put(leaf, offset));
        return (Some(id), None);
    }
    // A long entry gets a leaf of its own. So does what comes behind all others: what grows at its
    // end, as by time, leaves full leaves behind.
    let alone = length > LEAF_BYTES_MAX / 2 || leaf.count == 1;
    if index == leaf.count() && (alone || leaf.behind == NONE) {
        let right = leaves.add(Vec::new(), 0, id);
        leaves.change(right, |leaf| put(leaf, 0));
        return (Some(right), Some(Child::of_leaf(right, leaves)));
    }
    let (cut, at) = if alone { (index, offset) } else { middle_of(leaf) };
    let (moving, count) = (leaf.run[at..].to_vec(), leaf.count - cut as u32);
    let right = leaves.add(moving, count, id);
    leaves.change(id, |leaf| {
        leaf.run.truncate(at);
        leaf.count = cut as u32;
        leaf.give_back();
        if cut == 0 {
            put(leaf, 0);
        }
    });
    each_member(&leaves.get(right).run, |member| (insertion.moved)(member, id, right));
    ((cut == 0).then_some(id), Some(Child::of_leaf(right, leaves)))
}

/// The entry that begins nearest to the middle of a leaf of two or more, but not the first, and
/// where it begins.
fn middle_of(leaf: &Leaf) -> (usize, usize) {
    let middle = leaf.run.len() / 2;
    let (mut cut, mut at) = (1, run::offset_of(&leaf.run, 1));
    while cut + 1 < leaf.count() {
        let next = at + run::offset_of(&leaf.run[at..], 1);
        if next.abs_diff(middle) >= at.abs_diff(middle) {
            break;
        }
        (cut, at) = (cut + 1, next);
    }
    (cut, at)
}

/// Members in order of score, then bytes.
#[derive(Debug)]
pub(super) struct Tree {
    root: Branch,
    leaves: Leaves,
    count: usize,
}

impl Clone for Tree {
    fn clone(&self) -> Self {
        let (root, leaves) = (self.root.clone(), self.leaves.clone());
        let mut copy = Self { root, leaves, count: self.count };
        // Copies of buffers may be of other capacities.
        copy.leaves.heap = copy.counted_heap();
        copy
    }
}

impl Tree {
    pub(super) fn new() -> Self {
        let leaves = Leaves { steps: Vec::new(), free: NONE, heap: 0 };
        Self { root: Branch::default(), leaves, count: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// What `Leaves::heap` is, counted anew.
    fn counted_heap(&self) -> usize {
        let steps = self.leaves.steps.iter().map(|step| step.capacity() * size_of::<Leaf>());
        let runs = self.leaves.steps.iter().flatten().map(Leaf::heap);
        self.root.heap()
            + self.root.below_heap()
            + steps.map(heap_bytes).sum::<usize>()
            + runs.sum::<usize>()
    }

    /// Heap bytes by size class, this struct not included.
    pub(super) fn bytes(&self) -> usize {
        self.leaves.heap + heap_bytes(self.leaves.steps.capacity() * size_of::<Vec<Leaf>>())
    }

    /// Begins to load what says where a leaf's run is.
    pub(super) fn prefetch_leaf(&self, id: LeafId) {
        prefetch(std::ptr::from_ref(self.leaves.get(id)).cast());
    }

    /// Begins to load a leaf's run.
    pub(super) fn prefetch_run(&self, id: LeafId) {
        let run = &self.leaves.get(id).run;
        for line in run.chunks(CACHE_LINE_BYTES) {
            prefetch(line.as_ptr());
        }
    }

    /// A leaf's run.
    pub(super) fn run(&self, id: LeafId) -> &[u8] {
        &self.leaves.get(id).run
    }

    /// Puts a member that is not there where it belongs; says in which leaf. `moved` learns of
    /// every other member that goes from one leaf to another.
    pub(super) fn insert(
        &mut self,
        score: f64,
        member: &[u8],
        moved: impl FnMut(Item<'_>, LeafId, LeafId),
    ) -> LeafId {
        let edge = Edge::Member { score, member, behind: true };
        let mut insertion = Insertion { score, member: Item::of(member), edge, moved };
        self.count += 1;
        if self.root.children.is_empty() {
            let mut run = Vec::new();
            run::insert(&mut run, 0, 0, (score, insertion.member));
            let leaf = self.leaves.add(run, 1, NONE);
            self.push_to_root(Child::of_leaf(leaf, &self.leaves));
            return leaf;
        }
        // Each round makes the leaf smaller that has no room for the entry.
        loop {
            let (leaf, split) = self.root.insert(&mut self.leaves, &mut insertion);
            if let Some(split) = split {
                let left = Box::new(std::mem::take(&mut self.root));
                // Its list was counted as the root's already.
                self.leaves.heap += left.boxed_heap() - left.heap();
                self.push_to_root(Child::of_branch(left));
                self.push_to_root(split);
            }
            if let Some(leaf) = leaf {
                return leaf;
            }
        }
    }

    fn push_to_root(&mut self, child: Child) {
        let heap = self.root.heap();
        self.root.children.push(child);
        self.leaves.heap = self.leaves.heap + self.root.heap() - heap;
    }

    /// Takes a member away whose place and score these are. `moved` learns of every other member
    /// that goes from one leaf to another.
    pub(super) fn remove(
        &mut self,
        place: Place,
        score: f64,
        member: &[u8],
        mut moved: impl FnMut(Item<'_>, LeafId, LeafId),
    ) {
        let edge = Edge::Member { score, member, behind: true };
        self.root.remove(&mut self.leaves, edge, place, &mut moved);
        self.count -= 1;
        while let [Child { below: below @ Some(_), .. }] = &mut self.root.children[..] {
            let branch = below.take().expect("just matched");
            self.leaves.heap -= self.root.heap() + branch.boxed_heap() - branch.heap();
            self.root = *branch;
        }
    }

    /// Gives a member another score, if it stays in its leaf and no branch need know. False: nothing
    /// was done.
    pub(super) fn change_within(&mut self, place: Place, score: f64, member: &[u8]) -> bool {
        let run = &self.leaves.get(place.leaf).run;
        let edge = Edge::Member { score, member, behind: false };
        let (_, offset) = run::position(run, edge);
        let item = Item::of(member);
        let (old, new) = (run::skip(&run[place.offset..]), run::entry_len(score, item));
        // The branches know of the leaf's first entry; what is last may belong to the next leaf.
        if place.offset == 0 || offset == 0 || offset == run.len() {
            return false;
        }
        if run.len() - old + new > LEAF_BYTES_MAX {
            return false;
        }
        self.leaves.change(place.leaf, |leaf| {
            leaf.reserve(new.saturating_sub(old));
            run::replace(&mut leaf.run, 0, (place.offset, offset), (score, item));
        });
        true
    }

    /// How many members stand before an edge.
    pub(super) fn rank(&self, edge: Edge<'_>) -> usize {
        let (mut branch, mut rank) = (&self.root, 0);
        loop {
            let Some(at) = branch.children_before(edge, &self.leaves).checked_sub(1) else {
                return rank;
            };
            rank += branch.children[..at].iter().map(|child| child.count).sum::<usize>();
            let child = &branch.children[at];
            let Some(below) = &child.below else {
                return rank + run::position(&self.leaves.get(child.first).run, edge).0;
            };
            branch = below;
        }
    }

    /// The leaf of the member of a rank below the count, and its index there.
    pub(super) fn at(&self, rank: usize) -> (LeafId, usize) {
        debug_assert!(rank < self.count);
        // The root knows the first leaf, which is what is read most.
        let first = self.root.children.first().expect("the rank is below the count").first;
        if rank < self.leaves.get(first).count() {
            return (first, rank);
        }
        let (mut branch, mut left) = (&self.root, rank);
        loop {
            let mut children = branch.children.iter();
            let child = loop {
                let child = children.next().expect("the rank is below the count");
                if left < child.count {
                    break child;
                }
                left -= child.count;
            };
            match &child.below {
                Some(below) => branch = below,
                None => return (child.first, left),
            }
        }
    }

    /// The leaf before one.
    pub(super) fn before(&self, id: LeafId) -> Option<LeafId> {
        let before = self.leaves.get(id).before;
        (before != NONE).then_some(before)
    }

    /// The leaf behind one.
    pub(super) fn behind(&self, id: LeafId) -> Option<LeafId> {
        let behind = self.leaves.get(id).behind;
        (behind != NONE).then_some(behind)
    }

    /// How many members a leaf has.
    pub(super) fn leaf_len(&self, id: LeafId) -> usize {
        self.leaves.get(id).count()
    }

    /// Frees leaves and branches, one unit each, until no units are left. True: nothing is left.
    /// Once begun, the tree is good for nothing else.
    /// Moves runs to where they leave fewer holes. True: all have been looked at.
    pub(super) fn settle_some(&mut self, cursor: &mut SettleCursor, slice: &mut Settling) -> bool {
        let places = self
            .leaves
            .steps
            .last()
            .map_or(0, |last| ((self.leaves.steps.len() - 1) * ARENA_STEP + last.len()) as u64);
        while cursor.0 < places && slice.units > 0 {
            slice.count(settle_bytes(&mut self.leaves.get_mut(LeafId(cursor.0 as u32)).run));
            cursor.0 += 1;
        }
        cursor.0 >= places
    }

    pub(super) fn free_some(&mut self, units: &mut u32) -> bool {
        while let Some(step) = self.leaves.steps.last_mut() {
            let Some(leaf) = step.pop() else {
                self.leaves.heap -= heap_bytes(step.capacity() * size_of::<Leaf>());
                self.leaves.steps.pop();
                continue;
            };
            self.leaves.heap -= leaf.heap();
            self.count -= leaf.count();
            *units = units.saturating_sub(1);
            if *units == 0 {
                return false;
            }
        }
        self.root.free_some(&mut self.leaves, units)
    }
}

#[cfg(test)]
impl Tree {
    /// Looks at every promise that the tree makes to itself.
    pub(super) fn check(&self) {
        let mut leaves = Vec::new();
        let depth = self.check_branch(&self.root, true, &mut leaves);
        assert!(depth < 8);
        assert_eq!(self.leaves.heap, self.counted_heap());
        let mut before = NONE;
        let mut last: Option<(f64, Vec<u8>)> = None;
        let mut count = 0;
        for &id in &leaves {
            let leaf = self.leaves.get(id);
            assert_eq!(leaf.before, before);
            if before != NONE {
                assert_eq!(self.leaves.get(before).behind, id);
            }
            before = id;
            let mut offset = 0;
            for _ in 0..leaf.count {
                let (score, member, length) = run::entry(&leaf.run[offset..]);
                offset += length;
                let this = (score, member.to_vec());
                assert!(last.is_none_or(|last| last < this));
                last = Some(this);
                count += 1;
            }
            assert_eq!(offset, leaf.run.len());
            assert!(offset <= LEAF_BYTES_MAX || leaf.count == 1);
        }
        assert_eq!(count, self.count);
        if before != NONE {
            assert_eq!(self.leaves.get(before).behind, NONE);
        }
    }

    fn check_branch(&self, branch: &Branch, root: bool, leaves: &mut Vec<LeafId>) -> usize {
        assert!(root || !branch.children.is_empty());
        assert!(branch.children.len() <= BRANCH_CHILDREN_MAX);
        let mut depth = None;
        for child in &branch.children {
            let mut known = child.clone();
            known.refresh(&self.leaves);
            assert_eq!((known.count, known.first), (child.count, child.first));
            assert_eq!(known.score.to_bits(), child.score.to_bits());
            let here = if let Some(below) = &child.below {
                1 + self.check_branch(below, false, leaves)
            } else {
                leaves.push(child.first);
                0
            };
            assert_eq!(*depth.get_or_insert(here), here);
        }
        depth.unwrap_or(0)
    }
}
