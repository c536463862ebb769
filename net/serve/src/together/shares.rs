//! Transactions of very many keys. Their slots are found in slices and locked; then each lane is sent
//! what it owns of the next commands, its share, and runs it in slices of its own (`aside`), so that
//! no value travels. Commands over keys of several lanes that cannot be cut run on the scratch store
//! between the shares. Locks and frees no slot; `together` does.

use ringlane_base::{LaneId, Slot};
use ringlane_command::{CommandSpec, Merge, Run};
use ringlane_store::KEY_BYTES_MAX;

use super::{Group, Progress, Together};
use crate::admin::slowlog::FIRST_ARGS;
use crate::clock;
use crate::core::Core;
use crate::gather::header_number;
use crate::locks::SlotSet;
use crate::parcel::{Errand, Mail, Parcel, Request, ReturnTo};
use crate::reply::RespReply;
use crate::reply_buffer::{Mark, ReplyBuffer, Stretch};
use crate::run::Slices;

/// Keys whose slots are found in one slice.
const SURVEY_KEYS: usize = 2048;
/// Requests that are shared out at once, and bytes of their arguments, one request's excepted: as many
/// as take this lane some 100 µs to send and to put their answers together.
const SHARED_REQUESTS_MAX: usize = 512;
const SHARED_BYTES_MAX: usize = 256 << 10;

/// What a transaction of very many keys needs beyond others.
#[derive(Default)]
pub struct Heavy {
    survey: Survey,
    /// The key of the next command that is to be shared out, if that is cut.
    key: usize,
    /// A key is longer than keys may be: MSET, whose handler refuses it, must not be cut.
    has_overlong_key: bool,
    /// One of its commands is on whole databases.
    pub(super) on_databases: bool,
    /// Its commands are shared out some at a time: one is of so many keys that it must be cut, or is on
    /// whole databases. Otherwise, on one lane, all of them are one share.
    in_pieces: bool,
    /// What each lane has been sent, or has answered.
    shares: Vec<Share>,
    /// Shares that have not been answered.
    awaited: usize,
    /// The answers that they bring, in their order. Empty: all commands are one share.
    pieces: Vec<Piece>,
    /// The answer of the command that is cut, as far as it has come.
    partial: Option<Partial>,
}

/// The slots of the keys, as far as they have been found.
#[derive(Default)]
struct Survey {
    found: Box<SlotSet>,
    /// The next command, and key of it.
    command: usize,
    key: usize,
    ended: bool,
}

/// What one lane runs.
struct Share {
    lane: LaneId,
    commands: Box<Parcel>,
}

/// One answer of a share.
struct Piece {
    share: usize,
    command: usize,
    /// Which key of a command that is cut.
    key: Option<usize>,
}

struct Partial {
    from: Mark,
    sum: i64,
    failed: bool,
    ticks: u64,
}

impl Heavy {
    /// Whether a command is of very many keys, and whether one is on whole databases; with the slots that
    /// are locked besides.
    pub fn new((wide, on_databases): (bool, bool), watched: &[Slot]) -> Self {
        let in_pieces = wide || on_databases;
        let mut heavy = Self { on_databases, in_pieces, ..Self::default() };
        for slot in watched {
            heavy.survey.found.add(*slot);
        }
        heavy
    }

    /// All slots are locked whatever the keys are.
    pub(super) fn end_survey(&mut self) {
        self.survey.ended = true;
    }
}

/// Arguments that each key of a command takes that may run key by key: what it does to one does not
/// depend on the others.
fn cut_step(spec: &CommandSpec) -> Option<usize> {
    match spec.merge {
        Merge::Ordered | Merge::Sum => Some(1),
        Merge::Together if spec.overwrites_pairs() => Some(2),
        Merge::Together
        | Merge::Single
        | Merge::SpreadSum
        | Merge::SpreadOk
        | Merge::SpreadJoin
        | Merge::Cursor
        | Merge::Pick => None,
    }
}

impl Core {
    /// What comes next of a transaction of very many keys; None: a command that is not shared out, or
    /// the end.
    pub(super) fn step_shares(&mut self, index: u32, together: &mut Together) -> Option<Progress> {
        let mut heavy = together.heavy.take()?;
        let progress = if heavy.survey.ended {
            self.put_together(together, &mut heavy);
            self.share_out(index, together, &mut heavy)
        } else {
            self.survey_keys(together, &mut heavy);
            if heavy.survey.ended {
                self.ask_for_slots(together, &heavy.survey.found);
                Some(Progress::On)
            } else {
                self.togethers.due.push_back(index);
                Some(Progress::Waits)
            }
        };
        together.heavy = Some(heavy);
        progress
    }

    /// Finds the slots of some keys.
    fn survey_keys(&self, together: &Together, heavy: &mut Heavy) {
        let Heavy { survey, has_overlong_key, .. } = heavy;
        let commands = &together.commands;
        let mut left = SURVEY_KEYS;
        while left > 0 {
            let Some(request) = commands.requests.get(survey.command) else {
                survey.ended = true;
                return;
            };
            if let Some(step) = cut_step(request.spec) {
                let keys = request.arguments() / step;
                let end = keys.min(survey.key + left);
                for key in survey.key..end {
                    let key = commands.argument(request, key * step);
                    *has_overlong_key |= key.len() > KEY_BYTES_MAX;
                    survey.found.add(Slot::of(key));
                }
                left -= end - survey.key;
                survey.key = end;
                if end < keys {
                    return;
                }
            } else if let Some(slot) = request.only_slot() {
                survey.found.add(slot);
                left -= 1;
            } else {
                if together.forms_any(survey.command, self.shared.lanes()) {
                    for lane in self.lanes_concerned(together.lane_alone) {
                        self.add_all(LaneId(lane), &mut survey.found);
                    }
                } else if self.request_reaches_all_slots(commands, request)
                    && let Some(lane) = self.only_lane(commands, request)
                {
                    self.add_all(lane, &mut survey.found);
                }
                commands.visit_keys(request, self.live.databases, &mut |_, key| {
                    survey.found.add(Slot::of(key));
                    left = left.saturating_sub(1);
                });
                left = left.saturating_sub(1);
            }
            (survey.command, survey.key) = (survey.command + 1, 0);
        }
    }

    fn add_all(&self, lane: LaneId, found: &mut SlotSet) {
        for slot in self.shared.slots_of(lane) {
            found.add(Slot::new(slot).expect("it is one"));
        }
    }

    /// Makes the groups out of the slots that were found; no value travels with them.
    fn ask_for_slots(&self, together: &mut Together, found: &SlotSet) {
        for slot in found.iter() {
            let lane = self.shared.lane_of(slot);
            match together.groups.last_mut() {
                Some(group) if group.lane == lane => group.slots.push(slot),
                Some(_) | None => {
                    together.groups.push(Group { lane, slots: vec![slot], keys: Vec::new() });
                }
            }
        }
        together.begin_taking();
    }

    /// The lane that runs a command whole, if one owns all its keys; this one, if it has none.
    fn only_lane(&self, commands: &Parcel, request: &Request) -> Option<LaneId> {
        if let (Some(routed), Merge::Single) = (request.routed, request.spec.merge) {
            return Some(self.shared.lane_of(routed.slot));
        }
        let (mut lane, mut one) = (None, true);
        commands.visit_keys(request, self.live.databases, &mut |_, key| {
            let of = self.shared.lane_of(Slot::of(key));
            one &= *lane.get_or_insert(of) == of;
        });
        one.then(|| lane.unwrap_or(self.lane))
    }

    /// Sends the lanes their shares of the next commands.
    fn share_out(
        &mut self,
        index: u32,
        together: &mut Together,
        heavy: &mut Heavy,
    ) -> Option<Progress> {
        let before = together.next;
        if let [group] = &together.groups[..]
            && !heavy.in_pieces
            && together.next == 0
        {
            let commands = std::mem::take(&mut together.commands);
            together.next = commands.requests.len();
            heavy.shares.push(Share { lane: group.lane, commands });
        } else {
            self.cut_shares(together, heavy);
        }
        if heavy.shares.is_empty() {
            return (together.next > before).then_some(Progress::On);
        }
        heavy.awaited = heavy.shares.len();
        for (share, Share { lane, commands }) in heavy.shares.iter_mut().enumerate() {
            let (lane, commands) = (*lane, std::mem::take(commands));
            let errand = Errand {
                together: index,
                commands,
                watch: None,
                touched: false,
                share: Some(share),
            };
            if lane == self.lane {
                self.take_errand(lane, Box::new(errand));
            } else {
                self.outbox.post(lane, Mail::Errand(Box::new(errand)));
            }
        }
        Some(Progress::Waits)
    }

    /// Makes the shares of the next commands, up to one that is not shared out.
    fn cut_shares(&mut self, together: &mut Together, heavy: &mut Heavy) {
        let begun = clock::ticks();
        let commands = &together.commands;
        let lanes = self.shared.lanes();
        let mut bytes = 0;
        while heavy.pieces.len() < SHARED_REQUESTS_MAX && bytes < SHARED_BYTES_MAX {
            let Some(request) = commands.requests.get(together.next).copied() else { break };
            if matches!(request.spec.run, Run::Serve(_)) {
                together.next += 1; // It runs when the others have been answered.
                continue;
            }
            let step = cut_step(request.spec);
            let cut = step.filter(|step| *step == 1 || !heavy.has_overlong_key);
            let (lane, request, arguments) = if let Some(step) = cut {
                let from = heavy.key * step;
                let lane = self.shared.lane_of(Slot::of(commands.argument(&request, from)));
                // As the parts of an answer that is put together from several.
                let return_to = ReturnTo::Part { gather: 0, part: 0 };
                (lane, request.of_one_key(return_to), from..from + step)
            } else if !request.spec.is_on_databases()
                && (lanes == 1 || !together.forms_any(together.next, lanes))
                && let Some(lane) = self.only_lane(commands, &request)
            {
                (lane, request, 0..request.arguments())
            } else {
                break;
            };
            let shares = &mut heavy.shares;
            let share = shares.iter().position(|it| it.lane == lane).unwrap_or_else(|| {
                shares.push(Share { lane, commands: self.outbox.fresh() });
                shares.len() - 1
            });
            let to = &mut shares[share].commands;
            let size = to.request_bytes();
            commands.copy_to(to, request, arguments);
            bytes += to.request_bytes() - size;
            let key = cut.map(|_| heavy.key);
            heavy.pieces.push(Piece { share, command: together.next, key });
            let more = cut.is_some_and(|step| (heavy.key + 1) * step < request.arguments());
            heavy.key = if more { heavy.key + 1 } else { 0 };
            together.next += usize::from(!more);
        }
        let taken = clock::ticks().wrapping_sub(begun);
        if let Some(partial) = &mut heavy.partial {
            partial.ticks += taken;
        }
    }

    /// A lane has run its share.
    pub fn take_share(&mut self, share: usize, errand: Errand) {
        let together = self.togethers.under_way.get(errand.together);
        let heavy = together.heavy.as_mut().expect("its shares are under way");
        heavy.shares[share].commands = errand.commands;
        heavy.awaited -= 1;
        if heavy.awaited == 0 {
            self.go_on(errand.together);
        }
    }

    /// All shares have been answered: the answers, in the order of the commands.
    fn put_together(&mut self, together: &mut Together, heavy: &mut Heavy) {
        let mut shares = std::mem::take(&mut heavy.shares);
        if heavy.pieces.is_empty() {
            let Some(mut whole) = shares.pop() else { return }; // Nothing has been shared out yet.
            together.replies = std::mem::take(&mut whole.commands.replies);
            let answers = std::mem::take(&mut whole.commands.answers);
            if together.serves {
                together.stretches = answers.into_iter().map(|(_, stretch)| stretch).collect();
            }
            together.commands = whole.commands;
            return;
        }
        let mut taken = vec![0; shares.len()];
        for Piece { share, command, key } in heavy.pieces.drain(..) {
            let Parcel { replies, answers, .. } = &*shares[share].commands;
            let (_, answer) = answers[taken[share]];
            taken[share] += 1;
            match key {
                None => {
                    let from = together.replies.mark();
                    together.replies.append(replies, answer);
                    together.stretches.push(Stretch { from, to: together.replies.mark() });
                }
                Some(key) => {
                    let mut partial = heavy.partial.take();
                    let ended = take_part(together, &mut partial, (command, key), replies, answer);
                    if let (true, Some(partial)) = (ended, &partial) {
                        self.observe_cut(together, command, partial.ticks);
                        partial_ended(together, partial);
                    }
                    heavy.partial = partial.filter(|_| !ended);
                }
            }
        }
        for share in shares {
            self.outbox.recycle(share.commands);
        }
    }

    /// Counts a command that was cut, once.
    fn observe_cut(&mut self, together: &Together, command: usize, ticks: u64) {
        let commands = &together.commands;
        let request = &commands.requests[command];
        let arguments = request.arguments();
        let mut first = Slices::new();
        first.push(request.spec.name.as_bytes());
        first.extend((0..arguments.min(FIRST_ARGS - 1)).map(|at| commands.argument(request, at)));
        let arguments = (&first[..], arguments + 1);
        self.observe_long(together.connection, request.spec, ticks, arguments);
    }
}

/// Takes the answer for one key of a command; whether it was the last.
fn take_part(
    together: &mut Together,
    partial: &mut Option<Partial>,
    (command, key): (usize, usize),
    replies: &ReplyBuffer,
    answer: Stretch,
) -> bool {
    let request = &together.commands.requests[command];
    let keys = request.arguments() / cut_step(request.spec).expect("it was cut into keys");
    let out = &mut together.replies;
    let partial = partial.get_or_insert_with(|| {
        let from = out.mark();
        if request.spec.merge == Merge::Ordered {
            RespReply::new(out, request.version).array_header(keys);
        }
        Partial { from, sum: 0, failed: false, ticks: 0 }
    });
    let last = key + 1 == keys;
    let plain = replies.plain(answer);
    if request.spec.merge == Merge::Ordered {
        out.append(replies, answer);
    } else if partial.failed {
        // The first error is the answer.
    } else if plain.first() == Some(&b'-') {
        partial.failed = true;
        out.append(replies, answer);
    } else if request.spec.merge == Merge::Sum {
        partial.sum += header_number(plain).0;
        if last {
            RespReply::new(out, request.version).integer_line(partial.sum);
        }
    } else if last {
        out.append(replies, answer);
    }
    last
}

/// All of the answer of a command that was cut is there.
fn partial_ended(together: &mut Together, partial: &Partial) {
    let to = together.replies.mark();
    together.stretches.push(Stretch { from: partial.from, to });
}
