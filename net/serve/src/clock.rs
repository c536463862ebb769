//! The clocks of a lane: a cheap tick counter for durations, and once a turn what the wall clock shows
//! and what it would show if nobody had set it. Judges alone what a step of the wall clock is
//! (`docs/decisions/expiry-clocks.md`).

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ringlane_base::{Millis, Now};
use rustix::time::{ClockId, clock_gettime};
use tracing::warn;

/// Ticks of a counter that runs evenly: the time-stamp counter where there is one.
#[inline]
pub fn ticks() -> u64 {
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: every x86-64 processor has the instruction, and it touches no memory.
        unsafe { std::arch::x86_64::_rdtsc() }
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        static START: OnceLock<Instant> = OnceLock::new();
        START.get_or_init(Instant::now).elapsed().as_nanos() as u64
    }
}

/// Ticks a microsecond, measured once against the monotonic clock.
pub fn ticks_per_us() -> u64 {
    static RATE: OnceLock<u64> = OnceLock::new();
    *RATE.get_or_init(|| {
        let (start, from) = (Instant::now(), ticks());
        while start.elapsed() < Duration::from_millis(5) {
            std::hint::spin_loop();
        }
        let passed = ticks().wrapping_sub(from);
        (passed / start.elapsed().as_micros().max(1) as u64).max(1)
    })
}

/// What `ticks` reads, in the words of Redis.
pub fn name() -> String {
    if cfg!(target_arch = "x86_64") {
        format!("X86 TSC @ {} ticks/us", ticks_per_us())
    } else {
        "POSIX clock_gettime".to_owned()
    }
}

/// How long a reading of the thread's CPU time serves, in microseconds by the wall.
const CPU_READING_US: u64 = 250;

/// Times a lane's stretches of work. The wall is read from the tick counter; the CPU time, which takes
/// a system call (4% of what a request costs that comes alone), at most every `CPU_READING_US`.
pub struct WorkClock {
    ticks_per_us: u64,
    began: u64,
    /// When the CPU time was last read, in ticks, and what it was, in nanoseconds.
    read_at: u64,
    cpu_read: u64,
}

impl Default for WorkClock {
    fn default() -> Self {
        Self::new()
    }
}

impl WorkClock {
    pub fn new() -> Self {
        let now = ticks();
        let cpu_read = thread_cpu_ns();
        Self { ticks_per_us: ticks_per_us(), began: now, read_at: now, cpu_read }
    }

    /// A stretch begins.
    #[inline]
    pub fn begin(&mut self) {
        self.began = ticks();
        if self.began.wrapping_sub(self.read_at) > CPU_READING_US * self.ticks_per_us {
            self.read_at = self.began;
            self.cpu_read = thread_cpu_ns();
        }
    }

    /// Microseconds since the stretch began.
    #[inline]
    pub fn wall_us(&self) -> u64 {
        ticks().wrapping_sub(self.began) / self.ticks_per_us
    }

    /// Microseconds of CPU time since it began; or a little more, never by more than `CPU_READING_US`,
    /// if there were others just before it. Never more than by the wall.
    pub fn cpu_us(&self) -> u64 {
        ((thread_cpu_ns() - self.cpu_read) / 1000).min(self.wall_us())
    }
}

/// What the wall clock and the time since the machine's start must differ by, more than they did, in
/// milliseconds, for somebody to have set the wall clock. What is less (a slewed clock, two readings
/// a millisecond apart) the steady clock follows.
const STEP_MS_MIN: u64 = 500;

/// Two looks at a clock farther apart than this, in milliseconds, are not of one moment.
const MOMENT_MS_MAX: i64 = 50;

/// Looks at the clocks until both have been read at one moment. A thread would have to be held up in
/// the middle of each; then it takes what it has.
const LOOKS_MAX: u32 = 8;

/// How far the wall clock has been set since the process began, in milliseconds, ahead or (negative)
/// back: the steady clock is the wall clock without it. One for all lanes.
static SET_MS: AtomicI64 = AtomicI64::new(0);

/// Both clocks at one moment, in milliseconds.
#[derive(Clone, Copy)]
struct Reading {
    /// Since the Unix epoch.
    wall: i64,
    /// Since the machine was started, suspended or not.
    boot: i64,
}

impl Reading {
    #[inline]
    fn take() -> Self {
        let boot = boot_us() / 1000;
        Self { wall: wall_us() as i64 / 1000, boot: boot as i64 }
    }

    /// One that is of one moment, even if the thread has to wait for its core meanwhile.
    fn careful() -> Self {
        let mut reading = Self::take();
        for _ in 0..LOOKS_MAX {
            if boot_us() as i64 / 1000 - reading.boot <= MOMENT_MS_MAX {
                break;
            }
            reading = Self::take();
        }
        reading
    }

    /// By how much somebody has set the wall clock, if it was this far ahead of the other before.
    #[inline]
    fn step(self, ahead: i64) -> Option<i64> {
        let step = self.wall - self.boot - ahead;
        (step.unsigned_abs() >= STEP_MS_MIN).then_some(step)
    }
}

/// How far the wall clock was ahead of the time since the machine's start when this was first asked.
#[inline]
fn ahead_at_start() -> i64 {
    static AHEAD: OnceLock<i64> = OnceLock::new();
    *AHEAD.get_or_init(|| {
        let reading = Reading::careful();
        reading.wall - reading.boot
    })
}

/// Now, by both clocks. Two lanes that ask at the same time are told the same.
#[inline]
pub fn now() -> Now {
    let ahead = ahead_at_start();
    let mut set = SET_MS.load(Ordering::Acquire);
    let mut reading = Reading::take();
    if reading.step(ahead + set).is_some() {
        (reading, set) = look_again(ahead);
    }
    Now { wall: Millis(reading.wall as u64), steady: Millis((reading.wall - set).max(0) as u64) }
}

/// Somebody seems to have set the wall clock. Returns a reading and how far it has been set by then.
#[cold]
fn look_again(ahead: i64) -> (Reading, i64) {
    // Again only if another lane has noted a step meanwhile.
    loop {
        // Before the clocks: if another lane notes the step in between, this one looks again.
        let set = SET_MS.load(Ordering::Acquire);
        let reading = Reading::careful();
        let Some(step_ms) = reading.step(ahead + set) else { return (reading, set) };
        let noted =
            SET_MS.compare_exchange(set, set + step_ms, Ordering::AcqRel, Ordering::Acquire);
        if noted.is_ok() {
            warn!(step_ms, "the clock was set: what lives for a span is not affected");
            return (reading, set + step_ms);
        }
    }
}

/// Now by the wall clock, in Unix microseconds.
#[inline]
pub fn wall_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as u64
}

/// Microseconds since the machine was started: the same for all threads, and nobody sets it.
#[inline]
pub fn boot_us() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1000
}

/// CPU time that this thread has used, in nanoseconds.
pub fn thread_cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The steady clock after each of these readings, the first of which is of the start.
    fn steady(readings: &[(i64, i64)]) -> Vec<i64> {
        let ahead = readings[0].0 - readings[0].1;
        let mut set = 0;
        let told = readings.iter().map(|&(wall, boot)| {
            set += Reading { wall, boot }.step(ahead + set).unwrap_or(0);
            wall - set
        });
        told.collect()
    }

    #[test]
    fn the_steady_clock_leaves_out_what_somebody_set_and_follows_the_rest() {
        const HOUR: i64 = 3_600_000;
        // Nothing happens: the wall clock's own numbers, though the other is read a little later.
        assert_eq!(steady(&[(5000, 20), (6000, 1021), (7000, 2020)]), [5000, 6000, 7000]);
        // Set ahead, back, back to what it was, to the beginning of time.
        let set = [(5000, 0), (6000 + HOUR, 1000), (7000 - HOUR, 2000), (8000, 3000), (0, 4000)];
        assert_eq!(steady(&set), [5000, 6000, 7000, 8000, 9000]);
        // Less than a step is followed, however often: up to a step, which takes it all back.
        let followed = [(5000, 0), (5300, 100), (5599, 200), (5899, 300), (5999, 400)];
        assert_eq!(steady(&followed), [5000, 5300, 5599, 5300, 5400]);
        // A leap second is a step; a suspended machine is not, time has passed.
        assert_eq!(steady(&[(5000, 0), (5500, 1500)]), [5000, 6500]);
        assert_eq!(steady(&[(5000, 0), (5000 + HOUR, HOUR)]), [5000, 5000 + HOUR]);
    }

    #[test]
    fn both_clocks_show_the_time_as_long_as_nobody_sets_it() {
        let before = wall_us() / 1000;
        let now = now();
        assert_eq!(now.wall, now.steady);
        assert!((before..=wall_us() / 1000).contains(&now.wall.0), "{now:?}");
    }

    #[test]
    fn a_stretch_is_timed_by_the_wall_and_by_its_own_work() {
        let mut clock = WorkClock::new();
        clock.begin();
        std::thread::sleep(Duration::from_millis(50));
        let cpu_us = clock.cpu_us();
        assert!(clock.wall_us() >= 49_000, "{}", clock.wall_us());
        assert!(cpu_us < 40_000, "asleep it does not work: {cpu_us}");

        clock.begin();
        let until = thread_cpu_ns() + 5_000_000;
        while thread_cpu_ns() < until {
            std::hint::spin_loop();
        }
        let (cpu_us, wall_us) = (clock.cpu_us(), clock.wall_us());
        assert!(cpu_us >= 4_900 && cpu_us <= wall_us, "{cpu_us} of {wall_us}");
    }
}
