//! Small collections of ten elements, of each type: what `perf/memory --collections` stores, all
//! computed from the key's number.

use crate::{keyspace::Shape, protocol::push_command};

/// Elements of each.
pub const ELEMENTS: u64 = 10;

/// What is stored under every key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub enum Collection {
    /// `fieldN` -> `valueNNNN`
    Hash,
    /// `memberNNNNN`
    SetOfStrings,
    /// Numbers below 400,000.
    SetOfIntegers,
    /// `elementNNNN`
    List,
    /// `memberNNNNN` with scores below 1030.
    SortedSet,
}

impl Collection {
    pub const ALL: [Self; 5] =
        [Self::Hash, Self::SetOfStrings, Self::SetOfIntegers, Self::List, Self::SortedSet];

    pub fn name(self) -> &'static str {
        match self {
            Self::Hash => "hash of 10 fields",
            Self::SetOfStrings => "set of 10 strings",
            Self::SetOfIntegers => "set of 10 integers",
            Self::List => "list of 10",
            Self::SortedSet => "sorted set of 10",
        }
    }

    fn command(self) -> &'static [u8] {
        match self {
            Self::Hash => b"HSET",
            Self::SetOfStrings | Self::SetOfIntegers => b"SADD",
            Self::List => b"RPUSH",
            Self::SortedSet => b"ZADD",
        }
    }

    /// What the server answers when all elements are new.
    pub fn answer(self) -> i64 {
        ELEMENTS as i64
    }

    /// The words that make one element, in the command's order.
    fn element(self, key: u64, element: u64) -> Vec<String> {
        // Consecutive numbers, so no two of a key are equal.
        let number = key * ELEMENTS + element;
        match self {
            Self::Hash => vec![format!("field{element}"), format!("value{:04}", number % 10_000)],
            Self::SetOfStrings => vec![format!("member{:05}", number % 100_000)],
            // 7919 shares no divisor with 400,000: what differs still differs.
            Self::SetOfIntegers => vec![(number * 7919 % 400_000).to_string()],
            Self::List => vec![format!("element{:04}", number % 10_000)],
            Self::SortedSet => vec![
                (key % 1000 + 3 * element).to_string(),
                format!("member{:05}", number % 100_000),
            ],
        }
    }

    /// Appends the command that stores the collection of this key, and gives the bytes of key and
    /// elements as text.
    pub fn push(self, shape: &Shape, key: u64, out: &mut Vec<u8>) -> usize {
        let mut name = Vec::new();
        shape.push_key(key, &mut name);
        let elements: Vec<String> =
            (0..ELEMENTS).flat_map(|element| self.element(key, element)).collect();
        let mut words: Vec<&[u8]> = vec![self.command(), &name];
        words.extend(elements.iter().map(String::as_bytes));
        push_command(&words, out);
        words[1..].iter().map(|word| word.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::keyspace::ValueSizes;

    #[test]
    fn elements_are_ten_different_ones_of_the_size_that_is_told() {
        let shape =
            Shape { keys: 300_000, key_bytes: 16, value_bytes: ValueSizes { min: 1, max: 1 } };
        // Bytes of key and elements per key, as the yardstick has them.
        for (collection, told) in
            Collection::ALL.into_iter().zip([166.0, 126.0, 73.0, 126.0, 155.0])
        {
            let mut bytes = 0;
            let mut count = 0.0;
            for key in (0..300_000).step_by(101) {
                count += 1.0;
                bytes += collection.push(&shape, key, &mut Vec::new());
                // A hash is told apart by its fields, which come first, all others by what comes last.
                let all: HashSet<_> = (0..ELEMENTS)
                    .map(|element| {
                        let mut words = collection.element(key, element);
                        let at = if collection == Collection::Hash { 0 } else { words.len() - 1 };
                        words.swap_remove(at)
                    })
                    .collect();
                assert_eq!(all.len() as u64, ELEMENTS, "{collection:?} {key}");
            }
            let mean = bytes as f64 / count;
            assert!((mean - told).abs() < 1.0, "{collection:?}: {mean}, not {told}");
        }
    }
}
