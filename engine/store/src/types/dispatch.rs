//! What is asked of a collection whose type only its entry's header knows.

use ringlane_base::{Now, Soonest};

use super::{BodyView, CollectionType, Hash, List, Set, SortedSet, Stream};
use crate::TypeName;

/// When the first fields of a hash are due.
pub(crate) fn next_field_expiry(body: BodyView<'_>) -> Soonest {
    Hash::view(body, Now::default()).next_expiry()
}

/// OBJECT ENCODING's word.
pub(crate) fn encoding(type_name: TypeName, body: BodyView<'_>) -> &'static str {
    let start = Now::default();
    match type_name {
        TypeName::String => unreachable!("a string is no collection"),
        TypeName::List => List::view(body, start).encoding(),
        TypeName::SortedSet => SortedSet::view(body, start).encoding(),
        TypeName::Hash => Hash::view(body, start).encoding(),
        TypeName::Set => Set::view(body, start).encoding(),
        TypeName::Stream => Stream::view(body, start).encoding(),
    }
}
