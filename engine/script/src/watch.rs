//! How long a script may run, at once and in all. The clocks are arguments; nothing here reads one.

/// How many instructions of Lua pass between two looks at the clock: some 50 µs.
pub const INSTRUCTIONS_PER_LOOK: i32 = 10_000;
/// How many calls of commands pass between two looks.
const CALLS_PER_LOOK: u32 = 64;

/// The clocks that scripts need.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    /// CPU time that this thread has used, in nanoseconds.
    pub cpu_ns: fn() -> u64,
    /// Unix time, in microseconds.
    pub wall_us: fn() -> u64,
    /// A counter that is cheap to read, for the length of slices.
    pub ticks: fn() -> u64,
    /// Takes what scripts log: Redis's level (0 debug to 3 warning) and the words.
    pub log: fn(u8, &[u8]),
}

/// Bounds on one script. 0: none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct TimeLimits {
    /// CPU time in nanoseconds, of a script that has not written.
    pub cpu_ns: u64,
    /// Instructions of Lua, in steps of `INSTRUCTIONS_PER_LOOK`.
    pub instructions: u64,
    /// Ticks after which a script is paused, so that others are served; then it goes on.
    pub slice_ticks: u64,
}

/// CPU time in nanoseconds of what cannot be paused: the text of a library, when it is loaded.
const UNPAUSED_NS: u64 = 500_000_000;

/// Watches one script after the other.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    clocks: Clocks,
    limits: TimeLimits,
    /// When the slice was first looked at; a script too short for that is never timed.
    begun_ns: Option<u64>,
    /// CPU time of the slices before.
    used_ns: u64,
    slice_begun: Option<u64>,
    /// It runs where it can be paused.
    pausable: bool,
    /// Its commands have changed something: from there on no time ends it.
    wrote: bool,
    instructions: u64,
    /// Work outside of Lua since the last look, in instructions.
    unseen: usize,
    calls: u32,
    overdue: Option<Overdue>,
}

/// Which bound a script has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overdue {
    Time,
    Instructions,
    /// SCRIPT KILL or FUNCTION KILL.
    Killed,
}

impl Watch {
    pub fn new(clocks: Clocks, limits: TimeLimits) -> Self {
        Self {
            clocks,
            limits,
            begun_ns: None,
            used_ns: 0,
            slice_begun: None,
            pausable: false,
            wrote: false,
            instructions: 0,
            unseen: 0,
            calls: 0,
            overdue: None,
        }
    }

    pub fn set_limits(&mut self, limits: TimeLimits) {
        self.limits = limits;
    }

    /// A script begins. Whether the one before it was stopped, so that Lua looks often.
    pub fn begin(&mut self, pausable: bool) -> bool {
        self.pausable = pausable;
        self.begun_ns = None;
        self.used_ns = 0;
        self.slice_begun = None;
        self.wrote = false;
        self.instructions = 0;
        self.unseen = 0;
        self.calls = 0;
        self.overdue.take().is_some()
    }

    /// Another so many instructions have run, or what counts as much: whether the script must end.
    pub fn after_instructions(&mut self, count: i32) -> Option<Overdue> {
        self.instructions += u64::from(count.unsigned_abs());
        if self.limits.instructions > 0 && self.instructions > self.limits.instructions {
            self.overdue = self.overdue.or(Some(Overdue::Instructions));
        }
        self.look()
    }

    /// A function has worked as long as so many instructions take: whether the script must end.
    #[inline]
    pub fn after_work(&mut self, instructions: usize) -> Option<Overdue> {
        self.unseen += instructions;
        if self.unseen < INSTRUCTIONS_PER_LOOK as usize {
            return self.overdue;
        }
        let done = std::mem::take(&mut self.unseen).min(i32::MAX as usize);
        self.after_instructions(done as i32)
    }

    /// Whether others are to be served then; asked only where the clock was looked at.
    #[inline]
    pub fn wants_pause_after_work(&mut self) -> bool {
        self.unseen == 0 && self.wants_pause()
    }

    /// A command is called: whether the script must end.
    #[inline]
    pub fn before_call(&mut self) -> Option<Overdue> {
        self.calls += 1;
        if self.calls.is_multiple_of(CALLS_PER_LOOK) { self.look() } else { self.overdue }
    }

    /// A command is called: whether the script is to be paused before it. One command is within a slice.
    #[inline]
    pub fn wants_pause_before_call(&mut self) -> bool {
        self.calls > 1 && self.wants_pause()
    }

    /// Whether others are to be served before the script goes on.
    pub fn wants_pause(&mut self) -> bool {
        if !self.pausable || self.limits.slice_ticks == 0 {
            return false;
        }
        let now = (self.clocks.ticks)();
        now.wrapping_sub(*self.slice_begun.get_or_insert(now)) > self.limits.slice_ticks
    }

    /// The script is paused.
    pub fn pause(&mut self) {
        let Some(begun) = self.begun_ns.take() else { return };
        self.used_ns += (self.clocks.cpu_ns)().saturating_sub(begun);
    }

    /// The script goes on.
    pub fn resume(&mut self) {
        self.begun_ns = Some((self.clocks.cpu_ns)());
        self.slice_begun = Some((self.clocks.ticks)());
    }

    /// Something has been changed.
    pub fn note_written(&mut self) {
        self.wrote = true;
    }

    /// Ends the script when it goes on.
    pub fn kill(&mut self) {
        self.overdue = self.overdue.or(Some(Overdue::Killed));
    }

    /// Looks at the clock: whether the script must end.
    pub fn look(&mut self) -> Option<Overdue> {
        let limit = match self.limits.cpu_ns {
            0 if self.pausable => return self.overdue,
            0 => UNPAUSED_NS,
            limit if self.pausable => limit,
            limit => limit.min(UNPAUSED_NS),
        };
        if self.overdue.is_none() && !self.wrote {
            let now = (self.clocks.cpu_ns)();
            let begun = *self.begun_ns.get_or_insert(now);
            if self.used_ns + now.saturating_sub(begun) > limit {
                self.overdue = Some(Overdue::Time);
            }
        }
        self.overdue
    }

    pub fn is_pausable(&self) -> bool {
        self.pausable
    }

    pub fn is_overdue(&self) -> bool {
        self.overdue.is_some()
    }

    /// The bound that the script has passed.
    pub fn overdue(&self) -> Option<Overdue> {
        self.overdue
    }

    /// What a script is told that must end.
    pub fn words(&self, why: Overdue) -> &'static str {
        match why {
            Overdue::Time => "ERR Script interrupted: it ran for longer than script-time-limit",
            Overdue::Instructions => {
                "ERR Script interrupted: it ran more instructions than script-instruction-limit"
            }
            Overdue::Killed => "ERR Script killed by user with SCRIPT KILL...",
        }
    }

    pub fn clocks(&self) -> Clocks {
        self.clocks
    }
}
