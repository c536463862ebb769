//! What this process may use of its host: CPUs by affinity mask and quota, memory by the host and
//! the limit, of control groups v1 and v2, nested ones included.

use std::fs;
use std::path::{Path, PathBuf};

use ringlane_settings::Machine;

/// Looks at this host. `root` is `/` but in tests.
pub fn probe(root: &Path) -> Machine {
    let cores = allowed_cores();
    let groups = Groups::of(root);
    let cpus = groups.cpu_quota().unwrap_or(cores.len()).clamp(1, cores.len());
    let memory_bytes = groups.memory_limit().into_iter().chain(host_memory(root)).min();
    Machine { cores, cpus, memory_bytes: memory_bytes.unwrap_or(MEMORY_UNKNOWN) }
}

/// What is assumed when `/proc` does not tell: small enough not to end a small host.
const MEMORY_UNKNOWN: u64 = 1 << 30;

/// The affinity mask; CPU 0 where it cannot be read.
fn allowed_cores() -> Vec<usize> {
    let Ok(mask) = rustix::thread::sched_getaffinity(None) else { return vec![0] };
    let cores: Vec<usize> =
        (0..rustix::thread::CpuSet::MAX_CPU).filter(|cpu| mask.is_set(*cpu)).collect();
    if cores.is_empty() { vec![0] } else { cores }
}

/// `MemTotal` in bytes.
fn host_memory(root: &Path) -> Option<u64> {
    let text = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// The folders of the control groups that this process is in, the innermost first.
#[derive(Default)]
struct Groups {
    unified: Vec<PathBuf>,
    cpu: Vec<PathBuf>,
    memory: Vec<PathBuf>,
}

impl Groups {
    /// See cgroups(7), `/proc/[pid]/cgroup`, and proc(5), `/proc/[pid]/mountinfo`.
    fn of(root: &Path) -> Self {
        let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
        let mounts = read("proc/self/mountinfo");
        let mut groups = Self::default();
        for line in read("proc/self/cgroup").lines() {
            // hierarchy:controllers:path
            let mut fields = line.splitn(3, ':');
            let (Some(_), Some(controllers), Some(path)) =
                (fields.next(), fields.next(), fields.next())
            else {
                continue;
            };
            if controllers.is_empty() {
                groups.unified = folders(root, &mounts, None, path);
            }
            for controller in controllers.split(',') {
                match controller {
                    "cpu" => groups.cpu = folders(root, &mounts, Some("cpu"), path),
                    "memory" => groups.memory = folders(root, &mounts, Some("memory"), path),
                    _ => {}
                }
            }
        }
        groups
    }

    /// Whole CPUs that the tightest quota gives, at least 1: a lane that has less than a CPU is
    /// put to sleep for the rest of each period, so parts of CPUs get no lane of their own.
    fn cpu_quota(&self) -> Option<usize> {
        let unified = self.unified.iter().filter_map(|folder| {
            let text = fs::read_to_string(folder.join("cpu.max")).ok()?;
            let (quota, period) = text.trim().split_once(' ')?;
            whole_cpus(quota, period)
        });
        let first = self.cpu.iter().filter_map(|folder| {
            let quota = fs::read_to_string(folder.join("cpu.cfs_quota_us")).ok()?;
            let period = fs::read_to_string(folder.join("cpu.cfs_period_us")).ok()?;
            whole_cpus(&quota, &period)
        });
        unified.chain(first).min()
    }

    /// The tightest limit in bytes.
    fn memory_limit(&self) -> Option<u64> {
        let limit = |folder: &PathBuf, file: &str| {
            fs::read_to_string(folder.join(file)).ok()?.trim().parse::<u64>().ok()
        };
        let unified = self.unified.iter().filter_map(|folder| limit(folder, "memory.max"));
        let first = self.memory.iter().filter_map(|folder| limit(folder, "memory.limit_in_bytes"));
        unified.chain(first).min()
    }
}

/// None: no quota (`max` in v2, -1 in v1).
fn whole_cpus(quota: &str, period: &str) -> Option<usize> {
    let quota: u64 = quota.trim().parse().ok()?;
    let period: u64 = period.trim().parse().ok().filter(|period| *period > 0)?;
    usize::try_from((quota / period).max(1)).ok()
}

/// The folder of group `path` and those of its ancestors, as far as this process can see them.
/// `controller`: of hierarchy v1; None: the unified one.
fn folders(root: &Path, mounts: &str, controller: Option<&str>, path: &str) -> Vec<PathBuf> {
    let Some((mounted, shown)) = mount_of(mounts, controller) else { return Vec::new() };
    let mount = root.join(mounted.trim_start_matches('/'));
    // In a container the mount often shows only this container's part of the tree.
    let below = match path.strip_prefix(shown) {
        Some(rest) if shown == "/" || rest.is_empty() || rest.starts_with('/') => rest,
        Some(_) | None => "",
    };
    let mut folder = mount.join(below.trim_start_matches('/'));
    let mut folders = Vec::new();
    while folder.starts_with(&mount) {
        folders.push(folder.clone());
        if !folder.pop() {
            break;
        }
    }
    folders
}

/// Where the hierarchy is mounted, and which part of it is shown there.
fn mount_of<'a>(mounts: &'a str, controller: Option<&str>) -> Option<(&'a str, &'a str)> {
    mounts.lines().find_map(|line| {
        // id parent device root mountpoint options… - type source superoptions
        let (before, after) = line.split_once(" - ")?;
        let mut before = before.split(' ').skip(3);
        let (shown, mounted) = (before.next()?, before.next()?);
        let mut after = after.split(' ');
        let (kind, options) = (after.next()?, after.nth(1)?);
        let fits = match controller {
            None => kind == "cgroup2",
            Some(name) => kind == "cgroup" && options.split(',').any(|option| option == name),
        };
        fits.then_some((mounted, shown))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// A made-up host in a folder of its own.
    struct Host(PathBuf);

    impl Host {
        fn new(files: &[(&str, &str)]) -> Self {
            static COUNT: AtomicU32 = AtomicU32::new(0);
            let number = COUNT.fetch_add(1, Ordering::Relaxed);
            let name = format!("ringlane-machine-{}-{number}", std::process::id());
            let root = std::env::temp_dir().join(name);
            for (path, text) in files {
                let path = root.join(path);
                fs::create_dir_all(path.parent().expect("has a folder")).expect("made");
                fs::write(path, text).expect("written");
            }
            Self(root)
        }

        fn limits(&self) -> (Option<usize>, Option<u64>) {
            let groups = Groups::of(&self.0);
            (groups.cpu_quota(), groups.memory_limit())
        }
    }

    impl Drop for Host {
        fn drop(&mut self) {
            // A leftover folder in the temporary one harms no other test.
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    const UNIFIED: &str = "30 25 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";

    #[test]
    fn the_tightest_group_of_the_unified_hierarchy_counts() {
        let host = Host::new(&[
            ("proc/self/cgroup", "0::/shop/cache\n"),
            ("proc/self/mountinfo", UNIFIED),
            ("sys/fs/cgroup/shop/cpu.max", "350000 100000\n"),
            ("sys/fs/cgroup/shop/memory.max", "4294967296\n"),
            ("sys/fs/cgroup/shop/cache/cpu.max", "max 100000\n"),
            ("sys/fs/cgroup/shop/cache/memory.max", "max\n"),
        ]);
        assert_eq!(host.limits(), (Some(3), Some(4 << 30)));
    }

    #[test]
    fn less_than_a_cpu_still_gets_a_lane() {
        let host = Host::new(&[
            ("proc/self/cgroup", "0::/\n"),
            ("proc/self/mountinfo", UNIFIED),
            ("sys/fs/cgroup/cpu.max", "50000 100000\n"),
        ]);
        assert_eq!(host.limits(), (Some(1), None));
    }

    #[test]
    fn the_first_hierarchies_are_read_also_from_inside_a_container() {
        let mounts = "31 25 0:27 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n\
                      32 25 0:28 / /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
        let host = Host::new(&[
            ("proc/self/cgroup", "4:memory:/outer/inner\n3:cpu,cpuacct:/docker/abc\n0::/x\n"),
            ("proc/self/mountinfo", mounts),
            ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "200000\n"),
            ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/memory/outer/memory.limit_in_bytes", "1000000\n"),
            ("sys/fs/cgroup/memory/outer/inner/memory.limit_in_bytes", "2000000\n"),
        ]);
        assert_eq!(host.limits(), (Some(2), Some(1_000_000)));
    }

    #[test]
    fn a_host_without_groups_gives_what_it_has() {
        let host = Host::new(&[("proc/meminfo", "MemTotal:       2048 kB\nMemFree: 1 kB\n")]);
        assert_eq!(host.limits(), (None, None));
        let machine = probe(&host.0);
        assert_eq!(machine.memory_bytes, 2 << 20);
        assert_eq!(machine.cpus, machine.cores.len());
    }
}
