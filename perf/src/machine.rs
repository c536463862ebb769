//! The machine a figure was measured on, and the envelope of every saved result.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// Where figures come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    pub cpu: String,
    pub cores: usize,
    pub memory_gib: u64,
    pub kernel: String,
}

impl Machine {
    /// Reads what `/proc` says; what it does not say is "unknown".
    pub fn here() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name))?;
            line.split_once(':').map(|(_, value)| value.trim().to_owned())
        };
        let memory_kib = field(&read("/proc/meminfo"), "MemTotal")
            .and_then(|text| text.split(' ').next()?.parse::<u64>().ok())
            .unwrap_or(0);
        Self {
            cpu: field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown".into()),
            cores: crate::cpu::allowed_cores().map_or(0, |cores| cores.len()),
            memory_gib: (memory_kib + (1 << 19)) >> 20,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        }
    }

    /// One line for people.
    pub fn line(&self) -> String {
        let Self { cpu, cores, memory_gib, kernel } = self;
        format!("{cpu}, {cores} cores, {memory_gib} GiB, Linux {kernel}")
    }
}

/// A saved result of one tool.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Saved {
    /// Name of the tool, as `compare`; behind a hyphen what it measured if it measures several things.
    pub tool: String,
    /// The command line that produced it.
    pub command: String,
    /// UTC, to the second.
    pub when: String,
    pub machine: Machine,
    /// A table for people, in Markdown, with what must be said beside it.
    pub markdown: String,
    /// The figures.
    pub results: serde_json::Value,
}

impl Saved {
    /// Wraps the results of this process, which is `perf/TOOL`.
    pub fn new(tool: &str, markdown: String, results: &impl Serialize) -> Result<Self> {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let script = tool.split('-').next().unwrap_or(tool);
        Ok(Self {
            tool: tool.to_owned(),
            command: format!("perf/{script} {}", arguments.join(" ")).trim_end().to_owned(),
            when: utc_now(),
            machine: Machine::here(),
            markdown,
            results: serde_json::to_value(results).context("results as JSON")?,
        })
    }

    pub fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).context("results as JSON")?;
        fs::write(path, text + "\n").with_context(|| format!("writing {}", path.display()))
    }
}

/// `2026-01-31 12:00:00 UTC`.
fn utc_now() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    utc(now.map_or(0, |since| since.as_secs()))
}

/// Civil date of a Unix time. Source: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms".
fn utc(unix: u64) -> String {
    let (days, second) = (unix / 86_400, unix % 86_400);
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_shifted + 2) / 5 + 1;
    let month = if month_shifted < 10 { month_shifted + 3 } else { month_shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!(
        "{year}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_civil() {
        for (unix, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_700_000_000, "2023-11-14 22:13:20 UTC"),
        ] {
            assert_eq!(utc(unix), text);
        }
    }

    #[test]
    fn this_machine_has_cores_and_a_kernel() {
        let machine = Machine::here();
        assert!(machine.cores > 0 && !machine.kernel.is_empty(), "{machine:?}");
    }
}
