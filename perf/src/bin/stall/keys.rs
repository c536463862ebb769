//! Millions of keys: loaded, expired at one instant, flushed.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};
use ringlane_perf::{
    cpu::{CpuMeter, resident_bytes},
    keyspace::{Shape, Values},
    latency::Latencies,
    protocol::{Protocol, push_bulk},
    signals,
};

use super::watch::{Seen, Watch};

const BATCH: u64 = 16;
/// How long to wait for keys to be gone and memory to be back.
const PATIENCE: Duration = Duration::from_secs(30);

/// The phases of one server.
pub struct Keys {
    shape: Shape,
    values: Values,
    /// Of the shape's keys, those that stay; all behind them expire.
    items: u64,
    meter: CpuMeter,
}

impl Keys {
    pub fn new(shape: Shape, items: u64, watch: &Watch<'_>) -> Result<Self> {
        Ok(Self { values: Values::new(&shape), shape, items, meter: watch.server.meter()? })
    }

    fn expiring(&self) -> u64 {
        self.shape.keys - self.items
    }

    pub fn run(&self, watch: &mut Watch<'_>) -> Result<()> {
        // How far ahead what is loaded in the second phase expires: loading takes about 3 µs a key.
        let load_time =
            Duration::from_micros(10) * u32::try_from(self.expiring())? + Duration::from_secs(5);
        watch.phase("load", |watch| self.load(watch, 0..self.items, None))?;
        let due = SystemTime::now() + load_time;
        watch.phase("load of what expires", |watch| {
            self.load(watch, self.items..self.shape.keys, Some(due))
        })?;
        if SystemTime::now() >= due {
            bail!("loading took longer than the lifetime of what was loaded");
        }
        let full = resident_bytes(watch.server.pid())?;
        std::thread::sleep(due.duration_since(SystemTime::now()).unwrap_or_default());
        watch.phase("expiry at once", |watch| self.wait_until_gone(watch, self.items, full))?;
        let full = resident_bytes(watch.server.pid())?;
        watch.phase("FLUSHALL", |watch| {
            watch.client.command("FLUSHALL")?;
            self.wait_until_gone(watch, 0, full)
        })
    }

    /// Sets these keys in batches of 16, each awaited.
    fn load(
        &self,
        watch: &mut Watch<'_>,
        numbers: std::ops::Range<u64>,
        due: Option<SystemTime>,
    ) -> Result<Seen> {
        let due_ms = match due {
            None => None,
            Some(due) => Some(due.duration_since(UNIX_EPOCH)?.as_millis().to_string()),
        };
        let mut cpu = Latencies::default();
        let (mut requests, mut key, mut next) = (Vec::new(), Vec::new(), numbers.start);
        while next < numbers.end {
            signals::check()?;
            requests.clear();
            let batch = next..numbers.end.min(next + BATCH);
            for number in batch.clone() {
                key.clear();
                self.shape.push_key(number, &mut key);
                self.push_set(&key, number, due_ms.as_deref(), &mut requests);
            }
            let before = self.meter.read()?;
            watch.client.send(&requests)?;
            for _ in batch.clone() {
                watch.client.read()?;
            }
            cpu.record(self.meter.read()?.saturating_sub(before));
            next = batch.end;
        }
        Ok(Seen { batch_cpu: Some(cpu.summary()), ..Seen::default() })
    }

    fn push_set(&self, key: &[u8], number: u64, due_ms: Option<&str>, out: &mut Vec<u8>) {
        let size = self.shape.value_size(number);
        let push_value = |out: &mut Vec<u8>| self.values.push(number, size, out);
        let start = out.len();
        Protocol::Resp2.push_set(key, 0, size, push_value, out);
        if let Some(due_ms) = due_ms {
            // `SET key value PXAT milliseconds`: two arguments more than what was just written.
            out[start + 1] = b'5';
            push_bulk(b"PXAT", out);
            push_bulk(due_ms.as_bytes(), out);
        }
    }

    /// Polls until at most `left` keys are counted and until 80% of the memory that they took is
    /// back. `full`: resident bytes before.
    fn wait_until_gone(&self, watch: &mut Watch<'_>, left: u64, full: u64) -> Result<Seen> {
        let (started, pid) = (Instant::now(), watch.server.pid());
        let gone_keys = if left == 0 { self.items } else { self.expiring() };
        let payload = gone_keys * (self.shape.key_bytes + self.shape.value_bytes.max) as u64;
        let (mut gone, mut back) = (None, None);
        while started.elapsed() < PATIENCE && (gone.is_none() || back.is_none()) {
            signals::check()?;
            let seconds = started.elapsed().as_secs_f64();
            let count =
                watch.client.command("DBSIZE")?.text().and_then(|text| text.parse::<u64>().ok());
            if gone.is_none() && count.is_some_and(|count| count <= left) {
                gone = Some(seconds);
            }
            if back.is_none() && resident_bytes(pid)? + payload / 5 * 4 <= full {
                back = Some(seconds);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(Seen { gone_seconds: gone, memory_back_seconds: back, ..Seen::default() })
    }
}
