//! How one lane hands messages to another: a bounded queue with one sender and one receiver, and the
//! mark by which a sender learns that the receiver sleeps. Never blocks, never wakes anyone itself.
//! Imports nothing, so that `loom/` can build this file alone and try every interleaving.
//!
//! ```text
//! slots:  [ . . a b c . . . ]     indices only grow; slot = index & mask
//!               ^head ^tail       head: next to take (receiver writes), tail: next free (sender writes)
//! ```
//! Either side keeps the other's index as it last saw it, and looks again only when the queue seems
//! full or empty: as long as there is room the two touch each other's cache line once a batch.
//! (The technique: `MCRingBuffer`; Lee, Bu and Chandranmenon, IPDPS 2010.)

#[cfg(loom)]
use loom::{
    cell::UnsafeCell,
    sync::Arc,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence},
};
#[cfg(not(loom))]
use std::{
    sync::Arc,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence},
};

use std::mem::MaybeUninit;

/// loom's cell, on top of the real one.
#[cfg(not(loom))]
struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

#[cfg(not(loom))]
impl<T> UnsafeCell<T> {
    fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    #[inline]
    fn with<R>(&self, access: impl FnOnce(*const T) -> R) -> R {
        access(self.0.get())
    }

    #[inline]
    fn with_mut<R>(&self, access: impl FnOnce(*mut T) -> R) -> R {
        access(self.0.get())
    }
}

/// Alone in two cache lines: x86 fetches lines in pairs.
#[repr(align(128))]
struct Padded<T>(T);

struct Shared<T> {
    /// Written by the receiver alone.
    head: Padded<AtomicUsize>,
    /// Written by the sender alone.
    tail: Padded<AtomicUsize>,
    slots: Box<[UnsafeCell<MaybeUninit<T>>]>,
}

// SAFETY: a slot is touched by one side at a time: the sender writes slot `tail` before it publishes
// `tail + 1`, the receiver reads slots below the `tail` it has seen and gives them back by publishing
// `head`; `Sender` and `Receiver` are not `Clone` and need `&mut self`. So `T` only has to be sent.
unsafe impl<T: Send> Sync for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for Shared<T> {}

impl<T> Shared<T> {
    fn slot(&self, index: usize) -> &UnsafeCell<MaybeUninit<T>> {
        // The length is a power of two.
        &self.slots[index & (self.slots.len() - 1)]
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        // Both sides are gone: what lies there will not be taken.
        let tail = self.tail.0.load(Ordering::Relaxed);
        let mut head = self.head.0.load(Ordering::Relaxed);
        while head != tail {
            // SAFETY: slots from head to tail hold messages, and nobody else is left.
            self.slot(head).with_mut(|slot| unsafe { (*slot).assume_init_drop() });
            head = head.wrapping_add(1);
        }
    }
}

/// The side that pushes; on the sending lane.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
    tail: usize,
    /// `head` as last seen: never more than the truth.
    head_seen: usize,
}

/// The side that pops; on the receiving lane.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    head: usize,
    /// `tail` as last seen: never more than the truth.
    tail_seen: usize,
}

/// An empty mailbox for at most `capacity` messages, which must be a power of two.
pub fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(capacity.is_power_of_two(), "a mailbox's capacity is a power of two");
    let shared = Arc::new(Shared {
        head: Padded(AtomicUsize::new(0)),
        tail: Padded(AtomicUsize::new(0)),
        slots: (0..capacity).map(|_| UnsafeCell::new(MaybeUninit::uninit())).collect(),
    });
    let sender = Sender { shared: Arc::clone(&shared), tail: 0, head_seen: 0 };
    (sender, Receiver { shared, head: 0, tail_seen: 0 })
}

impl<T> Sender<T> {
    /// Appends a message; gives it back when the mailbox is full. After the last message of a batch
    /// the sender asks the receiver's `Doze` whether to wake it.
    #[inline]
    pub fn push(&mut self, message: T) -> Result<(), T> {
        if self.tail.wrapping_sub(self.head_seen) == self.shared.slots.len() {
            // Acquire: the receiver is done with the slots it gives back.
            self.head_seen = self.shared.head.0.load(Ordering::Acquire);
            if self.tail.wrapping_sub(self.head_seen) == self.shared.slots.len() {
                return Err(message);
            }
        }
        // SAFETY: head <= tail < head + capacity: the slot is free, and the receiver does not touch
        // it before it sees the new tail.
        self.shared.slot(self.tail).with_mut(|slot| unsafe { (*slot).write(message) });
        self.tail = self.tail.wrapping_add(1);
        // Release: the message is there for whoever sees the new tail.
        self.shared.tail.0.store(self.tail, Ordering::Release);
        Ok(())
    }
}

impl<T> Receiver<T> {
    /// Takes the oldest message.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        if self.head == self.tail_seen {
            // Acquire: the messages below this tail are there.
            self.tail_seen = self.shared.tail.0.load(Ordering::Acquire);
            if self.head == self.tail_seen {
                return None;
            }
        }
        // SAFETY: head < tail: the slot holds a message, whose writing has been seen (Acquire), and
        // it is read once, since head moves on.
        let message =
            self.shared.slot(self.head).with(|slot| unsafe { (*slot).assume_init_read() });
        self.head = self.head.wrapping_add(1);
        // Release: the slot has been read before the sender may write it again.
        self.shared.head.0.store(self.head, Ordering::Release);
        Some(message)
    }

    /// Whether no message is there now.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.head == self.tail_seen && self.shared.tail.0.load(Ordering::Acquire) == self.head
    }
}

/// Whether a lane sleeps, or is about to: one per lane, shared by all who send to it.
///
/// The receiver calls `prepare_sleep`, looks at its mailboxes once more, and blocks only if all are
/// empty; the sender pushes, then asks `sender_should_wake`. Each writes, fences, and reads what
/// the other wrote, so at least one of them sees the other's write: either the receiver finds the
/// message, or the sender finds it asleep. (Dekker's pattern; two `SeqCst` fences forbid that both
/// read the old values: the C++20 standard, section "atomics.order".)
pub struct Doze {
    asleep: Padded<AtomicBool>,
}

impl Default for Doze {
    fn default() -> Self {
        Self::new()
    }
}

impl Doze {
    pub fn new() -> Self {
        Self { asleep: Padded(AtomicBool::new(false)) }
    }

    /// Before the receiver looks at its mailboxes for the last time and blocks.
    #[inline]
    pub fn prepare_sleep(&self) {
        // A store would do: a sender's swap that read an older value comes before it. loom does not
        // know that (its swaps are atomic towards swaps alone), and here nothing is in a hurry.
        self.asleep.0.swap(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// When the receiver runs again, whatever woke it, or has found mail and does not block.
    /// A sender may have decided to wake it meanwhile: a wake-up more than needed can arrive.
    #[inline]
    pub fn awake(&self) {
        self.asleep.0.store(false, Ordering::Relaxed);
    }

    /// After a push, or a batch of them: whether this sender is the one that must wake the receiver.
    #[inline]
    pub fn sender_should_wake(&self) -> bool {
        fence(Ordering::SeqCst);
        // Nearly always it is awake; a plain load leaves its cache line shared.
        self.asleep.0.load(Ordering::Relaxed) && self.asleep.0.swap(false, Ordering::Relaxed)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn messages_keep_their_order_and_the_bound_holds() {
        let (mut sender, mut receiver) = channel(4);
        // Several times around, with every fill from 0 to 4.
        let (mut pushed, mut popped) = (0, 0);
        for round in 0..50 {
            for _ in 0..round % 5 {
                assert_eq!(sender.push(pushed), Ok(()));
                pushed += 1;
            }
            if round % 5 == 4 {
                assert_eq!(sender.push(999), Err(999));
            }
            while let Some(message) = receiver.pop() {
                assert_eq!(message, popped);
                popped += 1;
            }
            assert!(receiver.is_empty());
        }
        assert_eq!(pushed, popped);
    }

    #[test]
    fn a_mailbox_of_one() {
        let (mut sender, mut receiver) = channel(1);
        assert!(receiver.is_empty());
        assert_eq!(sender.push('a'), Ok(()));
        assert_eq!(sender.push('b'), Err('b'));
        assert!(!receiver.is_empty());
        assert_eq!(receiver.pop(), Some('a'));
        assert_eq!(receiver.pop(), None);
    }

    #[test]
    fn indices_may_wrap() {
        let (mut sender, mut receiver) = channel(2);
        let start = usize::MAX - 1;
        (sender.tail, sender.head_seen) = (start, start);
        (receiver.head, receiver.tail_seen) = (start, start);
        sender.shared.head.0.store(start, Ordering::Relaxed);
        sender.shared.tail.0.store(start, Ordering::Relaxed);
        for number in 0..5 {
            assert_eq!(sender.push(number), Ok(()));
            assert_eq!(sender.push(number + 100), Ok(()));
            assert_eq!(sender.push(0), Err(0));
            assert_eq!(receiver.pop(), Some(number));
            assert_eq!(receiver.pop(), Some(number + 100));
        }
        assert_eq!(sender.push(7), Ok(()));
    }

    #[test]
    fn what_was_never_taken_is_dropped_once() {
        let counted = Arc::new(());
        let (mut sender, mut receiver) = channel(8);
        for _ in 0..6 {
            assert!(sender.push(Arc::clone(&counted)).is_ok());
        }
        drop(receiver.pop());
        assert_eq!(Arc::strong_count(&counted), 6);
        drop(sender);
        assert_eq!(Arc::strong_count(&counted), 6);
        drop(receiver);
        assert_eq!(Arc::strong_count(&counted), 1);
    }

    #[test]
    fn a_doze_asks_one_sender_once() {
        let doze = Doze::new();
        assert!(!doze.sender_should_wake());
        doze.prepare_sleep();
        assert!(doze.sender_should_wake());
        assert!(!doze.sender_should_wake());
        doze.prepare_sleep();
        doze.awake();
        assert!(!doze.sender_should_wake());
    }

    /// Two senders and a receiver that sleeps whenever it finds nothing, as lanes do; the channel of
    /// one place stands for the eventfd.
    #[test]
    fn a_long_run_loses_neither_message_nor_wake_up() {
        const MESSAGES: usize = 300_000;
        // Long beyond any scheduler's whim; passes only when a wake-up is lost, instead of hanging.
        const LOST: Duration = Duration::from_mins(2);
        let doze = Arc::new(Doze::new());
        let (bell, ring) = mpsc::sync_channel::<()>(1);
        let mut receivers = Vec::new();
        let mut threads = Vec::new();
        for _ in 0..2 {
            let (mut sender, receiver) = channel(8);
            receivers.push((receiver, 0));
            let (doze, bell) = (Arc::clone(&doze), bell.clone());
            threads.push(std::thread::spawn(move || {
                for number in 0..MESSAGES {
                    // Boxed, so that a sanitizer sees a message lost or taken twice.
                    let mut message = Box::new(number);
                    while let Err(refused) = sender.push(message) {
                        message = refused;
                        std::thread::yield_now();
                    }
                    if doze.sender_should_wake() {
                        // Full: it rings already.
                        let _ = bell.try_send(());
                    }
                }
            }));
        }
        while receivers.iter().any(|(_, taken)| *taken < MESSAGES) {
            for (receiver, taken) in &mut receivers {
                while let Some(message) = receiver.pop() {
                    assert_eq!(*message, *taken);
                    *taken += 1;
                }
            }
            if receivers.iter().all(|(_, taken)| *taken == MESSAGES) {
                break;
            }
            doze.prepare_sleep();
            if receivers.iter().all(|(receiver, _)| receiver.is_empty()) {
                ring.recv_timeout(LOST).expect("a wake-up was lost");
            }
            doze.awake();
        }
        for thread in threads {
            thread.join().expect("a sender panicked");
        }
    }
}

/// Every interleaving and every reordering that the memory model allows, up to loom's bounds.
#[cfg(all(test, loom))]
mod loom_tests {
    use loom::sync::{Condvar, Mutex};
    use loom::thread;

    use super::*;

    /// Stands for the eventfd: a ring is kept until someone waits.
    struct Bell {
        rung: Mutex<bool>,
        changed: Condvar,
    }

    impl Bell {
        fn ring(&self) {
            *self.rung.lock().unwrap() = true;
            self.changed.notify_one();
        }

        fn wait(&self) {
            let mut rung = self.rung.lock().unwrap();
            while !*rung {
                rung = self.changed.wait(rung).unwrap();
            }
            *rung = false;
        }
    }

    #[test]
    fn no_message_is_lost_or_torn() {
        loom::model(|| {
            let (mut sender, mut receiver) = channel(2);
            let thread = thread::spawn(move || {
                for number in 0..3 {
                    let mut message = Box::new(number);
                    while let Err(refused) = sender.push(message) {
                        message = refused;
                        thread::yield_now();
                    }
                }
            });
            for expected in 0..3 {
                let message = loop {
                    match receiver.pop() {
                        Some(message) => break message,
                        None => thread::yield_now(),
                    }
                };
                assert_eq!(*message, expected);
            }
            thread.join().unwrap();
            assert!(receiver.is_empty());
        });
    }

    #[test]
    fn what_is_left_is_dropped() {
        loom::model(|| {
            let (mut sender, mut receiver) = channel(2);
            let counted = Arc::new(());
            let inside = Arc::clone(&counted);
            let thread = thread::spawn(move || {
                assert!(sender.push(Arc::clone(&inside)).is_ok());
                assert!(sender.push(inside).is_ok());
            });
            drop(receiver.pop());
            drop(receiver);
            thread.join().unwrap();
            assert_eq!(Arc::strong_count(&counted), 1);
        });
    }

    /// The receiver blocks as a lane does. If a wake-up could be lost, loom would report a deadlock.
    fn sleeps_and_is_woken(senders: usize, messages: usize) {
        let doze = Arc::new(Doze::new());
        let bell = Arc::new(Bell { rung: Mutex::new(false), changed: Condvar::new() });
        let mut receivers = Vec::new();
        let mut threads = Vec::new();
        for _ in 0..senders {
            let (mut sender, receiver) = channel(2);
            receivers.push(receiver);
            let (doze, bell) = (Arc::clone(&doze), Arc::clone(&bell));
            threads.push(thread::spawn(move || {
                for number in 0..messages {
                    assert_eq!(sender.push(number), Ok(()));
                    if doze.sender_should_wake() {
                        bell.ring();
                    }
                }
            }));
        }
        let mut taken = 0;
        loop {
            for receiver in &mut receivers {
                while receiver.pop().is_some() {
                    taken += 1;
                }
            }
            if taken == senders * messages {
                break;
            }
            doze.prepare_sleep();
            if receivers.iter().all(Receiver::is_empty) {
                bell.wait();
            }
            doze.awake();
        }
        for thread in threads {
            thread.join().unwrap();
        }
    }

    #[test]
    fn no_wake_up_is_lost_with_one_sender() {
        loom::model(|| sleeps_and_is_woken(1, 2));
    }

    #[test]
    fn no_wake_up_is_lost_with_two_senders() {
        // Three threads: all interleavings with up to three preemptions.
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| sleeps_and_is_woken(2, 1));
    }
}
