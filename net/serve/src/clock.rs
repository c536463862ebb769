//! The two clocks of a lane: a cheap tick counter for durations, and the wall clock once a turn.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ringlane_base::Millis;

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

/// Now, by the wall clock.
pub fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(since.as_millis() as u64)
}

/// Now, in Unix microseconds.
pub fn wall_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as u64
}

/// CPU time that this thread has used, in nanoseconds.
pub fn thread_cpu_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;

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
