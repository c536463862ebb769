//! RESTORE: whatever the payload, it is refused, or makes a value that DUMP writes and RESTORE reads
//! back as the same. The checksum is put right first, so that it hides nothing.
#![no_main]

use std::cell::RefCell;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use ringlane_base::{Database, HashSeed, Millis, Now};
use ringlane_command::{Args, CommandError, Context, HandlerLimits, Reply, Waiting, dump};
use ringlane_store::{Budget, Options, Removal, Store};

/// Keeps the last string of bytes that was answered.
#[derive(Default)]
struct Last(Vec<u8>);

impl Reply for Last {
    fn simple(&mut self, _: &'static str) {}
    fn error(&mut self, _: &CommandError) {}
    fn integer(&mut self, _: i64) {}
    fn bulk(&mut self, bytes: &[u8]) {
        self.0 = bytes.to_vec();
    }
    fn blob(&mut self, blob: &Bytes) {
        self.0 = blob.to_vec();
    }
    fn null(&mut self) {}
    fn null_array(&mut self) {}
    fn array(&mut self, _: usize) {}
    fn map(&mut self, _: usize) {}
    fn set(&mut self, _: usize) {}
    fn double(&mut self, _: f64) {}
    fn boolean(&mut self, _: bool) {}
    fn verbatim(&mut self, _: &str) {}
    fn status(&mut self, _: &[u8]) {}
    fn big_number(&mut self, _: &[u8]) {}
    fn verbatim_as(&mut self, _: [u8; 3], _: &[u8]) {}
}

fn run(
    store: &mut Store,
    handler: ringlane_command::Handler,
    args: &[&[u8]],
) -> Result<Vec<u8>, CommandError> {
    let mut reply = Last::default();
    handler(&mut Context {
        store,
        args: Args::new(args, &[]),
        routed: None,
        database: Database(0),
        limits: HandlerLimits::default(),
        waiting: Waiting::Never,
        scripts: None,
        lookups: None,
        reply: &mut reply,
    })?;
    Ok(reply.0)
}

thread_local! {
    /// One for all inputs, empty before each: to make one takes longer than an input does.
    static STORE: RefCell<Store> = RefCell::new(Store::new(Options {
        hash_seed: HashSeed(1),
        random_seed: 1,
        databases: 1,
        slots: 0..16384,
    }));
}

fuzz_target!(|data: &[u8]| STORE.with_borrow_mut(|store| {
    store.begin_turn(Now::both(Millis(1)));
    there_and_back(store, data);
    for name in [b"k", b"l"] {
        let key = store.key(Database(0), name);
        store.remove(&key, Removal::Deleted);
    }
    while store.work(Budget { units: 1000 }).more {}
    assert_eq!(store.len(Database(0)), 0);
}));

fn there_and_back(store: &mut Store, data: &[u8]) {
    let payload = dump::with_footer(data, 10);
    if run(store, dump::restore, &[b"RESTORE", b"k", b"0", &payload]).is_err() {
        return;
    }
    let first = run(store, dump::dump, &[b"DUMP", b"k"]).expect("what was restored is dumped");
    if first.is_empty() {
        return; // Every field was due.
    }
    run(store, dump::restore, &[b"RESTORE", b"l", b"0", &first]).expect("our own payload");
    let again = run(store, dump::dump, &[b"DUMP", b"l"]).expect("it is there");
    assert_eq!(first.len(), again.len());
}
