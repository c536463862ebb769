//! Commands of very many keys (`MGET`, `DEL`, `MSET`, … of thousands): their keys are run some
//! hundred a slice, and other connections are served between the slices. What reads or removes is
//! not one snapshot then; what overwrites pairs stays atomic: it holds the slots of all its keys from
//! its first slice to its last. Knows commands by their rows alone.

use std::collections::VecDeque;

use bytes::Bytes;
use ringlane_base::{LaneId, Slot};
use ringlane_command::{Access, Args, CommandError, CommandSpec, Keys, Merge, RoutedKey};
use ringlane_resp::Arg;
use ringlane_store::KEY_BYTES_MAX;

use crate::admin::slowlog::FIRST_ARGS;
use crate::clock;
use crate::core::Core;
use crate::gather::header_number;
use crate::locks::{SlotSet, WIDE_SLOTS_MIN};
use crate::parcel::{Holder, LockRequest, Mail, Parcel, Release, Request, ReturnTo};
use crate::refusals::CROSS_SLOT;
use crate::reply::RespReply;
use crate::reply_buffer::{ReplyBuffer, Stretch};
use crate::ring::ConnectionId;
use crate::run::Manner;
use crate::session::Door;
use crate::taking::{Answer, Next, Taking};
use crate::under_way::UnderWay;

/// A command of more keys than this runs in slices.
pub const KEYS_AT_ONCE_MAX: usize = 256;
/// Keys of the first slice; later ones are as many as take about `SLICE_US`.
const SLICE_KEYS_FIRST: usize = 64;
const SLICE_KEYS_MIN: usize = 8;
const SLICE_KEYS_MAX: usize = 512;
/// What a slice should take on this lane, in microseconds.
const SLICE_US: u64 = 100;
/// Bytes of arguments in one slice, one key's excepted.
const SLICE_BYTES_MAX: usize = 256 << 10;
/// Keys whose slots are found in one slice.
const SURVEY_KEYS: usize = 2048;
/// Slots that are freed in one slice.
const RELEASE_SLOTS: usize = 1024;

/// A command whose bytes are its own.
#[derive(Default)]
pub struct OwnedCommand {
    pub input: Vec<u8>,
    /// Where in `input` the parsed command begins.
    pub start: usize,
    pub args: Vec<Arg>,
    pub blobs: Vec<Bytes>,
}

impl OwnedCommand {
    fn copy_of(args: Args<'_>) -> Self {
        let mut command = Self::default();
        for arg in args.from(0) {
            let start = command.input.len() as u32;
            command.input.extend_from_slice(arg);
            command.args.push(Arg::Range { start, end: command.input.len() as u32 });
        }
        command
    }

    #[inline]
    fn arg(&self, index: usize) -> &[u8] {
        self.args[index].resolve(&self.input[self.start..], &self.blobs)
    }
}

/// How far a long command has come.
enum Stage {
    /// The slots of its keys are being found.
    Survey(Box<SlotSet>),
    /// Lane after lane is asked for the slots.
    Locking,
    /// Its keys are run.
    Running,
    /// Its slots are freed: of which lane, and from which on.
    Releasing(usize, usize),
}

/// One command of very many keys, under way.
struct Long {
    connection: ConnectionId,
    sequence: u32,
    spec: &'static CommandSpec,
    manner: Manner,
    door: Door,
    command: OwnedCommand,
    stage: Stage,
    /// The key that is next, counted from 0.
    next: usize,
    slice_keys: usize,
    /// The slots it holds, ascending by lane.
    groups: Vec<(LaneId, Vec<Slot>)>,
    taking: Taking,
    /// The slice with the lanes: what has come back, and how many parts have not.
    parts: ReplyBuffer,
    stretches: Vec<Option<Stretch>>,
    remaining: usize,
    reply: ReplyBuffer,
    sum: i64,
    /// Ticks spent on it by this lane.
    ticks: u64,
}

impl Long {
    /// Arguments that each key takes: itself, or itself and its value.
    fn step(&self) -> usize {
        if self.spec.overwrites_pairs() { 2 } else { 1 }
    }

    fn keys(&self) -> usize {
        (self.command.args.len() - 1) / self.step()
    }

    fn key(&self, number: usize) -> &[u8] {
        self.command.arg(1 + number * self.step())
    }

    /// The keys of the next slice, by number.
    fn slice(&self) -> std::ops::Range<usize> {
        let (step, mut bytes, mut end) = (self.step(), 0, self.next);
        while end < self.keys() && end - self.next < self.slice_keys && bytes < SLICE_BYTES_MAX {
            let first = 1 + end * step;
            bytes += (first..first + step).map(|at| self.command.arg(at).len()).sum::<usize>();
            end += 1;
        }
        self.next..end
    }

    /// The slots to hold, by lane.
    fn group(&mut self, set: &SlotSet, lane_of: impl Fn(Slot) -> LaneId) {
        for slot in set.iter() {
            let lane = lane_of(slot);
            match self.groups.last_mut() {
                Some((last, slots)) if *last == lane => slots.push(slot),
                Some(_) | None => self.groups.push((lane, vec![slot])),
            }
        }
    }

    /// Takes the answers of a slice, in the order of its keys. False: one was an error, which is now
    /// the reply.
    fn take_parts(&mut self) -> bool {
        let stretches = std::mem::take(&mut self.stretches);
        let parts = std::mem::take(&mut self.parts);
        for stretch in &stretches {
            let stretch = stretch.expect("all parts are answered");
            let is_error = parts.plain(stretch).first() == Some(&b'-');
            if self.spec.merge == Merge::Ordered {
                self.reply.append(&parts, stretch);
                continue;
            }
            self.reply.clear();
            self.reply.append(&parts, stretch);
            if is_error {
                return false;
            }
            if self.spec.merge == Merge::Sum {
                self.sum += header_number(parts.plain(stretch)).0;
            }
        }
        self.parts = parts;
        self.parts.clear();
        self.stretches = stretches;
        self.stretches.clear();
        true
    }
}

/// A long command that has just begun; its bytes are still those of its batch.
#[derive(Clone, Copy)]
pub struct Begun {
    connection: ConnectionId,
    sequence: u32,
    spec: &'static CommandSpec,
    manner: Manner,
}

/// The long commands of a lane.
#[derive(Default)]
pub struct Longs {
    under_way: UnderWay<Box<Long>>,
    /// Those that can go on.
    due: VecDeque<u32>,
    /// What the command that is being executed has begun.
    begun: Option<Begun>,
    /// What commands of the batch that is being executed have begun, with their place in it.
    pub of_batch: Vec<(usize, Begun)>,
}

impl Longs {
    pub fn is_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// How many are under way.
    pub fn len(&self) -> usize {
        self.under_way.len()
    }

    /// Keeps what the command at `index` of the batch has begun, if it has, for `Core::settle`.
    #[inline]
    pub fn note_begun(&mut self, index: usize) {
        if let Some(begun) = self.begun.take() {
            self.of_batch.push((index, begun));
        }
    }
}

/// Whether a command of so many arguments runs in slices.
pub fn is_long(spec: &CommandSpec, arguments: usize) -> bool {
    let step = match (spec.keys, spec.merge) {
        (Keys::All, Merge::Ordered | Merge::Sum) => 1,
        (Keys::Pairs, _) if spec.overwrites_pairs() => 2,
        _ => return false,
    };
    arguments > KEYS_AT_ONCE_MAX * step + 1
}

impl Core {
    /// Begins a command of very many keys: its connection waits.
    #[cold]
    pub fn begin_long(&mut self, id: ConnectionId, spec: &'static CommandSpec, manner: Manner) {
        let connection = self.connections.get(id).expect("looked up by the caller");
        connection.barrier = true;
        let sequence = connection.reserve_place();
        self.longs.begun = Some(Begun { connection: id, sequence, spec, manner });
    }

    /// Gives the command that has just begun, if one has, bytes of its own, copied from `args`.
    pub fn own_begun_long(&mut self, args: Args<'_>) {
        if let Some(begun) = self.longs.begun.take() {
            self.start_long(begun, OwnedCommand::copy_of(args));
        }
    }

    /// A long command has its bytes; its first slice is due.
    pub fn start_long(&mut self, begun: Begun, command: OwnedCommand) {
        let Begun { connection, sequence, spec, manner } = begun;
        let session = self.connections.get(connection).map(|it| it.session.door);
        let door = session.unwrap_or(Door::Front);
        let survey = door == Door::Lane || spec.overwrites_pairs();
        let mut long = Box::new(Long {
            connection,
            sequence,
            spec,
            manner,
            door,
            command,
            stage: if survey { Stage::Survey(Box::<SlotSet>::default()) } else { Stage::Running },
            next: 0,
            slice_keys: SLICE_KEYS_FIRST,
            groups: Vec::new(),
            taking: Taking::new(0, false),
            parts: ReplyBuffer::default(),
            stretches: Vec::new(),
            remaining: 0,
            reply: ReplyBuffer::default(),
            sum: 0,
            ticks: 0,
        });
        if spec.merge == Merge::Ordered {
            let keys = long.keys();
            RespReply::new(&mut long.reply, manner.version).array_header(keys);
        }
        let index = self.longs.under_way.insert(long);
        self.longs.due.push_back(index);
    }

    /// One slice of the long command whose turn it is.
    pub fn work_on_longs(&mut self) {
        let Some(index) = self.longs.due.pop_front() else { return };
        let begun = clock::ticks();
        let mut long = self.longs.under_way.take(index);
        self.stats.long_slices += 1;
        let reads = long.spec.access == Access::Read;
        if reads && !self.is_open(long.connection) {
            // Nobody is left to read it.
            return self.end_long(index, long);
        }
        match std::mem::replace(&mut long.stage, Stage::Running) {
            Stage::Survey(set) => return self.survey(index, long, set),
            Stage::Locking => unreachable!("it waits for grants"),
            Stage::Running => {}
            Stage::Releasing(group, from) => return self.release_some(index, long, group, from),
        }
        let slice = long.slice();
        long.next = slice.end;
        if long.spec.overwrites_pairs() {
            self.run_pairs(index, long, slice);
        } else {
            self.run_keys(index, long, slice);
        }
        // If it has not ended within that slice, it learns how many keys the next may have.
        let taken = clock::ticks().wrapping_sub(begun);
        if let Some(long) = self.longs.under_way.find(index) {
            long.ticks += taken;
            let microseconds = taken / self.ticks_per_us;
            if microseconds > SLICE_US {
                long.slice_keys = (long.slice_keys / 2).max(SLICE_KEYS_MIN);
            } else if microseconds < SLICE_US / 2 {
                long.slice_keys = (long.slice_keys * 2).min(SLICE_KEYS_MAX);
            }
        }
    }

    /// Finds the slots of some keys; refuses what the door or the store would not take.
    fn survey(&mut self, index: u32, mut long: Box<Long>, mut set: Box<SlotSet>) {
        let end = (long.next + SURVEY_KEYS).min(long.keys());
        let mut bytes = 0;
        let first = Slot::of(long.key(0));
        while long.next < end && bytes < SLICE_BYTES_MAX {
            let key = long.key(long.next);
            let slot = Slot::of(key);
            bytes += key.len();
            set.add(slot);
            let error = if long.door == Door::Lane && slot != first {
                self.stats.cross_slots += 1;
                Some(CommandError::Fixed(CROSS_SLOT))
            } else if key.len() > KEY_BYTES_MAX {
                Some(CommandError::KeyTooLong)
            } else {
                None
            };
            if let Some(error) = error {
                return self.refuse_long(index, long, &error);
            }
            long.next += 1;
        }
        if long.next == long.keys() && long.door == Door::Lane && !self.owns(first) {
            let error = self.moved(long.connection, first);
            return self.refuse_long(index, long, &error);
        }
        if long.next < long.keys() {
            long.stage = Stage::Survey(set);
        } else {
            long.next = 0;
            if long.spec.overwrites_pairs() {
                let shared = std::sync::Arc::clone(&self.shared);
                long.group(&set, |slot| shared.lane_of(slot));
                let slots: usize = long.groups.iter().map(|(_, slots)| slots.len()).sum();
                long.taking = Taking::new(long.groups.len(), slots >= WIDE_SLOTS_MIN);
                long.stage = Stage::Locking;
                self.longs.under_way.put(index, long);
                return self.lock_for_long(index);
            }
        }
        self.longs.under_way.put(index, long);
        self.longs.due.push_back(index);
    }

    fn refuse_long(&mut self, index: u32, mut long: Box<Long>, error: &CommandError) {
        self.stats.rejected(long.spec.id);
        self.stats.note_error(error.to_string().as_bytes());
        long.reply.clear();
        RespReply::new(&mut long.reply, long.manner.version).error_line(error);
        self.end_long(index, long);
    }

    /// Asks the next lane for its slots; when all have granted theirs, the pairs are written.
    fn lock_for_long(&mut self, index: u32) {
        let long = self.longs.under_way.get(index);
        let Next::Ask(group, ask) = long.taking.next() else {
            long.stage = Stage::Running;
            return self.longs.due.push_back(index);
        };
        let (lane, slots) = &long.groups[group];
        let (lane, slots) = (*lane, slots.clone());
        let holder = Holder::Long(index);
        let request = LockRequest { ask, slots, ..LockRequest::of_entries(holder, Vec::new()) };
        if lane == self.lane {
            self.take_lock_request(lane, Box::new(request), 0);
        } else {
            self.outbox.post(lane, Mail::Lock(Box::new(request)));
        }
    }

    /// A lane has answered whether it grants its slots.
    pub fn take_long_grant(&mut self, index: u32, answer: Answer) {
        let long = self.longs.under_way.get(index);
        let back = long.taking.answered(answer);
        let back = long.groups[back].to_vec();
        self.give_back(back);
        self.lock_for_long(index);
    }

    /// One request a key, to the lane of each.
    fn run_keys(&mut self, index: u32, mut long: Box<Long>, slice: std::ops::Range<usize>) {
        long.remaining = slice.len();
        long.stretches.resize(slice.len(), None);
        let mut local = Box::<Parcel>::default();
        for (part, number) in slice.enumerate() {
            let key = long.key(number);
            let key_of = self.store.key(long.manner.database, key);
            let routed = RoutedKey { index: 1, slot: key_of.slot, hash: key_of.hash };
            let return_to = ReturnTo::Slice { long: index, part: part as u32, holds: false };
            let request = Request::new(return_to, long.spec, Some(routed), long.manner);
            let lane = self.shared.lane_of(key_of.slot);
            if lane == self.lane {
                local.push(request, &[key], &[]);
            } else {
                self.outbox.request(lane, request, &[key], &[]);
            }
        }
        self.longs.under_way.put(index, long);
        if !local.is_empty() {
            self.run_parcel(self.lane, local);
        }
    }

    /// One request a lane, with all pairs of the slice that are its own; the slots are held.
    fn run_pairs(&mut self, index: u32, mut long: Box<Long>, slice: std::ops::Range<usize>) {
        let mut lanes: Vec<(LaneId, Vec<usize>)> = Vec::new();
        for number in slice {
            let lane = self.shared.lane_of(Slot::of(long.key(number)));
            match lanes.iter_mut().find(|(of, _)| *of == lane) {
                Some((_, numbers)) => numbers.push(number),
                None => lanes.push((lane, vec![number])),
            }
        }
        long.remaining = lanes.len();
        long.stretches.resize(lanes.len(), None);
        let mut local = Box::<Parcel>::default();
        for (part, (lane, numbers)) in lanes.iter().enumerate() {
            let return_to = ReturnTo::Slice { long: index, part: part as u32, holds: true };
            let request = Request::new(return_to, long.spec, None, long.manner);
            let (mut args, mut blobs): (Vec<&[u8]>, Vec<Bytes>) = (Vec::new(), Vec::new());
            for &number in numbers {
                for at in [1 + 2 * number, 2 + 2 * number] {
                    args.push(long.command.arg(at));
                    if let Arg::Blob(blob) = long.command.args[at] {
                        blobs.push(long.command.blobs[blob as usize].clone());
                    }
                }
            }
            if *lane == self.lane {
                local.push(request, &args, &blobs);
            } else {
                self.outbox.request(*lane, request, &args, &blobs);
            }
        }
        self.longs.under_way.put(index, long);
        if !local.is_empty() {
            self.run_parcel(self.lane, local);
        }
    }

    /// A part of a slice has been answered; after the last, the next slice is due.
    pub fn take_slice_answer(
        &mut self,
        index: u32,
        part: u32,
        replies: &ReplyBuffer,
        stretch: Stretch,
    ) {
        let long = self.longs.under_way.get(index);
        let from = long.parts.mark();
        long.parts.append(replies, stretch);
        long.stretches[part as usize] = Some(Stretch { from, to: long.parts.mark() });
        long.remaining -= 1;
        if long.remaining > 0 {
            return;
        }
        let fine = long.take_parts();
        if fine && long.next < long.keys() {
            return self.longs.due.push_back(index);
        }
        if !long.groups.is_empty() {
            long.stage = Stage::Releasing(0, 0);
            return self.longs.due.push_back(index);
        }
        if fine && long.spec.merge == Merge::Sum {
            let (sum, version) = (long.sum, long.manner.version);
            long.reply.clear();
            RespReply::new(&mut long.reply, version).integer_line(sum);
        }
        let long = self.longs.under_way.take(index);
        self.end_long(index, long);
    }

    /// Frees some of the slots, at the end.
    fn release_some(&mut self, index: u32, mut long: Box<Long>, group: usize, from: usize) {
        let (lane, slots) = &long.groups[group];
        let to = (from + RELEASE_SLOTS).min(slots.len());
        let release = Release { slots: slots[from..to].to_vec(), ..Release::default() };
        let (lane, all) = (*lane, to == slots.len());
        self.post_release(lane, release);
        if all && group + 1 == long.groups.len() {
            return self.end_long(index, long);
        }
        long.stage = if all { Stage::Releasing(group + 1, 0) } else { Stage::Releasing(group, to) };
        self.longs.under_way.put(index, long);
        self.longs.due.push_back(index);
    }

    /// Answers, and lets the connection go on.
    fn end_long(&mut self, index: u32, mut long: Box<Long>) {
        self.longs.under_way.end(index);
        let first: Vec<&[u8]> = (0..FIRST_ARGS).map(|at| long.command.arg(at)).collect();
        let arguments = (&first[..], long.command.args.len());
        self.observe_long(long.connection, long.spec, long.ticks, arguments);
        if let Some(connection) = self.connections.get(long.connection) {
            connection.give_place(long.sequence, &mut long.reply);
            Self::mark_dirty(&mut self.dirty, connection);
        }
        self.lift_barrier(long.connection);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_say_what_runs_in_slices() {
        let row = |name: &str| ringlane_command::table::lookup(name.as_bytes()).expect("a row");
        for name in ["mget", "del", "unlink", "exists", "touch"] {
            assert!(is_long(row(name), KEYS_AT_ONCE_MAX + 2), "{name}");
            assert!(!is_long(row(name), KEYS_AT_ONCE_MAX + 1), "{name}");
        }
        assert!(is_long(row("mset"), 2 * KEYS_AT_ONCE_MAX + 3));
        assert!(!is_long(row("mset"), 2 * KEYS_AT_ONCE_MAX + 1));
        for name in ["msetnx", "set", "lcs", "keys", "config"] {
            assert!(!is_long(row(name), 100_000), "{name}");
        }
    }
}
