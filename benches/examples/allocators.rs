//! What an item of one size costs in each allocator and in the store: bytes, nanoseconds of CPU, and what
//! comes back when items go: `cargo run --release -p ringlane-benches --example allocators`.
//!
//! The program starts itself once for each allocator and size, so that no measurement inherits
//! another's memory. An item is what the store makes of a value: 8 bytes of header, 8 of key, the
//! value. The store's figures include its hash tables and the finding of the key.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::io::{Error, Result};
use std::process::Command;
use std::time::{Duration, Instant};

use mimalloc::MiMalloc;
use ringlane_base::{Database, Millis, Now};
use ringlane_benches::{NOW, cpu_time, set, store};
use ringlane_store::{Budget, Expiry, Removal, Store};
use tikv_jemallocator::Jemalloc;

/// As in the server: values of the store that are too large for its slab live here.
#[global_allocator]
static GLOBAL: Jemalloc = Jemalloc;

/// jemalloc's options in the server.
const JEMALLOC_OPTIONS: &str = "background_thread:true,dirty_decay_ms:500,muzzy_decay_ms:0";
const VALUE_SIZES: [usize; 8] = [16, 100, 300, 1000, 4000, 16_000, 100_000, 1_000_000];
const ALLOCATORS: [&str; 4] = ["store", "jemalloc", "mimalloc", "glibc"];
/// Bytes beside the value: header and key.
const FRAME_BYTES: usize = 16;
/// What all items of a run may take, and how many there are at most.
const RUN_BYTES: usize = 200_000_000;
const ITEMS_MAX: usize = 500_000;
/// Time that an allocator gets to give memory back.
const SETTLE: Duration = Duration::from_millis(1500);

/// Holds items by number.
trait Keeper {
    /// Makes the item anew; it is not there.
    fn put(&mut self, number: usize);
    /// Lets it go; it is there.
    fn drop_item(&mut self, number: usize);
    /// What a server does while nobody asks for anything.
    fn idle(&mut self);
}

/// Items as plain allocations.
struct Plain<A> {
    allocator: A,
    layout: Layout,
    items: Vec<*mut u8>,
}

impl<A: GlobalAlloc> Keeper for Plain<A> {
    fn put(&mut self, number: usize) {
        // SAFETY: the layout is not empty, and the item has that many bytes.
        unsafe {
            let item = self.allocator.alloc(self.layout);
            assert!(!item.is_null(), "the system has memory");
            item.write_bytes(number as u8, self.layout.size());
            self.items[number] = black_box(item);
        }
    }

    fn drop_item(&mut self, number: usize) {
        // SAFETY: `put` allocated it with this layout, and it is dropped once.
        unsafe { self.allocator.dealloc(self.items[number], self.layout) };
    }

    fn idle(&mut self) {
        // Some allocators look at the clock only when they are called.
        // SAFETY: allocated and freed with the same layout.
        unsafe {
            let item = black_box(self.allocator.alloc(self.layout));
            self.allocator.dealloc(item, self.layout);
        }
    }
}

/// Items as keys of a store.
struct Stored {
    store: Store,
    value: Vec<u8>,
    now: Millis,
}

impl Keeper for Stored {
    fn put(&mut self, number: usize) {
        set(&mut self.store, &number.to_le_bytes(), &self.value, Expiry::Never);
    }

    fn drop_item(&mut self, number: usize) {
        let bytes = number.to_le_bytes();
        let key = self.store.key(Database(0), &bytes);
        assert!(self.store.remove(&key, Removal::Deleted), "it is there");
    }

    fn idle(&mut self) {
        self.now = self.now.plus(10);
        self.store.begin_turn(Now::both(self.now));
        while self.store.work(Budget { units: 1000 }).more {}
    }
}

/// Bytes of this process that are in memory.
fn resident() -> Result<usize> {
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup")?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:"));
    let kilobytes = line.and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse().ok());
    let kilobytes: usize = kilobytes.ok_or_else(|| Error::other("no Rss in smaps_rollup"))?;
    Ok(kilobytes * 1024)
}

/// Idles until memory that will be given back has been.
fn settle(keeper: &mut dyn Keeper) {
    let end = Instant::now() + SETTLE;
    while Instant::now() < end {
        keeper.idle();
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn items(value_bytes: usize) -> usize {
    (RUN_BYTES / (value_bytes + FRAME_BYTES)).min(ITEMS_MAX)
}

/// One allocator, one size: prints a row.
fn measure(name: &str, value_bytes: usize) -> Result<()> {
    let count = items(value_bytes);
    let mut dice = fastrand::Rng::with_seed(1);
    let mut order: Vec<usize> = (0..count).collect();
    dice.shuffle(&mut order);
    let layout = Layout::from_size_align(FRAME_BYTES + value_bytes, 8).map_err(Error::other)?;
    // Written to, so that it is resident before the baseline is read.
    let items = vec![std::ptr::without_provenance_mut::<u8>(1); count];
    let mut keeper: Box<dyn Keeper> = match name {
        "jemalloc" => Box::new(Plain { allocator: Jemalloc, layout, items }),
        "mimalloc" => Box::new(Plain { allocator: MiMalloc, layout, items }),
        "glibc" => Box::new(Plain { allocator: System, layout, items }),
        "store" => Box::new(Stored { store: store(), value: vec![b'v'; value_bytes], now: NOW }),
        other => return Err(Error::other(format!("no allocator is called {other}"))),
    };
    let keeper = keeper.as_mut();
    let base = resident()?;
    let above = |resident: usize| resident.saturating_sub(base);

    let started = cpu_time();
    for number in 0..count {
        keeper.put(number);
    }
    let fill_ns = cpu_time().saturating_sub(started).as_nanos() / count as u128;
    let full = above(resident()?);

    let started = cpu_time();
    for &number in &order {
        keeper.drop_item(number);
        keeper.put(number);
    }
    let renew_ns = cpu_time().saturating_sub(started).as_nanos() / count as u128;

    let (kept, dropped) = order.split_at(count / 10);
    for &number in dropped {
        keeper.drop_item(number);
    }
    settle(keeper);
    let tenth = above(resident()?);
    for &number in kept {
        keeper.drop_item(number);
    }
    settle(keeper);
    let none = above(resident()?);

    let over = full as f64 / count as f64 - (8 + value_bytes) as f64;
    let part = |bytes: usize| bytes as f64 * 100.0 / full as f64;
    println!(
        "| {value_bytes} | {name} | {over:.1} | {fill_ns} | {renew_ns} | {:.0}% | {:.0}% |",
        part(tenth),
        part(none)
    );
    Ok(())
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, name, value_bytes] = arguments.as_slice() {
        return measure(name, value_bytes.parse().map_err(Error::other)?);
    }
    println!(
        "| value | in | over key and value, bytes | fill, ns of CPU | renew, ns of CPU | 1/10 left | 0 left |"
    );
    println!("|---|---|---|---|---|---|---|");
    for value_bytes in VALUE_SIZES {
        for name in ALLOCATORS {
            let status = Command::new(std::env::current_exe()?)
                .args([name, &value_bytes.to_string()])
                .env("_RJEM_MALLOC_CONF", JEMALLOC_OPTIONS)
                .status()?;
            if !status.success() {
                return Err(Error::other(format!("{name} with {value_bytes}: {status}")));
            }
        }
    }
    Ok(())
}
