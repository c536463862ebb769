//! Time as an argument: the two clocks that things are due by, what they show, and when something is
//! due on one of them. Reads no clock.

use std::fmt;

/// A point in time in milliseconds, on the clock that whoever has it names; if none is named, on the
/// wall clock, so since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Millis(pub u64);

impl Millis {
    /// The point `milliseconds` later; stays at the end of time instead of wrapping.
    #[must_use]
    pub fn plus(self, milliseconds: u64) -> Self {
        Self(self.0.saturating_add(milliseconds))
    }

    /// Milliseconds from `earlier` to here, 0 if `earlier` is later.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Whole seconds since the Unix epoch.
    pub fn seconds(self) -> u64 {
        self.0 / 1000
    }
}

/// The clocks that something can be due by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Clock {
    /// The time of the day, which somebody may set: what was given as a time goes by it.
    Wall,
    /// Runs on evenly when the wall clock is set: what was given as a span goes by it.
    Steady,
}

impl Clock {
    pub const ALL: [Self; 2] = [Self::Wall, Self::Steady];
}

/// What both clocks show at one moment. They show the same until the wall clock is first set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Now {
    pub wall: Millis,
    pub steady: Millis,
}

impl Now {
    /// Both clocks show this.
    pub fn both(at: Millis) -> Self {
        Self { wall: at, steady: at }
    }

    /// What they show `milliseconds` later, if nobody sets the wall clock.
    #[must_use]
    pub fn plus(self, milliseconds: u64) -> Self {
        Self { wall: self.wall.plus(milliseconds), steady: self.steady.plus(milliseconds) }
    }

    #[inline]
    pub fn on(self, clock: Clock) -> Millis {
        match clock {
            Clock::Wall => self.wall,
            Clock::Steady => self.steady,
        }
    }
}

/// When something is due, on one of the two clocks. 8 bytes; nobody else looks at how they are used.
///
/// ```text
/// | steady 1 | milliseconds 63 |
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Due(u64);

/// Set in what goes by the steady clock.
const STEADY: u64 = 1 << 63;

/// The latest time, on either clock. Later ones become this one.
const LATEST_MS: u64 = STEADY - 1;

impl Due {
    /// The earliest there is on this clock.
    pub const fn earliest(clock: Clock) -> Self {
        match clock {
            Clock::Wall => Self(0),
            Clock::Steady => Self(STEADY),
        }
    }

    /// At a time of the wall clock, whatever happens to it until then.
    #[inline]
    pub fn at(wall: Millis) -> Self {
        Self::on(Clock::Wall, wall)
    }

    /// After a span from now, whatever happens to the wall clock meanwhile.
    #[inline]
    pub fn after(milliseconds: u64, now: Now) -> Self {
        Self::on(Clock::Steady, now.steady.plus(milliseconds))
    }

    #[inline]
    pub fn on(clock: Clock, time: Millis) -> Self {
        Self(Self::earliest(clock).0 | time.0.min(LATEST_MS))
    }

    #[inline]
    pub fn clock(self) -> Clock {
        if self.0 & STEADY == 0 { Clock::Wall } else { Clock::Steady }
    }

    /// What its own clock shows when it is due.
    #[inline]
    pub fn time(self) -> Millis {
        Millis(self.0 & LATEST_MS)
    }

    #[inline]
    pub fn is_due(self, now: Now) -> bool {
        self.time() <= now.on(self.clock())
    }

    /// How long it is until then, 0 if it is due.
    #[inline]
    pub fn left_ms(self, now: Now) -> u64 {
        self.time().since(now.on(self.clock()))
    }

    /// What the wall clock shows when it is due, unless somebody sets it until then.
    pub fn wall(self, now: Now) -> Millis {
        match self.clock() {
            Clock::Wall => self.time(),
            Clock::Steady => {
                let ahead = i128::from(now.wall.0) - i128::from(now.steady.0);
                let wall = i128::from(self.time().0) + ahead;
                Millis(wall.clamp(0, i128::from(LATEST_MS)) as u64)
            }
        }
    }

    /// Whether both go by the same clock, and this is due no later than the other.
    #[inline]
    pub fn precedes(self, other: Self) -> bool {
        self.clock() == other.clock() && self.0 <= other.0
    }

    /// As a word, to be kept. Words of one clock stand in the order of their times, those of the wall
    /// clock before all others.
    #[inline]
    pub fn to_word(self) -> u64 {
        self.0
    }

    #[inline]
    pub fn from_word(word: u64) -> Self {
        Self(word)
    }

    /// As an integer that is small where the time is, never 0. The very latest time loses a
    /// millisecond.
    pub fn to_integer(self) -> i64 {
        let after = self.time().0.min(LATEST_MS - 1) as i64 + 1;
        match self.clock() {
            Clock::Wall => after,
            Clock::Steady => -after,
        }
    }

    /// What `to_integer` gave; None for 0.
    #[inline]
    pub fn from_integer(integer: i64) -> Option<Self> {
        let clock = if integer < 0 { Clock::Steady } else { Clock::Wall };
        Some(Self::on(clock, Millis(integer.unsigned_abs().checked_sub(1)?)))
    }
}

impl fmt::Debug for Due {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Due({:?} {})", self.clock(), self.time().0)
    }
}

/// The first of several things that are due, on each clock: which of two comes first that go by
/// different clocks is not known until one is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Soonest {
    wall: Option<Millis>,
    steady: Option<Millis>,
}

impl Soonest {
    pub fn of(due: impl IntoIterator<Item = Due>) -> Self {
        let mut soonest = Self::default();
        for due in due {
            let first = match due.clock() {
                Clock::Wall => &mut soonest.wall,
                Clock::Steady => &mut soonest.steady,
            };
            *first = Some(first.map_or(due.time(), |first| first.min(due.time())));
        }
        soonest
    }

    /// Whether nothing is ever due.
    #[inline]
    pub fn is_none(self) -> bool {
        self.wall.is_none() && self.steady.is_none()
    }

    /// The first on this clock.
    #[inline]
    pub fn on(self, clock: Clock) -> Option<Due> {
        let first = match clock {
            Clock::Wall => self.wall,
            Clock::Steady => self.steady,
        };
        first.map(|time| Due::on(clock, time))
    }

    /// The first of each clock that has one.
    pub fn each(self) -> impl Iterator<Item = Due> {
        Clock::ALL.into_iter().filter_map(move |clock| self.on(clock))
    }

    pub fn is_due(self, now: Now) -> bool {
        self.each().any(|due| due.is_due(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;

    /// The wall clock was set an hour ahead, or back, of what it showed.
    fn ahead(steady: u64) -> Now {
        Now { wall: Millis(steady + HOUR), steady: Millis(steady) }
    }

    fn back(steady: u64) -> Now {
        Now { wall: Millis(steady - HOUR), steady: Millis(steady) }
    }

    #[test]
    fn a_span_ends_by_the_steady_clock_and_a_time_by_that_of_the_wall() {
        let start = 10 * HOUR;
        let span = Due::after(1000, Now::both(Millis(start)));
        let time = Due::at(Millis(start + 1000));
        let cases = [
            (span, Now::both(Millis(start + 999)), false, 1, start + 1000),
            (span, Now::both(Millis(start + 1000)), true, 0, start + 1000),
            (span, ahead(start + 400), false, 600, start + HOUR + 1000),
            (span, ahead(start + 1000), true, 0, start + HOUR + 1000),
            (span, back(start + 999), false, 1, start + 1000 - HOUR),
            (span, back(start + 1001), true, 0, start + 1000 - HOUR),
            (time, ahead(start), true, 0, start + 1000),
            (time, back(start + HOUR), false, 1000, start + 1000),
            (time, back(start + HOUR + 1000), true, 0, start + 1000),
        ];
        for (due, now, is_due, left_ms, wall) in cases {
            let told = (due.is_due(now), due.left_ms(now), due.wall(now).0);
            assert_eq!(told, (is_due, left_ms, wall), "{due:?} at {now:?}");
        }
    }

    #[test]
    fn every_time_is_kept_and_comes_back() {
        for clock in Clock::ALL {
            for time in [0, 1, 1000, 1 << 46, (1 << 62) + 5, LATEST_MS - 1, LATEST_MS] {
                let due = Due::on(clock, Millis(time));
                assert_eq!((due.clock(), due.time()), (clock, Millis(time)));
                assert_eq!(Due::from_word(due.to_word()), due);
                let kept = Due::on(clock, Millis(time.min(LATEST_MS - 1)));
                assert_eq!(Due::from_integer(due.to_integer()), Some(kept));
            }
            assert_eq!(Due::on(clock, Millis(u64::MAX)).time(), Millis(LATEST_MS));
        }
        assert_eq!(Due::from_integer(0), None);
        let never_before = Due::on(Clock::Steady, Millis(5));
        assert_eq!(never_before.wall(back(HOUR)), Millis(0), "before the epoch");
        let last = Due::on(Clock::Steady, Millis(LATEST_MS));
        assert_eq!(last.wall(ahead(HOUR)), Millis(LATEST_MS));
    }

    #[test]
    fn times_of_different_clocks_are_not_before_each_other() {
        let [wall, steady] = Clock::ALL.map(|clock| Due::on(clock, Millis(5)));
        assert!(wall.precedes(wall) && wall.precedes(Due::at(Millis(6))));
        assert!(!Due::at(Millis(6)).precedes(wall));
        assert!(!wall.precedes(steady) && !steady.precedes(wall));
    }

    #[test]
    fn the_first_of_each_clock_is_told() {
        let on = |clock, time| Due::on(clock, Millis(time));
        let both = [(Clock::Steady, 9), (Clock::Wall, 7), (Clock::Steady, 8), (Clock::Wall, 12)];
        let soonest = Soonest::of(both.map(|(clock, time)| on(clock, time)));
        let first: Vec<_> = soonest.each().collect();
        assert_eq!(first, [on(Clock::Wall, 7), on(Clock::Steady, 8)]);
        assert!(!soonest.is_none() && Soonest::default().is_none());
        assert!(!soonest.is_due(Now::both(Millis(6))));
        assert!(soonest.is_due(Now { wall: Millis(0), steady: Millis(8) }));
        assert!(soonest.is_due(Now { wall: Millis(7), steady: Millis(0) }));
    }
}
