//! Sets: sorted integers in a packed block, other members in a packed block, or a table. Owns when
//! which, and what an edit records.
//!
//! ```text
//! block of integers: see `intset`
//! block of members:  | head 2 | member | member | ..
//! ```

use ringlane_base::Now;

use super::block::{self, HEAD_BYTES, set_head};
use super::intset::{self, Integers};
use super::pack::{Item, read, skip, write};
use super::table::{Iter, Segmented, hash_bytes};
use super::thin::Thin;
use super::{
    Edit, PACKED_BYTES_MAX, Packable, PackableView, Packs, SetChange, SettleCursor, Shared,
};
use crate::settle::Settling;

/// The kind of a block of members; the other is `intset::KIND`.
const MEMBERS: u8 = 1;

/// The structure of a large set.
#[derive(Clone, Debug, Default)]
pub struct SetTable {
    table: Segmented<Thin>,
    /// Bytes of the members outside of the table.
    members_bytes: usize,
}

#[inline]
fn hash_of(member: &Thin) -> u64 {
    hash_bytes(member.as_slice())
}

impl SetTable {
    /// Where the member of this hash is, as a rule.
    #[inline]
    pub fn hint(&self, hash: u64) -> Option<&Thin> {
        self.table.hint(hash)
    }

    /// An empty one with room for so many members.
    pub fn with_capacity(members: usize) -> Self {
        Self { table: Segmented::with_capacity(members), members_bytes: 0 }
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Heap bytes by usable size.
    pub fn bytes(&self) -> usize {
        self.table.bytes() + self.members_bytes
    }

    #[inline]
    pub fn contains(&self, member: &[u8]) -> bool {
        self.table.find(hash_bytes(member), |of| of.as_slice() == member).is_some()
    }

    /// True: it is new.
    #[inline]
    pub fn insert(&mut self, member: &[u8]) -> bool {
        let (thin, new) = self.table.find_or_insert(
            hash_bytes(member),
            |of| of.as_slice() == member,
            || Thin::new(member),
            hash_of,
        );
        if new {
            self.members_bytes += thin.heap_bytes();
        }
        new
    }

    /// True: it was there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        let is_it = |of: &Thin| of.as_slice() == member;
        let Some(thin) = self.table.remove(hash_bytes(member), is_it, hash_of) else {
            return false;
        };
        self.members_bytes -= thin.heap_bytes();
        true
    }

    /// As `Collection::free_some`.
    pub(crate) fn settle_some(&mut self, cursor: &mut SettleCursor, slice: &mut Settling) -> bool {
        self.table.visit_some(&mut cursor.0, |member| {
            slice.count(member.settle());
            slice.units == 0
        })
    }

    pub fn free_some(&mut self, units: &mut u32) -> bool {
        let members_bytes = &mut self.members_bytes;
        self.table.free_some(units, |member| *members_bytes -= member.heap_bytes())
    }
}

/// A set.
pub type Set = Packable<SetTable>;

impl Packs for SetTable {
    type View<'a> = SetView<'a>;

    fn view(form: PackableView<'_, Self>, _now: Now) -> SetView<'_> {
        match form {
            PackableView::Packed(block) => SetView::of_block(block),
            PackableView::Large(table) => SetView(Form::Table(table)),
        }
    }

    fn packed_len(block: &[u8]) -> usize {
        SetView::of_block(block).len()
    }

    fn repeat(edit: &mut Edit<'_, Set>, change: &SetChange) {
        match change {
            SetChange::Add { member } => edit.insert(member),
            SetChange::Remove { member } => edit.remove(member),
        };
    }
}

impl Set {
    /// The view of what is owned here.
    pub fn as_view(&self) -> SetView<'_> {
        SetTable::view(self.form(), Now::default())
    }
}

#[derive(Clone, Copy, Debug)]
enum Form<'a> {
    Integers(Integers<'a>),
    Members(&'a [u8]),
    Table(&'a SetTable),
}

/// A set, to read.
#[derive(Clone, Copy, Debug)]
pub struct SetView<'a>(Form<'a>);

/// Where a member of a block begins and ends.
fn find_member(block: &[u8], member: Item<'_>) -> Option<std::ops::Range<usize>> {
    let mut at = HEAD_BYTES;
    while at < block.len() {
        let (found, len) = read(&block[at..]);
        if found == member {
            return Some(at..at + len);
        }
        at += len;
    }
    None
}

impl<'a> SetView<'a> {
    #[inline]
    fn of_block(block: &'a [u8]) -> Self {
        if block::kind(block) == intset::KIND {
            Self(Form::Integers(Integers::of(block)))
        } else {
            Self(Form::Members(block))
        }
    }

    pub fn len(self) -> usize {
        match self.0 {
            Form::Integers(integers) => integers.len(),
            Form::Members(block) => block::count(block),
            Form::Table(table) => table.len(),
        }
    }

    /// Bytes that it takes; constant time.
    pub fn bytes(self) -> usize {
        match self.0 {
            Form::Integers(integers) => integers.len() * size_of::<i64>(),
            Form::Members(block) => block.len(),
            Form::Table(table) => table.bytes(),
        }
    }

    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// As OBJECT ENCODING names it.
    pub fn encoding(self) -> &'static str {
        match self.0 {
            Form::Integers(_) => "intset",
            Form::Members(_) => "listpack",
            Form::Table(_) => "hashtable",
        }
    }

    #[inline]
    pub fn contains(self, member: &[u8]) -> bool {
        match self.0 {
            Form::Table(table) => table.contains(member),
            Form::Integers(_) | Form::Members(_) => self.contains_item(Item::of(member)),
        }
    }

    /// The same for a member of another set.
    #[inline]
    pub fn contains_item(self, member: Item<'_>) -> bool {
        match (self.0, member) {
            (Form::Integers(integers), Item::Integer(integer)) => integers.find(integer).is_ok(),
            (Form::Integers(_), Item::Text(_)) => false,
            (Form::Members(block), _) => find_member(block, member).is_some(),
            (Form::Table(table), _) => table.contains(member.bytes(&mut itoa::Buffer::new())),
        }
    }

    /// All members: integers of a block ascending, others in no particular order.
    pub fn iter(self) -> SetIter<'a> {
        SetIter(match self.0 {
            Form::Integers(integers) => Walk::Integers(integers, 0),
            Form::Members(block) => Walk::Members(block::elements(block)),
            Form::Table(table) => Walk::Table(table.table.iter()),
        })
    }

    /// A member, all of them equally likely.
    pub fn random(self, dice: &mut fastrand::Rng) -> Option<Item<'a>> {
        let len = self.len();
        if len == 0 {
            return None;
        }
        match self.0 {
            Form::Integers(integers) => Some(Item::Integer(integers.get(dice.usize(..len)))),
            Form::Members(block) => {
                let mut rest = block::elements(block);
                for _ in 0..dice.usize(..len) {
                    rest = &rest[skip(rest)..];
                }
                Some(read(rest).0)
            }
            Form::Table(table) => table.table.random(dice).map(|of| Item::of(of.as_slice())),
        }
    }

    /// Shows about `count` members from the cursor on (a packed set all of them) and gives the
    /// cursor to go on from, 0 when all have been seen. Begin with 0. A member that is there from
    /// the first call to the last is shown at least once.
    pub fn scan(self, cursor: u64, count: usize, visit: &mut dyn FnMut(Item<'a>)) -> u64 {
        match self.0 {
            Form::Integers(_) | Form::Members(_) => {
                for member in self.iter() {
                    visit(member);
                }
                0
            }
            Form::Table(table) => table.table.scan(cursor, count, hash_of, |member| {
                visit(Item::of(member.as_slice()));
            }),
        }
    }
}

#[derive(Clone)]
enum Walk<'a> {
    /// With the next one's place.
    Integers(Integers<'a>, usize),
    Members(&'a [u8]),
    Table(Iter<'a, Thin>),
}

/// The members of a set.
#[derive(Clone)]
pub struct SetIter<'a>(Walk<'a>);

impl<'a> Iterator for SetIter<'a> {
    type Item = Item<'a>;

    #[inline]
    fn next(&mut self) -> Option<Item<'a>> {
        match &mut self.0 {
            Walk::Integers(integers, next) => {
                let index = *next;
                *next += 1;
                (index < integers.len()).then(|| Item::Integer(integers.get(index)))
            }
            Walk::Members([]) => None,
            Walk::Members(rest) => {
                let (member, len) = read(rest);
                *rest = &rest[len..];
                Some(member)
            }
            Walk::Table(members) => members.next().map(|member| Item::of(member.as_slice())),
        }
    }
}

/// The integers as a block of members.
fn members_of(integers: Integers<'_>) -> Vec<u8> {
    let mut block = Vec::new();
    set_head(&mut block, MEMBERS, integers.len());
    for integer in integers.iter() {
        write(Item::Integer(integer), &mut block);
    }
    block
}

impl Edit<'_, Set> {
    /// True: the member is new.
    pub fn insert(&mut self, member: &[u8]) -> bool {
        let new = match self.value {
            Set::Large(large) => {
                if large.is_shared() && large.contains(member) {
                    // Without a copy of what is shared when there is nothing to do.
                    return false;
                }
                large.make_mut().insert(member)
            }
            Set::Packed(_) => self.insert_packed(member),
        };
        if new {
            self.record(|| SetChange::Add { member: member.into() });
        }
        new
    }

    /// True: the member was there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        let removed = match self.value {
            Set::Large(large) => {
                if large.is_shared() && !large.contains(member) {
                    return false;
                }
                large.make_mut().remove(member)
            }
            Set::Packed(block) => remove_packed(block, Item::of(member)),
        };
        if removed {
            self.record(|| SetChange::Remove { member: member.into() });
        }
        removed
    }

    /// Removes a member, all of them equally likely.
    pub fn pop(&mut self, dice: &mut fastrand::Rng) -> Option<Vec<u8>> {
        let member = self.view().random(dice)?.to_vec();
        self.remove(&member);
        Some(member)
    }

    fn insert_packed(&mut self, member: &[u8]) -> bool {
        let Set::Packed(block) = self.value else {
            unreachable!("the caller looked");
        };
        let item = Item::of(member);
        if block::kind(block) != intset::KIND {
            return self.insert_member(member, item);
        }
        let integers = Integers::of(block);
        if let Item::Integer(integer) = item {
            let Err(place) = integers.find(integer) else { return false };
            if integers.len() >= self.limits.set_max_intset_entries
                || intset::len_after_insert(block, integer) > PACKED_BYTES_MAX
            {
                return self.large().insert(member);
            }
            intset::insert(block, place, integer);
            return true;
        }
        if integers.text_len_max() > self.limits.set_max_listpack_value
            || integers.len() >= self.limits.set_max_listpack_entries
        {
            return self.large().insert(member);
        }
        *block = members_of(integers);
        self.insert_member(member, item)
    }

    /// Puts the member into a block of members, if it is not there.
    fn insert_member(&mut self, member: &[u8], item: Item<'_>) -> bool {
        let Set::Packed(block) = self.value else {
            unreachable!("the caller looked");
        };
        if find_member(block, item).is_some() {
            return false;
        }
        let count = block::count(block);
        if count >= self.limits.set_max_listpack_entries
            || member.len() > self.limits.set_max_listpack_value
            || block.len() + item.packed_len() > PACKED_BYTES_MAX
        {
            return self.large().insert(member);
        }
        write(item, block);
        set_head(block, MEMBERS, count + 1);
        true
    }

    /// The value as a table, which it becomes.
    fn large(&mut self) -> &mut SetTable {
        if let Set::Packed(block) = self.value {
            let view = SetView::of_block(block);
            let mut table = SetTable::with_capacity(view.len() + 1);
            for member in view.iter() {
                table.insert(member.bytes(&mut itoa::Buffer::new()));
            }
            *self.value = Set::Large(Shared::new(table));
        }
        match self.value {
            Set::Large(large) => large.make_mut(),
            Set::Packed(_) => unreachable!("it has just become large"),
        }
    }
}

fn remove_packed(block: &mut Vec<u8>, member: Item<'_>) -> bool {
    if block::kind(block) == intset::KIND {
        let Item::Integer(integer) = member else { return false };
        let Ok(place) = Integers::of(block).find(integer) else { return false };
        intset::remove(block, place);
        return true;
    }
    let Some(range) = find_member(block, member) else { return false };
    block.drain(range);
    let left = block::count(block) - 1;
    set_head(block, MEMBERS, left);
    true
}

#[cfg(test)]
#[path = "set_tests.rs"]
mod tests;
