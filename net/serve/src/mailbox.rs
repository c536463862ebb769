//! The bounded queue between one lane and another, single producer and single consumer, and the
//! agreement by which a sleeping lane is woken. Knows nothing of what it carries.
//!
//! ```text
//! ring:  | . | . | x | x | x | . |      x: written, not read
//!                  ^head       ^tail    head: the consumer's, tail: the producer's
//! ```

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;

#[cfg(loom)]
use loom::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering, fence},
};
#[cfg(not(loom))]
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering, fence},
};

/// On cache lines of its own, so that two lanes do not pull one line to and fro.
#[repr(align(128))]
struct Padded<T>(T);

struct Shared<T> {
    /// How many have been read, ever.
    head: Padded<AtomicUsize>,
    /// How many have been written, ever.
    tail: Padded<AtomicUsize>,
    places: Box<[UnsafeCell<MaybeUninit<T>>]>,
}

// SAFETY: a place is written by the one sender before `tail` passes it (release) and read by the one
// receiver after it has seen that (acquire), and not written again before `head` has passed it.
unsafe impl<T: Send> Sync for Shared<T> {}
// SAFETY: it owns its values.
unsafe impl<T: Send> Send for Shared<T> {}

/// The writing end.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
    tail: usize,
    /// `head` as last seen.
    head: usize,
}

/// The reading end.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    head: usize,
    /// `tail` as last seen.
    tail: usize,
}

/// A queue of at most `capacity` values, a power of two.
pub fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(capacity.is_power_of_two(), "the places are found by masking");
    let shared = Arc::new(Shared {
        head: Padded(AtomicUsize::new(0)),
        tail: Padded(AtomicUsize::new(0)),
        places: (0..capacity).map(|_| UnsafeCell::new(MaybeUninit::uninit())).collect(),
    });
    let sender = Sender { shared: Arc::clone(&shared), tail: 0, head: 0 };
    (sender, Receiver { shared, head: 0, tail: 0 })
}

impl<T> Sender<T> {
    /// Adds a value, or gives it back if the queue is full.
    pub fn push(&mut self, value: T) -> Result<(), T> {
        let capacity = self.shared.places.len();
        if self.tail.wrapping_sub(self.head) == capacity {
            self.head = self.shared.head.0.load(Ordering::Acquire);
            if self.tail.wrapping_sub(self.head) == capacity {
                return Err(value);
            }
        }
        let place = self.shared.places[self.tail & (capacity - 1)].get();
        // SAFETY: the receiver has read this place (head has passed it) and will not look at it
        // before the store below; there is no other sender.
        unsafe { (*place).write(value) };
        self.tail = self.tail.wrapping_add(1);
        self.shared.tail.0.store(self.tail, Ordering::Release);
        Ok(())
    }
}

impl<T> Receiver<T> {
    /// Takes the oldest value.
    pub fn pop(&mut self) -> Option<T> {
        if self.head == self.tail {
            self.tail = self.shared.tail.0.load(Ordering::Acquire);
            if self.head == self.tail {
                return None;
            }
        }
        let capacity = self.shared.places.len();
        let place = self.shared.places[self.head & (capacity - 1)].get();
        // SAFETY: the sender has written this place (tail has passed it) and will not write it again
        // before the store below; there is no other receiver.
        let value = unsafe { (*place).assume_init_read() };
        self.head = self.head.wrapping_add(1);
        self.shared.head.0.store(self.head, Ordering::Release);
        Some(value)
    }

    /// Whether nothing is there now.
    pub fn is_empty(&self) -> bool {
        self.head == self.tail && self.shared.tail.0.load(Ordering::Acquire) == self.head
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        while self.pop().is_some() {}
    }
}

/// Whether a lane sleeps, and so must be woken. The sleeper says so first and then looks at its
/// mailboxes again; a sender posts first and then asks: one of the two always sees the other.
#[derive(Default)]
pub struct Doze {
    asleep: AtomicBool,
}

impl Doze {
    /// From now on senders wake this lane. Afterwards it must look at its mailboxes once more.
    pub fn prepare_sleep(&self) {
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// The lane does not sleep, or not any more.
    pub fn awake(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }

    /// After posting: whether the receiver must be woken. True for one sender alone.
    pub fn sender_should_wake(&self) -> bool {
        fence(Ordering::SeqCst);
        self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::AcqRel)
    }
}
