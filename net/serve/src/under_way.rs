//! What is under way at a lane, by the numbers that letters between lanes carry. Knows nothing of what
//! it keeps; for each there is a place that a connection has reserved, which bounds them.

use slab::Slab;

/// A number stays the same until its end, and is then given again.
pub struct UnderWay<T> {
    /// `None`: reserved, or taken out for a step.
    places: Slab<Option<T>>,
}

impl<T> Default for UnderWay<T> {
    fn default() -> Self {
        Self { places: Slab::new() }
    }
}

impl<T> UnderWay<T> {
    /// A number for what is put there later.
    pub fn reserve(&mut self) -> u32 {
        self.places.insert(None) as u32
    }

    pub fn insert(&mut self, it: T) -> u32 {
        let number = self.reserve();
        self.put(number, it);
        number
    }

    /// What has this number, and is not taken out.
    pub fn get(&mut self, number: u32) -> &mut T {
        self.find(number).expect("under way")
    }

    /// The same, if it is there.
    pub fn find(&mut self, number: u32) -> Option<&mut T> {
        self.places.get_mut(number as usize)?.as_mut()
    }

    /// Takes it out for a step; it keeps its number, until it is put back or has ended.
    pub fn take(&mut self, number: u32) -> T {
        self.places[number as usize].take().expect("under way")
    }

    pub fn put(&mut self, number: u32, it: T) {
        self.places[number as usize] = Some(it);
    }

    /// What was taken out has ended.
    ///
    /// # Panics
    /// If it had ended already.
    pub fn end(&mut self, number: u32) {
        self.places.remove(number as usize);
    }

    /// Takes it out for good.
    pub fn remove(&mut self, number: u32) -> T {
        let it = self.take(number);
        self.end(number);
        it
    }

    /// All that are under way and not taken out.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.places.iter_mut().filter_map(|(_, it)| it.as_mut())
    }

    /// The same, to look at.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.places.iter().filter_map(|(_, it)| it.as_ref())
    }

    /// How many are under way.
    pub fn len(&self) -> usize {
        self.places.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_out_keeps_its_number_until_its_end() {
        let mut all = UnderWay::default();
        let (first, second) = (all.insert("first"), all.insert("second"));
        assert_eq!(all.take(first), "first");
        assert!(all.find(first).is_none());
        assert_eq!(all.len(), 2);
        let third = all.insert("third");
        assert_ne!(third, first);
        all.put(first, "first again");
        assert_eq!(*all.get(first), "first again");
        assert_eq!((all.remove(first), all.len()), ("first again", 2));
        assert_eq!(all.reserve(), first);
        assert_eq!((*all.get(second), *all.get(third), all.len()), ("second", "third", 3));
    }
}
