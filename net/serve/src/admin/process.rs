//! What the system says of this process. Linux.

use std::sync::OnceLock;

/// Memory of the allocator that serves everything but the stores' slabs, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AllocatorUsage {
    /// Handed out.
    pub allocated: usize,
    /// In pages of which something is handed out.
    pub active: usize,
    /// Backed by memory.
    pub resident: usize,
    /// Of that, pages of which nothing is handed out: kept for what is allocated next.
    pub free: usize,
}

/// The process's allocator, as far as commands can use it.
#[derive(Clone, Copy, Debug)]
pub struct Allocator {
    /// As in INFO's `mem_allocator`: `jemalloc-5.3.0`.
    pub name: &'static str,
    pub usage: fn() -> AllocatorUsage,
    /// Returns free pages to the system; runs on a thread of its own, since it may take long.
    pub purge: fn(),
}

static ALLOCATOR: OnceLock<Allocator> = OnceLock::new();

/// Tells how the process allocates. Called once, before the server starts; without it the memory
/// that is counted is the stores' alone.
pub fn set_allocator(allocator: Allocator) {
    // The first one stays: there is but one allocator in a process.
    let _ = ALLOCATOR.set(allocator);
}

pub fn allocator() -> Option<&'static Allocator> {
    ALLOCATOR.get()
}

/// Resident bytes of this process, now and at most so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resident {
    pub now: usize,
    pub peak: usize,
}

impl Resident {
    /// Zeroes where `/proc` cannot be read.
    pub fn read() -> Self {
        Self::parse(&std::fs::read_to_string("/proc/self/status").unwrap_or_default())
    }

    /// Out of the text of `/proc/self/status`, `proc_pid_status(5)`.
    fn parse(status: &str) -> Self {
        let kilobytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim_start_matches(':').split_whitespace().next()?.parse::<usize>().ok()
        };
        let bytes = |name| kilobytes(name).unwrap_or(0) * 1024;
        Self { now: bytes("VmRSS"), peak: bytes("VmHWM") }
    }
}

/// CPU time in seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuTime {
    pub user: f64,
    pub system: f64,
}

impl CpuTime {
    /// Of the whole process.
    pub fn of_process() -> Self {
        Self::of(libc::RUSAGE_SELF)
    }

    /// Of children that have ended.
    pub fn of_children() -> Self {
        Self::of(libc::RUSAGE_CHILDREN)
    }

    fn of(whom: libc::c_int) -> Self {
        // SAFETY: all zeroes is a valid value of this struct of plain numbers.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: `usage` is ours to be written to; an unknown `whom` would only give an error.
        let result = unsafe { libc::getrusage(whom, &raw mut usage) };
        debug_assert_eq!(result, 0, "getrusage takes these two arguments");
        let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
        Self { user: seconds(usage.ru_utime), system: seconds(usage.ru_stime) }
    }
}

/// `Linux 6.1.0 x86_64`.
pub fn system_name() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let (kind, release) = (read("/proc/sys/kernel/ostype"), read("/proc/sys/kernel/osrelease"));
        format!("{} {} {}", kind.trim(), release.trim(), std::env::consts::ARCH)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read_from_the_status() {
        let status = "Name:\tringlane\nVmHWM:\t   2048 kB\nVmRSS:\t    100 kB\nThreads:\t2\n";
        assert_eq!(Resident::parse(status), Resident { now: 102_400, peak: 2 << 20 });
        assert_eq!(Resident::parse(""), Resident::default());
        let now = Resident::read();
        assert!(now.now > 0 && now.peak >= now.now / 2, "{now:?}");
    }

    #[test]
    fn cpu_time_moves_on() {
        let before = CpuTime::of_process();
        let mut sum = 0u64;
        // Until it has moved: by at least a clock tick of the kernel.
        while CpuTime::of_process().user + CpuTime::of_process().system
            <= before.user + before.system
        {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(system_name().starts_with("Linux "));
    }
}
