//! How long a script may run. The clock is an argument; nothing here reads one.

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
    /// Takes what scripts log: Redis's level (0 debug to 3 warning) and the words.
    pub log: fn(u8, &[u8]),
}

/// Bounds on one script. 0: none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct TimeLimits {
    /// CPU time in nanoseconds.
    pub cpu_ns: u64,
    /// Instructions of Lua, in steps of `INSTRUCTIONS_PER_LOOK`.
    pub instructions: u64,
}

/// Watches one script after the other.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    clocks: Clocks,
    limits: TimeLimits,
    /// When the script was first looked at; a script too short for that is never timed.
    begun_ns: Option<u64>,
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
}

impl Watch {
    pub fn new(clocks: Clocks, limits: TimeLimits) -> Self {
        Self { clocks, limits, begun_ns: None, instructions: 0, unseen: 0, calls: 0, overdue: None }
    }

    /// A script begins. Whether the one before it was stopped, so that Lua looks often.
    pub fn begin(&mut self) -> bool {
        self.begun_ns = None;
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

    /// A command was called: whether the script must end.
    #[inline]
    pub fn after_call(&mut self) -> Option<Overdue> {
        self.calls += 1;
        if self.calls.is_multiple_of(CALLS_PER_LOOK) { self.look() } else { self.overdue }
    }

    /// Looks at the clock: whether the script must end.
    pub fn look(&mut self) -> Option<Overdue> {
        if self.limits.cpu_ns > 0 && self.overdue.is_none() {
            let now = (self.clocks.cpu_ns)();
            let begun = *self.begun_ns.get_or_insert(now);
            if now.saturating_sub(begun) > self.limits.cpu_ns {
                self.overdue = Some(Overdue::Time);
            }
        }
        self.overdue
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
        }
    }

    pub fn clocks(&self) -> Clocks {
        self.clocks
    }
}
