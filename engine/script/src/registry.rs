//! What all lanes know of scripts: their texts by SHA-1, and the libraries of functions. Written
//! rarely; a lane looks here only for what it has not compiled yet.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use sha1::{Digest, Sha1};

use crate::library::Library;

/// How many scripts that came by EVAL are kept, as in Redis 7.4; one more, and the one that was not
/// used for longest goes. Those of SCRIPT LOAD stay.
pub const EVALUATED_MAX: usize = 500;

/// A SHA-1 that is told in 40 small hexadecimal digits. Owns no memory.
#[derive(Default)]
pub struct Sha1Hex(Sha1);

impl Sha1Hex {
    pub fn add(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    pub fn finish(self) -> [u8; 40] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut hex = [0; 40];
        for (pair, byte) in hex.chunks_exact_mut(2).zip(self.0.finalize()) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        hex
    }
}

/// The SHA-1 of a text.
pub fn sha1_hex(text: &[u8]) -> [u8; 40] {
    let mut digest = Sha1Hex::default();
    digest.add(text);
    digest.finish()
}

/// A script that the server knows.
#[derive(Debug)]
pub struct Script {
    pub sha1: [u8; 40],
    pub text: Box<[u8]>,
    /// By SCRIPT LOAD: stays until SCRIPT FLUSH.
    loaded: AtomicBool,
    /// `Registry::age` when it was last used.
    used: AtomicU64,
    /// It is no longer known: what a lane compiled of it must go.
    gone: AtomicBool,
}

impl Script {
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }
}

/// The scripts and libraries of a server.
#[derive(Debug, Default)]
pub struct Registry {
    books: RwLock<Books>,
    /// Counts scripts that came. Between two arrivals, all uses are equally recent.
    age: AtomicU64,
    /// Counts scripts that went, so that lanes look which of theirs did.
    departures: AtomicU64,
    /// Changes with the libraries.
    libraries_version: AtomicU64,
    pub evicted: AtomicU64,
}

#[derive(Debug, Default)]
struct Books {
    scripts: HashMap<[u8; 40], Arc<Script>>,
    evaluated: usize,
    libraries: Vec<Arc<Library>>,
}

impl Registry {
    fn read(&self) -> RwLockReadGuard<'_, Books> {
        self.books.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Books> {
        self.books.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes whenever a script has gone.
    #[inline]
    pub fn departures(&self) -> u64 {
        self.departures.load(Ordering::Acquire)
    }

    /// How many libraries there are, and functions in them.
    pub fn library_counts(&self) -> (usize, usize) {
        let books = self.read();
        let functions = books.libraries.iter().map(|library| library.functions.len()).sum();
        (books.libraries.len(), functions)
    }

    /// A script was used. Writes to shared memory only when a script has come since the last time.
    #[inline]
    pub fn mark_used(&self, script: &Script) {
        let age = self.age.load(Ordering::Relaxed);
        if script.used.load(Ordering::Relaxed) != age {
            script.used.store(age, Ordering::Relaxed);
        }
    }

    /// The script with this SHA-1, in small letters.
    pub fn find(&self, sha1: &[u8; 40]) -> Option<Arc<Script>> {
        self.read().scripts.get(sha1).cloned()
    }

    /// Keeps a script: for good if it is `loaded`, else until others push it out.
    pub fn keep(&self, sha1: [u8; 40], text: &[u8], loaded: bool) -> Arc<Script> {
        let mut books = self.write();
        if let Some(known) = books.scripts.get(&sha1) {
            let known = Arc::clone(known);
            if loaded && !known.loaded.swap(true, Ordering::Relaxed) {
                books.evaluated -= 1;
            }
            return known;
        }
        let age = self.age.fetch_add(1, Ordering::Relaxed) + 1;
        let script = Arc::new(Script {
            sha1,
            text: text.into(),
            loaded: AtomicBool::new(loaded),
            used: AtomicU64::new(age),
            gone: AtomicBool::new(false),
        });
        if !loaded {
            books.evaluated += 1;
            if books.evaluated > EVALUATED_MAX {
                self.evict(&mut books);
            }
        }
        books.scripts.insert(sha1, Arc::clone(&script));
        script
    }

    fn evict(&self, books: &mut Books) {
        let oldest = books
            .scripts
            .values()
            .filter(|script| !script.loaded.load(Ordering::Relaxed))
            .min_by_key(|script| script.used.load(Ordering::Relaxed))
            .map(|script| script.sha1);
        if let Some(script) = oldest.and_then(|sha1| books.scripts.remove(&sha1)) {
            script.gone.store(true, Ordering::Release);
            books.evaluated -= 1;
            self.departures.fetch_add(1, Ordering::Release);
            self.evicted.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Forgets all scripts.
    pub fn flush_scripts(&self) {
        let mut books = self.write();
        for script in books.scripts.values() {
            script.gone.store(true, Ordering::Release);
        }
        books.scripts = HashMap::new();
        books.evaluated = 0;
        self.departures.fetch_add(1, Ordering::Release);
    }

    /// How many scripts there are, and the bytes of their texts.
    pub fn scripts(&self) -> (usize, usize) {
        let books = self.read();
        (books.scripts.len(), books.scripts.values().map(|script| script.text.len()).sum())
    }

    /// Changes whenever a library has come or gone.
    #[inline]
    pub fn libraries_version(&self) -> u64 {
        self.libraries_version.load(Ordering::Acquire)
    }

    /// All libraries, by name, and the version they are of.
    pub fn libraries(&self) -> (u64, Vec<Arc<Library>>) {
        let books = self.read();
        (self.libraries_version(), books.libraries.clone())
    }

    /// Changes the libraries: `change` sees all of them and leaves what shall be, or refuses, and
    /// then nothing has changed.
    pub fn change_libraries<E>(
        &self,
        change: impl FnOnce(&mut Vec<Arc<Library>>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut books = self.write();
        let mut libraries = books.libraries.clone();
        change(&mut libraries)?;
        libraries.sort_by(|a, b| a.name.cmp(&b.name));
        books.libraries = libraries;
        self.libraries_version.fetch_add(1, Ordering::Release);
        Ok(())
    }
}
