//! Keys that a command names by patterns instead of arguments (BY and GET of SORT): which they are, and
//! what was found there. A command that is given `Lookups` runs up to where it wants to know, and
//! answers `CommandError::LooksUp`; whoever runs it looks the keys up, on whichever lanes and in as many
//! slices as it takes, and runs it again. Holds no store and locks no slot.

use bytes::Bytes;
use ringlane_base::Slot;
use ringlane_store::types::Hash;
use ringlane_store::{CollectionType, Key, Store, TypeName, Value};

use crate::CommandError;
use crate::strings::with_bytes;

/// Keys that one command may name by patterns at a time.
pub const FORMED_KEYS_MAX: usize = 1 << 22;
const TOO_MANY: CommandError =
    CommandError::Fixed("ERR BY or GET would form more than 4194304 keys");

/// Which keys the patterns of a command may form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormedKeys {
    None,
    /// Keys of its first key's slot alone: their hash tag says so.
    OfItsSlot,
    Any,
}

/// Byte strings, one after another: as many as there are, they are freed at once.
#[derive(Debug, Default)]
pub struct Elements {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Elements {
    pub fn push(&mut self, element: &[u8]) {
        self.bytes.extend_from_slice(element);
        self.ends.push(self.bytes.len());
    }

    pub fn get(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[index]]
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|index| self.get(index))
    }
}

/// What names a key, or a field of a hash, for each element: `weight_*`, `object_*->name`.
#[derive(Debug)]
pub(crate) struct Pattern {
    before: Box<[u8]>,
    after: Box<[u8]>,
    field: Option<Bytes>,
}

impl Pattern {
    /// None: it names the same for every element, which is nothing.
    pub(crate) fn parse(pattern: &[u8]) -> Option<Self> {
        let star = pattern.iter().position(|&byte| byte == b'*')?;
        let (before, after) = (&pattern[..star], &pattern[star + 1..]);
        let arrow = after.windows(2).position(|pair| pair == b"->");
        // An arrow with nothing behind it is part of the name.
        let (after, field) = match arrow.filter(|at| at + 2 < after.len()) {
            Some(at) => (&after[..at], Some(Bytes::copy_from_slice(&after[at + 2..]))),
            None => (after, None),
        };
        Some(Self { before: before.into(), after: after.into(), field })
    }
}

/// The slot of every key that a pattern can form, if its hash tag says so: the tag must end before
/// anything is put into the pattern.
pub(crate) fn pattern_slot(pattern: &[u8]) -> Option<Slot> {
    let fixed = pattern.split(|&byte| byte == b'*').next()?;
    let open = fixed.iter().position(|&byte| byte == b'{')?;
    let close = open + fixed[open..].iter().position(|&byte| byte == b'}')?;
    (close > open + 1).then(|| Slot::of(fixed))
}

/// What the elements are, of those that the patterns are put to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Nothing has been read.
    #[default]
    Fresh,
    /// All; by what is looked up they are to be ordered.
    Unordered,
    /// Those that are answered, in order; what is looked up is the answer.
    Chosen,
}

/// How far a command has come that names keys by patterns.
#[derive(Debug, Default)]
pub struct Lookups {
    stage: Stage,
    elements: Elements,
    patterns: Vec<Pattern>,
    /// For each element what each pattern has named, as far as it has been looked up.
    found: Vec<Option<Bytes>>,
}

impl Lookups {
    pub(crate) fn stage(&self) -> Stage {
        self.stage
    }

    pub(crate) fn elements(&self) -> &Elements {
        &self.elements
    }

    /// Asks for what these patterns name for each element.
    ///
    /// # Errors
    /// They are too many.
    pub(crate) fn ask(
        &mut self,
        stage: Stage,
        elements: Elements,
        patterns: Vec<Pattern>,
    ) -> Result<(), CommandError> {
        if elements.len().saturating_mul(patterns.len()) > FORMED_KEYS_MAX {
            return Err(TOO_MANY);
        }
        *self = Self { stage, elements, patterns, found: Vec::new() };
        Ok(())
    }

    /// The elements, and what was found for them: for each, as many as there are patterns.
    pub(crate) fn take(&mut self) -> (Elements, Vec<Option<Bytes>>) {
        (std::mem::take(&mut self.elements), std::mem::take(&mut self.found))
    }

    /// Whether the command has read anything.
    pub fn has_begun(&self) -> bool {
        self.stage != Stage::Fresh
    }

    /// Bytes of what has been found, of this stage.
    pub(crate) fn found_bytes(&self) -> usize {
        self.found.iter().flatten().map(Bytes::len).sum()
    }

    /// How many are to be looked up, of this stage.
    pub fn total(&self) -> usize {
        self.elements.len() * self.patterns.len()
    }

    /// The next that is to be looked up.
    pub fn next(&self) -> Option<usize> {
        let next = self.found.len();
        (next < self.total()).then_some(next)
    }

    /// Writes the name of the key of number `index`; the field that is meant, if it is one of a hash.
    pub fn name(&self, index: usize, name: &mut Vec<u8>) -> Option<&Bytes> {
        let count = self.patterns.len();
        let Pattern { before, after, field } = &self.patterns[index % count];
        name.clear();
        name.extend_from_slice(before);
        name.extend_from_slice(self.elements.get(index / count));
        name.extend_from_slice(after);
        field.as_ref()
    }

    /// What the next one has named: nothing, until `fill` says otherwise.
    pub fn push(&mut self, found: Option<Bytes>) {
        self.found.push(found);
    }

    /// What number `index` has named.
    pub fn fill(&mut self, index: usize, found: Option<Bytes>) {
        self.found[index] = found;
    }
}

/// What a key holds in this store, a string or a field of a hash: whatever else it holds is nothing.
pub fn look_up(store: &mut Store, key: &Key<'_>, field: Option<&[u8]>) -> Option<Bytes> {
    let now = store.now();
    match (store.get(key)?, field) {
        (Value::Collection(view), Some(field)) if view.type_name == TypeName::Hash => {
            Hash::view(view.body, now).get(field).map(|item| Bytes::from(item.to_vec()))
        }
        (Value::Blob(blob), None) => Some(blob.clone()),
        (value, None) => with_bytes(value, Bytes::copy_from_slice).ok(),
        (_, Some(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_has_a_slot_if_its_tag_is_fixed() {
        let tagged = Some(Slot::of(b"a"));
        for (pattern, slot) in [
            ("w_{a}_*", tagged),
            ("{a}*->f", tagged),
            ("*{a}", None),
            ("{*}", None),
            ("{a*}", None),
            ("{}*{a}", None),
            ("{}{a}*", None),
            ("w_*", None),
        ] {
            assert_eq!(pattern_slot(pattern.as_bytes()), slot, "{pattern}");
        }
    }

    #[test]
    fn names_are_formed_element_after_element() {
        let mut elements = Elements::default();
        for element in ["a", "", "c*"] {
            elements.push(element.as_bytes());
        }
        let patterns: Vec<Pattern> = ["w_*", "h*x->f*", "*->"]
            .into_iter()
            .filter_map(|it| Pattern::parse(it.as_bytes()))
            .collect();
        assert!(Pattern::parse(b"#").is_none());
        let mut lookups = Lookups::default();
        assert_eq!(lookups.next(), None);
        lookups.ask(Stage::Chosen, elements, patterns).expect("few");
        let mut formed = Vec::new();
        while let Some(index) = lookups.next() {
            let mut name = Vec::new();
            let field = lookups.name(index, &mut name).map(|field| field.to_vec());
            formed.push((String::from_utf8(name).expect("text"), field));
            lookups.push(None);
        }
        let field = || Some(b"f*".to_vec());
        let expected = [
            ("w_a", None),
            ("hax", field()),
            ("a->", None),
            ("w_", None),
            ("hx", field()),
            ("->", None),
            ("w_c*", None),
            ("hc*x", field()),
            ("c*->", None),
        ];
        assert_eq!(formed, expected.map(|(name, field)| (name.to_owned(), field)));
    }

    #[test]
    fn so_many_keys_and_no_more() {
        let elements = || {
            let mut elements = Elements::default();
            (0..=FORMED_KEYS_MAX / 2).for_each(|_| elements.push(b""));
            elements
        };
        let patterns = |count| (0..count).filter_map(|_| Pattern::parse(b"*")).collect();
        let mut lookups = Lookups::default();
        assert_eq!(lookups.ask(Stage::Unordered, elements(), patterns(2)), Err(TOO_MANY));
        assert_eq!(lookups.ask(Stage::Unordered, elements(), patterns(1)), Ok(()));
    }
}
