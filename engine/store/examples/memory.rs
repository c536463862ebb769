//! Resident bytes per item beyond key and value: `cargo run --release -p ringlane-store --example
//! memory [items]`. Keys of 16 bytes; values of 8, 32, 100 and 512; without and with an expiry.

use ringlane_base::{Database, Due, HashSeed, Millis, Now};
use ringlane_store::{Expiry, NewValue, Options, Store};

const KEY_BYTES: usize = 16;

/// Resident memory of this process in bytes. Source: proc(5), `/proc/self/statm`.
fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux has it");
    let pages = statm.split(' ').nth(1).and_then(|text| text.parse::<usize>().ok());
    pages.expect("the second field is a number") * 4096
}

fn measure(items: usize, value_bytes: usize, expiry: bool) {
    let before = resident_bytes();
    let mut store = Store::new(Options {
        hash_seed: HashSeed(1),
        random_seed: 1,
        databases: 16,
        slots: 0..16384,
    });
    let now = 1_700_000_000_000;
    store.begin_turn(Now::both(Millis(now)));
    let mut value = vec![b'v'; value_bytes];
    for item in 0..items {
        let bytes = format!("key:{item:012}");
        assert_eq!(bytes.len(), KEY_BYTES);
        let key = store.key(Database(0), bytes.as_bytes());
        let at = Expiry::At(Due::at(Millis(now + 3_600_000 + item as u64)));
        let expiry = if expiry { at } else { Expiry::Never };
        let tag = item.to_le_bytes();
        value[..8].copy_from_slice(&tag);
        value[7] = b'v';
        store.set(&key, NewValue::Text(&value), expiry).expect("there is no limit");
    }
    let resident = resident_bytes() - before;
    let beyond = resident as f64 / items as f64 - (KEY_BYTES + value_bytes) as f64;
    println!(
        "{value_bytes:4} bytes{}: {beyond:6.2} beyond key and value; {:?}",
        if expiry { " + expiry" } else { "         " },
        store.memory(),
    );
}

fn main() {
    let items = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(5_000_000);
    for value_bytes in [8, 32, 100, 512] {
        measure(items, value_bytes, false);
    }
    for value_bytes in [8, 32, 100, 512] {
        measure(items, value_bytes, true);
    }
}
