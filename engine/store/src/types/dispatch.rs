//! What is asked of a collection whose type only its entry's header knows.

use ringlane_base::Millis;

use super::{BodyView, CollectionType, Hash, List, Set, SortedSet, Stream};
use crate::TypeName;

/// When the first field of a hash is due; None: none has an expiry.
pub(crate) fn next_field_expiry(body: BodyView<'_>) -> Option<Millis> {
    Hash::view(body, Millis(0)).next_expiry()
}

/// OBJECT ENCODING's word.
pub(crate) fn encoding(type_name: TypeName, body: BodyView<'_>) -> &'static str {
    let start = Millis(0);
    match type_name {
        TypeName::String => unreachable!("a string is no collection"),
        TypeName::List => List::view(body, start).encoding(),
        TypeName::SortedSet => SortedSet::view(body, start).encoding(),
        TypeName::Hash => Hash::view(body, start).encoding(),
        TypeName::Set => Set::view(body, start).encoding(),
        TypeName::Stream => Stream::view(body, start).encoding(),
    }
}
