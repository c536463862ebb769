//! What a process costs: CPU time to the nanosecond, resident bytes, threads; and pinning.

use std::{fs, io, time::Duration};

use anyhow::{Context, Result, bail};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Reads the CPU time of one process: user and system, all threads, those that ended included.
#[derive(Clone, Copy, Debug)]
pub struct CpuMeter {
    clock: libc::clockid_t,
}

impl CpuMeter {
    /// The kernel's CPU-time clock of the process (`clock_getcpuclockid(3)`): the sum that the
    /// scheduler keeps, so to the nanosecond, where `/proc/PID/stat` counts in hundredths of a second.
    pub fn new(pid: u32) -> Result<Self> {
        let mut clock: libc::clockid_t = 0;
        // SAFETY: `clock` is a valid place for one clockid_t; the call keeps no pointer.
        let error = unsafe { libc::clock_getcpuclockid(pid as libc::pid_t, &raw mut clock) };
        if error != 0 {
            bail!("no CPU clock of process {pid}: {}", io::Error::from_raw_os_error(error));
        }
        Ok(Self { clock })
    }

    /// CPU time so far. Fails when the process has ended.
    pub fn read(&self) -> Result<Duration> {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `time` is a valid place for one timespec; the call keeps no pointer.
        if unsafe { libc::clock_gettime(self.clock, &raw mut time) } != 0 {
            return Err(io::Error::last_os_error()).context("the measured process has ended");
        }
        Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
    }
}

/// CPU nanoseconds per operation; None when nothing was done.
pub fn cpu_per_operation_ns(used: Duration, operations: u64) -> Option<f64> {
    (operations > 0).then(|| used.as_nanos() as f64 / operations as f64)
}

/// Resident bytes of a process. Exact (`smaps_rollup`) where the kernel shows it; `VmRSS`, which
/// may lag by some pages per thread, elsewhere.
pub fn resident_bytes(pid: u32) -> Result<u64> {
    let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}"));
    if let Some(bytes) = read("smaps_rollup").ok().and_then(|text| kib_field(&text, "Rss:")) {
        return Ok(bytes);
    }
    let status = read("status").with_context(|| format!("process {pid} has ended"))?;
    kib_field(&status, "VmRSS:").with_context(|| format!("no VmRSS of process {pid}"))
}

fn kib_field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Waits until the resident size stands still: within 0.1% over a second, for at most `patience`.
/// Returns it in bytes, and whether it settled.
pub fn settled_resident_bytes(pid: u32, patience: Duration) -> Result<(u64, bool)> {
    const STEP: Duration = Duration::from_millis(250);
    const STILL_STEPS: u32 = 4;
    let mut last = resident_bytes(pid)?;
    let mut still = 0;
    for _ in 0..patience.as_millis() / STEP.as_millis() {
        std::thread::sleep(STEP);
        crate::signals::check()?;
        let now = resident_bytes(pid)?;
        still = if now.abs_diff(last) <= last / 1000 { still + 1 } else { 0 };
        last = now;
        if still >= STILL_STEPS {
            return Ok((now, true));
        }
    }
    Ok((last, false))
}

/// Cores as the command line names them: `0`, `0,2`, `0-3`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Cores(pub Vec<usize>);

impl std::str::FromStr for Cores {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const CORES_MAX: usize = 1024;
        let mut cores = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let parse = |core: &str| match core.trim().parse::<usize>() {
                Ok(core) if core < CORES_MAX => Ok(core),
                Ok(_) | Err(_) => Err(format!("{core:?} is no core number")),
            };
            cores.extend(parse(first)?..=parse(last)?);
        }
        if cores.is_empty() { Err("no core named".into()) } else { Ok(Self(cores)) }
    }
}

impl std::fmt::Display for Cores {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        write!(out, "{}", names.join(","))
    }
}

/// The cores that this process may use.
pub fn allowed_cores() -> Result<Vec<usize>> {
    let set = sched_getaffinity(None).context("reading the affinity mask")?;
    Ok((0..CpuSet::MAX_CPU).filter(|&core| set.is_set(core)).collect())
}

/// Pins the calling thread, and what it spawns from now on, to these cores.
pub fn pin(cores: &[usize]) -> Result<()> {
    let mut set = CpuSet::new();
    for &core in cores {
        set.set(core);
    }
    sched_setaffinity(None, &set).with_context(|| {
        format!(
            "pinning to core {} (this process may use {:?})",
            Cores(cores.to_vec()),
            allowed_cores().unwrap_or_default()
        )
    })
}

/// Runs `action` pinned to these cores and restores the mask: children of `action` inherit it.
pub fn while_pinned<T>(cores: &[usize], action: impl FnOnce() -> Result<T>) -> Result<T> {
    let before = sched_getaffinity(None).context("reading the affinity mask")?;
    pin(cores)?;
    let result = action();
    sched_setaffinity(None, &before).context("restoring the affinity mask")?;
    result
}

/// Asks for real-time priority for the calling thread, so that a probe is not queued behind the
/// load beside it. Returns whether the kernel granted it.
pub fn try_realtime() -> bool {
    let parameters = libc::sched_param { sched_priority: 1 };
    // SAFETY: `parameters` outlives the call, which keeps no pointer; 0 is the calling thread.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_RR, &raw const parameters) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_meter_sees_work_of_all_threads_and_of_threads_that_ended() {
        let meter = CpuMeter::new(std::process::id()).unwrap();
        let before = meter.read().unwrap();
        let spent = std::thread::spawn(|| {
            // Work, not waiting: until this thread's own clock says 20 ms.
            let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
            loop {
                // SAFETY: a valid place for one timespec.
                unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
                if time.tv_nsec >= 20_000_000 {
                    return Duration::from_nanos(time.tv_nsec as u64);
                }
            }
        })
        .join()
        .unwrap();
        assert!(meter.read().unwrap() >= before + spent);
    }

    #[test]
    fn a_process_that_ended_is_an_error() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let meter = CpuMeter::new(child.id()).unwrap();
        child.wait().unwrap();
        assert!(meter.read().is_err());
    }

    #[test]
    fn cost_per_operation() {
        assert_eq!(cpu_per_operation_ns(Duration::from_micros(10), 4), Some(2500.0));
        assert_eq!(cpu_per_operation_ns(Duration::from_micros(10), 0), None);
    }

    #[test]
    fn resident_bytes_grow_with_what_is_touched() {
        let before = resident_bytes(std::process::id()).unwrap();
        let block = vec![1u8; 64 << 20];
        let after = resident_bytes(std::process::id()).unwrap();
        assert!(after - before >= 60 << 20, "{before} {after} {}", block.len());
    }

    #[test]
    fn cores_parse() {
        assert_eq!("0".parse(), Ok(Cores(vec![0])));
        assert_eq!("0,2-4".parse(), Ok(Cores(vec![0, 2, 3, 4])));
        for bad in ["", "x", "1-", "3-1", "99999"] {
            assert!(bad.parse::<Cores>().is_err(), "{bad}");
        }
    }
}
