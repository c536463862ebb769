//! What stands in a cell: one key with its value.
//!
//! ```text
//! | header 8 | expiry 8, if any | value in the allocator 40, if so | key | value, if inline |
//! header, low bits first:
//! | value length 16 | key length 24 | database 8 | type 4 | encoding 3 |
//! | has expiry 1 | in the wheel 1 | colour 1 | clock 4 | 2 spare |
//! ```
//! Integers take 1, 2, 4 or 8 bytes, whichever holds them; never more than their text. A small
//! collection is a packed block, inline as a text is; a large one is a structure outside.

use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::Arc;

use bytes::Bytes;
use ringlane_base::{Due, Now, number};

use crate::classes::Class;
use crate::memory::size_class;
use crate::segment::prefetch;
use crate::slab::{CellPlace, Handle, Slab};
use crate::types::{Body, BodyView, Collection};
use crate::{BLOB_BYTES_MIN, CollectionView, NewValue, TypeName, Value};

const HEADER_BYTES: usize = 8;
const EXPIRY_BYTES: usize = 8;

/// What has an allocation of its own.
enum Apart {
    Blob(Bytes),
    Large(Arc<Collection>),
}

/// A value with an allocation of its own, as it stands in the cell.
struct Outside {
    apart: Apart,
    /// What it counts for in the memory account.
    charged: usize,
}

const OUTSIDE_BYTES: usize = size_of::<Outside>();
const _: () = assert!(OUTSIDE_BYTES == 40 && align_of::<Outside>() == 8);
const _: () = assert!(BLOB_BYTES_MIN <= 1 << 16);

/// What a shared `Bytes` takes beside its bytes (the reference count and the allocation's address).
const SHARED_BYTES: usize = 32;

/// The first word of an entry.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Header(u64);

const KEY_SHIFT: u32 = 16;
const DATABASE_SHIFT: u32 = 40;
const TYPE_SHIFT: u32 = 48;
const ENCODING_SHIFT: u32 = 52;
const HAS_EXPIRY: u64 = 1 << 55;
const IN_WHEEL: u64 = 1 << 56;
const CLOCK_SHIFT: u32 = 58;
const CLOCK_MASK: u64 = 15 << CLOCK_SHIFT;

/// How the value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Encoding {
    /// Of a string: its bytes. Of a collection: its packed block.
    Text = 0,
    Integer1 = 1,
    Integer2 = 2,
    Integer4 = 3,
    Integer8 = 4,
    Outside = 5,
}

impl Header {
    #[inline]
    fn encoding(self) -> Encoding {
        match (self.0 >> ENCODING_SHIFT) & 7 {
            0 => Encoding::Text,
            1 => Encoding::Integer1,
            2 => Encoding::Integer2,
            3 => Encoding::Integer4,
            4 => Encoding::Integer8,
            _ => Encoding::Outside,
        }
    }

    #[inline]
    pub fn type_name(self) -> TypeName {
        TypeName::from_number((self.0 >> TYPE_SHIFT) as u8 & 15)
    }

    #[inline]
    pub fn has_expiry(self) -> bool {
        self.0 & HAS_EXPIRY != 0
    }

    /// Whether the timer wheel holds an item that fires at or before the expiry.
    #[inline]
    pub fn in_wheel(self) -> bool {
        self.0 & IN_WHEEL != 0
    }

    #[inline]
    #[must_use]
    pub fn with_in_wheel(self, in_wheel: bool) -> Self {
        Self(if in_wheel { self.0 | IN_WHEEL } else { self.0 & !IN_WHEEL })
    }

    /// The four bits that eviction keeps.
    #[inline]
    pub fn clock(self) -> u8 {
        ((self.0 & CLOCK_MASK) >> CLOCK_SHIFT) as u8
    }

    #[inline]
    #[must_use]
    pub fn with_clock(self, clock: u8) -> Self {
        debug_assert!(clock < 16);
        Self(self.0 & !CLOCK_MASK | u64::from(clock) << CLOCK_SHIFT)
    }

    #[inline]
    pub fn physical(self) -> u8 {
        (self.0 >> DATABASE_SHIFT) as u8
    }

    #[inline]
    fn key_len(self) -> usize {
        (self.0 >> KEY_SHIFT) as usize & 0xFF_FFFF
    }

    #[inline]
    fn value_len(self) -> usize {
        self.0 as usize & 0xFFFF
    }

    #[inline]
    fn is_outside(self) -> bool {
        self.encoding() == Encoding::Outside
    }

    #[inline]
    fn key_offset(self) -> usize {
        HEADER_BYTES
            + if self.has_expiry() { EXPIRY_BYTES } else { 0 }
            + if self.is_outside() { OUTSIDE_BYTES } else { 0 }
    }

    #[inline]
    fn outside_offset(self) -> usize {
        HEADER_BYTES + if self.has_expiry() { EXPIRY_BYTES } else { 0 }
    }

    /// Bytes of the whole entry.
    #[inline]
    fn bytes(self) -> usize {
        self.key_offset() + self.key_len() + self.value_len()
    }
}

/// The key part of a header, for comparing length and database at once.
#[inline]
fn key_word(physical: u8, key_len: usize) -> u32 {
    key_len as u32 | u32::from(physical) << (DATABASE_SHIFT - KEY_SHIFT)
}

/// A value on its way into an entry.
pub enum Form<'a> {
    Text(&'a [u8]),
    Integer(i64),
    /// With what it is charged.
    Outside(Bytes, usize),
    /// A collection's block.
    Packed(TypeName, &'a [u8]),
    /// A collection's structure, with what it is charged.
    Large(Arc<Collection>, usize),
}

impl<'a> Form<'a> {
    /// How this value is kept: integers as integers, long ones outside.
    #[inline]
    pub fn of(value: NewValue<'a>) -> Self {
        match value {
            NewValue::Integer(integer) => Self::Integer(integer),
            NewValue::Text(text) => match number::parse_integer(text) {
                Some(integer) => Self::Integer(integer),
                None if text.len() < BLOB_BYTES_MIN => Self::Text(text),
                None => Self::blob(Bytes::copy_from_slice(text)),
            },
            NewValue::Blob(blob) if blob.len() < BLOB_BYTES_MIN => Self::of(NewValue::Text(blob)),
            NewValue::Blob(blob) => Self::blob(blob.clone()),
            NewValue::Collection(collection) => match &collection.body {
                Body::Packed(block) => Self::Packed(collection.type_name, block),
                Body::Large(large) => Self::large(Arc::clone(large)),
            },
        }
    }

    /// A value outside that takes no more memory than its length asks for.
    fn blob(bytes: Bytes) -> Self {
        let charged = charge_of(bytes.len());
        Self::Outside(bytes, charged)
    }

    /// A large collection, charged with what it takes now.
    pub fn large(large: Arc<Collection>) -> Self {
        let charged = large.bytes();
        Self::Large(large, charged)
    }

    #[inline]
    fn encoding(&self) -> Encoding {
        match self {
            Self::Text(_) | Self::Packed(..) => Encoding::Text,
            Self::Integer(integer) => integer_encoding(*integer),
            Self::Outside(..) | Self::Large(..) => Encoding::Outside,
        }
    }

    #[inline]
    pub fn type_name(&self) -> TypeName {
        match self {
            Self::Text(_) | Self::Integer(_) | Self::Outside(..) => TypeName::String,
            Self::Packed(type_name, _) => *type_name,
            Self::Large(large, _) => large.type_name(),
        }
    }

    #[inline]
    fn inline_len(&self) -> usize {
        match self {
            Self::Text(text) | Self::Packed(_, text) => text.len(),
            Self::Integer(integer) => integer_len(integer_encoding(*integer)),
            Self::Outside(..) | Self::Large(..) => 0,
        }
    }

    /// Bytes that the value takes outside of its entry.
    #[inline]
    pub fn charged(&self) -> usize {
        match self {
            Self::Text(_) | Self::Integer(_) | Self::Packed(..) => 0,
            Self::Outside(_, charged) | Self::Large(_, charged) => *charged,
        }
    }
}

/// What a value outside is charged with when its allocation has this capacity.
pub fn charge_of(capacity: usize) -> usize {
    size_class(capacity) + SHARED_BYTES
}

#[inline]
fn integer_encoding(integer: i64) -> Encoding {
    if i8::try_from(integer).is_ok() {
        Encoding::Integer1
    } else if i16::try_from(integer).is_ok() {
        Encoding::Integer2
    } else if i32::try_from(integer).is_ok() {
        Encoding::Integer4
    } else {
        Encoding::Integer8
    }
}

#[inline]
fn integer_len(encoding: Encoding) -> usize {
    match encoding {
        Encoding::Integer1 => 1,
        Encoding::Integer2 => 2,
        Encoding::Integer4 => 4,
        Encoding::Integer8 => 8,
        Encoding::Text | Encoding::Outside => 0,
    }
}

/// Everything that an entry is made of.
pub struct Draft<'a> {
    pub physical: u8,
    pub key: &'a [u8],
    pub form: Form<'a>,
    pub expiry: Option<Due>,
    pub clock: u8,
    pub in_wheel: bool,
}

impl Draft<'_> {
    #[inline]
    fn header(&self) -> Header {
        debug_assert!(self.key.len() <= crate::KEY_BYTES_MAX);
        Header(
            self.form.inline_len() as u64
                | u64::from(key_word(self.physical, self.key.len())) << KEY_SHIFT
                | (self.form.type_name() as u64) << TYPE_SHIFT
                | (self.form.encoding() as u64) << ENCODING_SHIFT
                | if self.expiry.is_some() { HAS_EXPIRY } else { 0 }
                | if self.in_wheel { IN_WHEEL } else { 0 },
        )
        .with_clock(self.clock)
    }

    /// Bytes of the cell it needs.
    #[inline]
    pub fn bytes(&self) -> usize {
        self.header().bytes()
    }

    /// Writes it into a new cell; gives the draft back when memory is out.
    #[inline]
    pub fn place(self, slab: &Slab) -> Result<Handle, Self> {
        let header = self.header();
        let Some(handle) = slab.allocate(header.bytes()) else { return Err(self) };
        // SAFETY: the cell has `header.bytes()` bytes and holds nothing.
        unsafe { write(slab.pointer(&handle), header, self, true) };
        Ok(handle)
    }
}

/// Writes an entry into a cell.
///
/// # Safety
/// The cell has `header.bytes()` bytes, `header` is that of `draft`, the cell holds no value that
/// is outside, and neither the key (if it is written) nor a text lies in the cell.
#[allow(clippy::cast_ptr_alignment)] // Cells are 8-aligned, and words stand at multiples of 8.
#[inline]
unsafe fn write(start: NonNull<u8>, header: Header, draft: Draft<'_>, with_key: bool) {
    let start = start.as_ptr();
    // SAFETY: all offsets are within `header.bytes()`; cells are 8-aligned, as is everything
    // written as a word; the caller rules out overlaps.
    unsafe {
        start.cast::<u64>().write(header.0);
        if let Some(expiry) = draft.expiry {
            start.add(HEADER_BYTES).cast::<u64>().write(expiry.to_word());
        }
        let key = start.add(header.key_offset());
        if with_key {
            key.copy_from_nonoverlapping(draft.key.as_ptr(), draft.key.len());
        }
        let value = key.add(header.key_len());
        match draft.form {
            Form::Text(text) | Form::Packed(_, text) => {
                value.copy_from_nonoverlapping(text.as_ptr(), text.len());
            }
            Form::Integer(integer) => {
                let bytes = integer.to_le_bytes();
                value.copy_from_nonoverlapping(bytes.as_ptr(), header.value_len());
            }
            Form::Outside(bytes, charged) => {
                let place = start.add(header.outside_offset()).cast::<Outside>();
                place.write(Outside { apart: Apart::Blob(bytes), charged });
            }
            Form::Large(large, charged) => {
                let place = start.add(header.outside_offset()).cast::<Outside>();
                place.write(Outside { apart: Apart::Large(large), charged });
            }
        }
    }
}

/// A view of a live entry.
#[derive(Clone, Copy)]
pub struct Entry<'a> {
    start: NonNull<u8>,
    life: PhantomData<&'a Handle>,
}

impl<'a> Entry<'a> {
    #[inline]
    pub fn of(slab: &'a Slab, handle: &'a Handle) -> Self {
        Self { start: slab.pointer(handle), life: PhantomData }
    }

    /// The entry at a place of a leaving page.
    ///
    /// # Safety
    /// As for `Slab::place_pointer`; and the place's cell holds an entry, which stays for `'a`.
    pub unsafe fn at(slab: &'a Slab, place: CellPlace) -> Self {
        // SAFETY: the caller's word.
        Self { start: unsafe { slab.place_pointer(place) }, life: PhantomData }
    }

    /// Begins to load the entry: small ones end in the next line at the latest.
    #[inline]
    pub fn prefetch(self) {
        let start = self.start.as_ptr();
        prefetch(start);
        prefetch(start.wrapping_add(63));
    }

    #[inline]
    pub fn header(self) -> Header {
        // SAFETY: a live cell begins with its header, 8-aligned.
        Header(unsafe { self.start.cast::<u64>().read() })
    }

    /// Bytes of the cell that are used.
    #[inline]
    pub fn bytes(self) -> usize {
        self.header().bytes()
    }

    #[inline]
    pub fn is(self, physical: u8, key: &[u8]) -> bool {
        let header = self.header();
        (header.0 >> KEY_SHIFT) as u32 == key_word(physical, key.len()) && self.key() == key
    }

    #[inline]
    pub fn key(self) -> &'a [u8] {
        let header = self.header();
        // SAFETY: the header says where the key is; the cell lives as long as its handle.
        unsafe {
            let key = self.start.add(header.key_offset());
            std::slice::from_raw_parts(key.as_ptr(), header.key_len())
        }
    }

    #[inline]
    pub fn expiry(self) -> Option<Due> {
        let present = self.header().has_expiry();
        // SAFETY: the header says that it is there, 8-aligned.
        present
            .then(|| Due::from_word(unsafe { self.start.add(HEADER_BYTES).cast::<u64>().read() }))
    }

    #[inline]
    pub fn is_due(self, now: Now) -> bool {
        self.expiry().is_some_and(|expiry| expiry.is_due(now))
    }

    #[inline]
    pub fn value(self) -> Value<'a> {
        let header = self.header();
        if header.0 & 15 << TYPE_SHIFT != 0 {
            return Value::Collection(self.collection());
        }
        // SAFETY: the header says what is where; integers are read byte-wise.
        unsafe {
            let value = self.start.add(header.key_offset() + header.key_len());
            match header.encoding() {
                Encoding::Text => {
                    Value::Text(std::slice::from_raw_parts(value.as_ptr(), header.value_len()))
                }
                Encoding::Integer1 => Value::Integer(i64::from(value.cast::<i8>().read())),
                Encoding::Integer2 => {
                    Value::Integer(i64::from(value.cast::<i16>().read_unaligned()))
                }
                Encoding::Integer4 => {
                    Value::Integer(i64::from(value.cast::<i32>().read_unaligned()))
                }
                Encoding::Integer8 => Value::Integer(value.cast::<i64>().read_unaligned()),
                Encoding::Outside => match &self.outside().apart {
                    Apart::Blob(bytes) => Value::Blob(bytes),
                    Apart::Large(_) => unreachable!("a string is no collection"),
                },
            }
        }
    }

    /// The collection, if the header says that it is one.
    pub fn collection(self) -> CollectionView<'a> {
        let header = self.header();
        let type_name = header.type_name();
        assert!(type_name != TypeName::String, "a string is no collection");
        // SAFETY: the header says what is where.
        unsafe {
            if header.is_outside() {
                let Apart::Large(large) = &self.outside().apart else {
                    unreachable!("a collection is no string");
                };
                return CollectionView {
                    type_name,
                    body: BodyView::Large(large),
                    large: Some(large),
                };
            }
            let block = self.start.add(header.key_offset() + header.key_len());
            let block = std::slice::from_raw_parts(block.as_ptr(), header.value_len());
            CollectionView { type_name, body: BodyView::Packed(block), large: None }
        }
    }

    /// The value outside.
    ///
    /// # Safety
    /// The header says that there is one.
    unsafe fn outside(self) -> &'a Outside {
        // SAFETY: the caller's word; the cell lives for `'a`.
        unsafe { self.start.add(self.header().outside_offset()).cast::<Outside>().as_ref() }
    }

    /// Bytes that its value takes outside.
    #[inline]
    pub fn charged(self) -> usize {
        if self.header().is_outside() {
            // SAFETY: just looked.
            unsafe { self.outside() }.charged
        } else {
            0
        }
    }
}

/// Sets the header's changeable bits: clock and wheel. The rest must be as it was.
#[inline]
pub fn set_header(slab: &Slab, handle: &mut Handle, header: Header) {
    let start = slab.pointer(handle);
    debug_assert_eq!(
        (header.0 ^ Entry::of(slab, handle).header().0) & !(CLOCK_MASK | IN_WHEEL),
        0,
        "the shape of an entry is changed by writing it anew"
    );
    // SAFETY: the handle is ours alone, so no view of the cell exists.
    unsafe { start.cast::<u64>().write(header.0) };
}

/// Changes the expiry of an entry that has one and keeps one.
#[inline]
pub fn set_expiry(slab: &Slab, handle: &mut Handle, expiry: Due) {
    assert!(Entry::of(slab, handle).header().has_expiry(), "there is a place for it");
    // SAFETY: the place is there, and the handle is ours alone.
    unsafe { slab.pointer(handle).add(HEADER_BYTES).cast::<u64>().write(expiry.to_word()) };
}

/// Writes a new value (and expiry) over an entry, in its cell, if the class stays the same and no
/// value outside is involved. Gives the draft back if not.
#[inline]
pub fn overwrite<'d>(slab: &Slab, handle: &mut Handle, draft: Draft<'d>) -> Result<(), Draft<'d>> {
    let old = Entry::of(slab, handle).header();
    let new = draft.header();
    if old.is_outside()
        || new.is_outside()
        || Class::of_entry(old.bytes()).is_none()
        || Class::of_entry(old.bytes()) != Class::of_entry(new.bytes())
    {
        return Err(draft);
    }
    // The key moves only if an expiry comes or goes. A draft's key is the caller's, never a view
    // of the cell, since the handle is borrowed mutably.
    let with_key = old.key_offset() != new.key_offset();
    // SAFETY: same class, so the cell has room; nothing outside; no overlap as said above.
    unsafe { write(slab.pointer(handle), new, draft, with_key) };
    Ok(())
}

/// Takes the long string out of its entry, leaving an empty one there, with its charge.
pub fn take_outside(slab: &Slab, handle: &mut Handle) -> Option<(Bytes, usize)> {
    let Outside { apart: Apart::Blob(bytes), charged } = outside_mut(slab, handle)? else {
        return None;
    };
    Some((std::mem::take(bytes), std::mem::take(charged)))
}

/// Takes the large collection out of its entry, with its charge. Something must be put back before
/// anyone looks at the entry.
pub fn take_large(slab: &Slab, handle: &mut Handle) -> Option<(Arc<Collection>, usize)> {
    let outside = outside_mut(slab, handle)?;
    if let Apart::Blob(_) = outside.apart {
        return None;
    }
    let nothing = Outside { apart: Apart::Blob(Bytes::new()), charged: 0 };
    match std::mem::replace(outside, nothing) {
        Outside { apart: Apart::Large(large), charged } => Some((large, charged)),
        Outside { apart: Apart::Blob(_), .. } => unreachable!("just looked"),
    }
}

/// Puts a long string in the place of another.
pub fn put_outside(slab: &Slab, handle: &mut Handle, bytes: Bytes, charged: usize) {
    let outside = outside_mut(slab, handle).expect("there is a place for it");
    *outside = Outside { apart: Apart::Blob(bytes), charged };
}

/// Puts a large collection back where it was taken.
pub fn put_large(slab: &Slab, handle: &mut Handle, large: Arc<Collection>, charged: usize) {
    let outside = outside_mut(slab, handle).expect("there is a place for it");
    *outside = Outside { apart: Apart::Large(large), charged };
}

/// Changes what a value outside is charged.
pub fn recharge(slab: &Slab, handle: &mut Handle, charged: usize) {
    outside_mut(slab, handle).expect("it is outside").charged = charged;
}

/// The place of what is outside, if the header says that something is.
fn outside_mut<'a>(slab: &Slab, handle: &'a mut Handle) -> Option<&'a mut Outside> {
    let entry = Entry::of(slab, handle);
    if !entry.header().is_outside() {
        return None;
    }
    let offset = entry.header().outside_offset();
    // SAFETY: the header says that it is there; the handle is ours alone, for as long as the
    // reference lives.
    Some(unsafe { slab.pointer(handle).add(offset).cast::<Outside>().as_mut() })
}

/// Ends an entry: drops a string outside and frees the cell. A large collection is handed out, to
/// be freed in slices.
#[must_use]
#[inline]
pub fn free(slab: &Slab, handle: Handle) -> Option<Arc<Collection>> {
    let entry = Entry::of(slab, &handle);
    let large = if entry.header().is_outside() { take_apart(slab, &handle) } else { None };
    slab.free(handle);
    large
}

#[cold]
fn take_apart(slab: &Slab, handle: &Handle) -> Option<Arc<Collection>> {
    let entry = Entry::of(slab, handle);
    let offset = entry.header().outside_offset();
    // SAFETY: read once, right before the cell is freed.
    let outside = unsafe { slab.pointer(handle).add(offset).cast::<Outside>().read() };
    match outside.apart {
        Apart::Blob(_) => None,
        Apart::Large(large) => Some(large),
    }
}

/// Moves an entry to another cell of its class; false, and nothing happened, if memory is out.
pub fn relocate(slab: &Slab, handle: &mut Handle) -> bool {
    let bytes = Entry::of(slab, handle).bytes();
    let Some(to) = slab.allocate(bytes) else { return false };
    // SAFETY: both cells have that many bytes and differ. A value outside moves bit by bit: the
    // old cell is freed without dropping it.
    unsafe { slab.pointer(&to).copy_from_nonoverlapping(slab.pointer(handle), bytes) };
    slab.free(std::mem::replace(handle, to));
    true
}

/// Gives an entry another expiry or none: in its cell if that is of the right class, else in a new
/// one.
pub fn reshape(slab: &Slab, handle: &mut Handle, expiry: Option<Due>) {
    let entry = Entry::of(slab, handle);
    let old = entry.header();
    if old.has_expiry() == expiry.is_some() {
        if let Some(at) = expiry {
            set_expiry(slab, handle, at);
        }
        return;
    }
    let flags = if expiry.is_some() { HAS_EXPIRY | IN_WHEEL } else { 0 };
    let new = Header(old.0 & !(HAS_EXPIRY | IN_WHEEL) | flags);
    let class = Class::of_entry(old.bytes());
    let rest = old.bytes() - old.outside_offset();
    let to = if class.is_some() && class == Class::of_entry(new.bytes()) {
        None
    } else {
        Some(slab.allocate(new.bytes()).expect("the system has memory for one more cell"))
    };
    let from = slab.pointer(handle);
    let start = to.as_ref().map_or(from, |to| slab.pointer(to));
    // SAFETY: both cells have room for their entries; what follows the expiry moves as it is, and
    // may overlap itself; the old cell, if another, is freed without dropping anything.
    unsafe {
        let rest_to = start.add(new.outside_offset());
        from.add(old.outside_offset()).copy_to(rest_to, rest);
        start.cast::<u64>().write(new.0);
        if let Some(at) = expiry {
            start.add(HEADER_BYTES).cast::<u64>().write(at.to_word());
        }
    }
    if let Some(to) = to {
        slab.free(std::mem::replace(handle, to));
    }
}
