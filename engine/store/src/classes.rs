//! The sizes that the slab cuts pages into. Entries and tables have classes of their own, so that a
//! page holds one kind and its entries can be moved.

/// What one page holds: it has one class at a time.
pub const PAGE_BYTES: usize = 64 * 1024;

/// Entries up to this size live in the slab; larger ones in the global allocator.
pub const ENTRY_BYTES_MAX: usize = PAGE_BYTES / 2;

/// Steps of 8 up to 192, 16 to 256, 32 to 512, 64 to 1024, 128 to 2048; then what divides a page. And
/// one just above 512, 1024, 2048 and 4096, for a value of so many bytes with its key and header.
const ENTRY_SIZES: [u16; 76] = [
    16, 24, 32, 40, 48, 56, 64, 72, 80, 88, 96, 104, 112, 120, 128, 136, 144, 152, 160, 168, 176,
    184, 192, 208, 224, 240, 256, 288, 320, 352, 384, 416, 448, 480, 512, 544, 576, 640, 704, 768,
    832, 896, 960, 1024, 1088, 1152, 1280, 1408, 1536, 1664, 1792, 1920, 2048, 2112, 2176, 2336,
    2512, 2720, 2976, 3264, 3632, 4096, 4368, 4672, 5040, 5456, 5952, 6544, 7280, 8192, 9360,
    10912, 13104, 16384, 21840, 32768,
];

/// What a hashbrown table of 4, 8, 16, … 512 buckets of 5 bytes takes, to the byte.
const TABLE_SIZES: [u16; 8] = [64, 80, 112, 208, 400, 784, 1552, 3088];

/// How many classes there are: those of entries first.
pub const CLASS_COUNT: usize = ENTRY_SIZES.len() + TABLE_SIZES.len();

/// One size class. Those below `FIRST_TABLE` hold entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class(u8);

const FIRST_TABLE: u8 = ENTRY_SIZES.len() as u8;

static SIZES: [u16; CLASS_COUNT] = {
    let mut sizes = [0; CLASS_COUNT];
    let mut index = 0;
    while index < CLASS_COUNT {
        sizes[index] = if index < ENTRY_SIZES.len() {
            ENTRY_SIZES[index]
        } else {
            TABLE_SIZES[index - ENTRY_SIZES.len()]
        };
        index += 1;
    }
    sizes
};

/// `ceil(2^32 / size)`: turns the division by a class size into a multiplication; exact for
/// offsets within a page (proven by a test).
static INVERSES: [u32; CLASS_COUNT] = {
    let mut inverses = [0; CLASS_COUNT];
    let mut index = 0;
    while index < CLASS_COUNT {
        inverses[index] = ((1u64 << 32) / SIZES[index] as u64 + 1) as u32;
        index += 1;
    }
    inverses
};

/// The class of an entry by its size in words of 8 bytes.
static BY_WORDS: [u8; ENTRY_BYTES_MAX / 8 + 1] = {
    let mut classes = [0; ENTRY_BYTES_MAX / 8 + 1];
    let mut words = 0;
    let mut class = 0;
    while words < classes.len() {
        while (ENTRY_SIZES[class] as usize) < words * 8 {
            class += 1;
        }
        classes[words] = class as u8;
        words += 1;
    }
    classes
};

impl Class {
    /// The class of an entry of this many bytes; None beyond `ENTRY_BYTES_MAX`.
    #[inline]
    pub fn of_entry(bytes: usize) -> Option<Self> {
        BY_WORDS.get(bytes.div_ceil(8)).map(|&class| Self(class))
    }

    /// The class of a table of this many bytes; None for one that is too large for the slab.
    pub fn of_table(bytes: usize) -> Option<Self> {
        let index = TABLE_SIZES.iter().position(|&size| usize::from(size) >= bytes)?;
        Some(Self(FIRST_TABLE + index as u8))
    }

    #[inline]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// Bytes of one cell.
    #[inline]
    pub fn bytes(self) -> usize {
        usize::from(SIZES[self.index()])
    }

    /// Cells in one page.
    #[inline]
    pub fn cells(self) -> usize {
        PAGE_BYTES / self.bytes()
    }

    /// Which cell of its page begins at this offset.
    #[inline]
    pub fn cell_at(self, offset: usize) -> usize {
        ((offset as u64 * u64::from(INVERSES[self.index()])) >> 32) as usize
    }

    pub fn holds_entries(self) -> bool {
        self.0 < FIRST_TABLE
    }

    #[cfg(test)]
    /// Every class, smallest entries first.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..CLASS_COUNT as u8).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_the_smallest_that_fits() {
        for bytes in 1..=ENTRY_BYTES_MAX {
            let class = Class::of_entry(bytes).expect("within the slab");
            assert!(class.bytes() >= bytes, "{bytes}");
            assert!(class.0 == 0 || Class(class.0 - 1).bytes() < bytes, "{bytes}");
        }
        assert_eq!(Class::of_entry(ENTRY_BYTES_MAX + 1), None);
    }

    #[test]
    fn cells_are_found_from_offsets_and_aligned() {
        for class in Class::all() {
            assert!(class.cells() >= 2);
            for cell in 0..class.cells() {
                assert_eq!(class.cell_at(cell * class.bytes()), cell);
            }
            assert_eq!(class.bytes() % if class.holds_entries() { 8 } else { 16 }, 0);
        }
    }
}
