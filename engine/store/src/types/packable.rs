//! The two forms of a hash, a list, a set or a sorted set: one packed block of bytes while it is
//! small, a structure, shared while it travels, when it is large. Owns the forms, and how they go
//! into an entry and come out of it; never what is in a block or a structure.

use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;

use ringlane_base::Now;

use super::{Body, BodyView, Collection, CollectionType, Edit, Structure};

/// A structure whose type has a packed form too: how both are read and changed.
pub trait Packs: Structure {
    /// As `CollectionType::View`.
    type View<'a>: Copy
    where
        Self: 'a;

    fn view(form: PackableView<'_, Self>, now: Now) -> Self::View<'_>;
    /// Elements of a packed block.
    fn packed_len(block: &[u8]) -> usize;
    /// As `CollectionType::repeat`.
    fn repeat(edit: &mut Edit<'_, Packable<Self>>, change: &Self::Change);
}

/// A value of a type whose structure is `S`.
#[derive(Clone, Debug)]
pub enum Packable<S> {
    Packed(Vec<u8>),
    Large(Shared<S>),
}

/// The same, borrowed.
#[derive(Debug)]
pub enum PackableView<'a, S> {
    Packed(&'a [u8]),
    Large(&'a S),
}

impl<S> Clone for PackableView<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for PackableView<'_, S> {}

impl<S: Packs> Packable<S> {
    pub(super) fn form(&self) -> PackableView<'_, S> {
        match self {
            Self::Packed(block) => PackableView::Packed(block),
            Self::Large(large) => PackableView::Large(large),
        }
    }
}

impl<S: Packs> CollectionType for Packable<S> {
    type Structure = S;
    type View<'a> = S::View<'a>;

    fn empty() -> Self {
        Self::Packed(Vec::new())
    }

    fn from_packed(bytes: Vec<u8>) -> Self {
        Self::Packed(bytes)
    }

    fn from_large(large: Arc<Collection>) -> Self {
        Self::Large(Shared::of(large))
    }

    fn into_body(self) -> Body {
        match self {
            Self::Packed(bytes) => Body::Packed(bytes),
            Self::Large(large) => Body::Large(large.collection),
        }
    }

    fn view(body: BodyView<'_>, now: Now) -> S::View<'_> {
        let form = match body {
            BodyView::Packed(block) => PackableView::Packed(block),
            BodyView::Large(large) => PackableView::Large(structure(large)),
        };
        S::view(form, now)
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Packed(block) => S::packed_len(block) == 0,
            Self::Large(large) => large.collection.is_empty(),
        }
    }

    fn repeat(edit: &mut Edit<'_, Self>, change: &S::Change) {
        S::repeat(edit, change);
    }
}

impl<S: Packs> Edit<'_, Packable<S>> {
    pub fn view(&self) -> S::View<'_> {
        S::view(self.value.form(), self.now)
    }
}

/// A `Collection` that is known to hold a structure of this type.
#[derive(Clone, Debug)]
pub struct Shared<S> {
    collection: Arc<Collection>,
    structure: PhantomData<S>,
}

impl<S: Structure> Shared<S> {
    pub fn new(structure: S) -> Self {
        Self::of(Arc::new(structure.into_collection()))
    }

    /// `collection` must be of this type.
    pub fn of(collection: Arc<Collection>) -> Self {
        debug_assert_eq!(collection.type_name(), S::TYPE);
        Self { collection, structure: PhantomData }
    }

    pub fn into_collection(self) -> Arc<Collection> {
        self.collection
    }

    /// Whether a change would copy it first.
    pub fn is_shared(&self) -> bool {
        Arc::strong_count(&self.collection) > 1
    }

    /// To be changed; a copy of it if it is shared.
    pub fn make_mut(&mut self) -> &mut S {
        S::of_mut(Arc::make_mut(&mut self.collection)).expect(HEADER)
    }

    /// Whether the two are one.
    #[cfg(test)]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.collection, &other.collection)
    }
}

impl<S: Structure> Deref for Shared<S> {
    type Target = S;

    #[inline]
    fn deref(&self) -> &S {
        structure(&self.collection)
    }
}

const HEADER: &str = "of the type that the entry's header says";

#[inline]
pub(super) fn structure<S: Structure>(collection: &Collection) -> &S {
    S::of(collection).expect(HEADER)
}
