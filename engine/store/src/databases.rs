//! Logical databases, as clients number them, over physical ones, as entries carry them. A flush
//! gives the logical database a fresh physical number, a swap exchanges two: both at once, however
//! many keys there are.

use ringlane_base::{Clock, Database, Due, Now};

const PHYSICAL_COUNT: usize = 256;

/// How many logical databases there can be; the other half of the numbers is for flushed ones.
pub const DATABASES_MAX: u8 = 128;

#[derive(Clone, Copy, Default)]
struct Counts {
    keys: usize,
    /// Those with an expiry, and those of them that go by the steady clock.
    expiring: usize,
    steady: usize,
    /// Sum of the expiries in milliseconds, each on its own clock, for their average.
    expiry_sum: u128,
}

/// The two numberings and what each physical database holds.
pub struct Databases {
    physical: Vec<u8>,
    logical: [Option<Database>; PHYSICAL_COUNT],
    counts: [Counts; PHYSICAL_COUNT],
    /// Entries of flushed databases that still take memory.
    dead: usize,
    entries: usize,
    expiring: usize,
}

impl Databases {
    pub fn new(count: u8) -> Self {
        assert!((1..=DATABASES_MAX).contains(&count), "1 to 128 databases");
        let mut logical = [None; PHYSICAL_COUNT];
        for number in 0..count {
            logical[usize::from(number)] = Some(Database(number));
        }
        Self {
            physical: (0..count).collect(),
            logical,
            counts: [Counts::default(); PHYSICAL_COUNT],
            dead: 0,
            entries: 0,
            expiring: 0,
        }
    }

    #[inline]
    pub fn physical(&self, database: Database) -> u8 {
        self.physical[database.index()]
    }

    /// The logical database of an entry; None if it was flushed.
    #[inline]
    pub fn logical(&self, physical: u8) -> Option<Database> {
        self.logical[usize::from(physical)]
    }

    fn counts(&self, database: Database) -> &Counts {
        &self.counts[usize::from(self.physical(database))]
    }

    pub fn keys(&self, database: Database) -> usize {
        self.counts(database).keys
    }

    pub fn expiring(&self, database: Database) -> usize {
        self.counts(database).expiring
    }

    /// The mean time that keys with an expiry have left, in milliseconds.
    pub fn average_ttl_ms(&self, database: Database, now: Now) -> u64 {
        let counts = self.counts(database);
        let (count, steady) = (counts.expiring as u128, counts.steady as u128);
        if count == 0 {
            return 0;
        }
        let begun = u128::from(now.wall.0) * (count - steady) + u128::from(now.steady.0) * steady;
        u64::try_from(counts.expiry_sum.saturating_sub(begun) / count).unwrap_or(u64::MAX)
    }

    /// Entries of all databases, the flushed ones included.
    #[inline]
    pub fn entries(&self) -> usize {
        self.entries
    }

    /// Entries with an expiry, the flushed ones included.
    #[inline]
    pub fn expiring_entries(&self) -> usize {
        self.expiring
    }

    /// Entries of flushed databases that still take memory.
    #[inline]
    pub fn dead(&self) -> usize {
        self.dead
    }

    #[inline]
    pub fn came(&mut self, physical: u8, expiry: Option<Due>) {
        self.counts[usize::from(physical)].keys += 1;
        self.entries += 1;
        self.expiry_came(physical, expiry);
    }

    #[inline]
    pub fn went(&mut self, physical: u8, expiry: Option<Due>) {
        self.counts[usize::from(physical)].keys -= 1;
        self.entries -= 1;
        if self.logical[usize::from(physical)].is_none() {
            self.dead -= 1;
        }
        self.expiry_went(physical, expiry);
    }

    #[inline]
    pub fn expiry_came(&mut self, physical: u8, expiry: Option<Due>) {
        if let Some(due) = expiry {
            let counts = &mut self.counts[usize::from(physical)];
            counts.expiring += 1;
            counts.steady += usize::from(due.clock() == Clock::Steady);
            counts.expiry_sum += u128::from(due.time().0);
            self.expiring += 1;
        }
    }

    #[inline]
    pub fn expiry_went(&mut self, physical: u8, expiry: Option<Due>) {
        if let Some(due) = expiry {
            let counts = &mut self.counts[usize::from(physical)];
            counts.expiring -= 1;
            counts.steady -= usize::from(due.clock() == Clock::Steady);
            counts.expiry_sum -= u128::from(due.time().0);
            self.expiring -= 1;
        }
    }

    /// Whether `flush` has a number to give.
    pub fn can_flush(&self) -> bool {
        self.spare().is_some()
    }

    fn spare(&self) -> Option<u8> {
        (0..=u8::MAX).find(|&number| {
            let index = usize::from(number);
            self.logical[index].is_none() && self.counts[index].keys == 0
        })
    }

    /// Empties a logical database: its entries are dead from here on. There must be a number left.
    pub fn flush(&mut self, database: Database) {
        if self.counts(database).keys == 0 {
            return;
        }
        let fresh = self.spare().expect("asked with `can_flush`");
        let old = std::mem::replace(&mut self.physical[database.index()], fresh);
        self.logical[usize::from(fresh)] = Some(database);
        self.logical[usize::from(old)] = None;
        self.dead += self.counts[usize::from(old)].keys;
    }

    /// Every entry of every database has been taken away at once.
    pub fn forget_all(&mut self) {
        self.counts = [Counts::default(); PHYSICAL_COUNT];
        self.dead = 0;
        self.entries = 0;
        self.expiring = 0;
    }

    pub fn swap(&mut self, a: Database, b: Database) {
        self.physical.swap(a.index(), b.index());
        self.logical[usize::from(self.physical(a))] = Some(a);
        self.logical[usize::from(self.physical(b))] = Some(b);
    }

    pub fn count(&self) -> u8 {
        self.physical.len() as u8
    }
}
