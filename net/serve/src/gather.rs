//! Answers put together from several lanes. Merging follows the command's row (`Merge`); nothing
//! here knows a command by name.

use std::sync::atomic::Ordering;

use ringlane_base::LaneId;
use ringlane_command::{Merge, Reply};
use ringlane_resp::Version;
use smallvec::SmallVec;

use crate::admin;
use crate::ask::{Answer, Answers, Finish};
use crate::core::Core;
use crate::parcel::Mail;
use crate::reply::RespReply;
use crate::reply_buffer::{ReplyBuffer, Stretch};
use crate::ring::ConnectionId;
use crate::under_way::UnderWay;
use crate::watch::WatchId;

/// What the parts are and how they become one.
pub enum Kind {
    /// Replies, merged as the command's row says.
    Replies { merge: Merge, replies: ReplyBuffer, stretches: Vec<Option<Stretch>> },
    /// Answers of lanes to a question; the command that asked finishes the reply.
    Answers { answers: Vec<Vec<Answer>>, finish: Finish, args: Vec<Vec<u8>> },
    /// Lanes say that they watch keys for the client.
    Watched(WatchId),
}

/// Whom the whole is for.
#[derive(Clone, Copy, Debug)]
pub enum Recipient {
    /// A reserved place of a connection; with `barrier` its later commands wait for this one.
    Place { connection: ConnectionId, sequence: u32, barrier: bool },
    /// A command on whole databases within what runs under locks on all of their slots.
    Step { together: u32 },
}

/// One answer in the making.
pub struct Gather {
    pub to: Recipient,
    pub version: Version,
    pub remaining: usize,
    pub kind: Kind,
}

impl Gather {
    /// Takes a part's reply.
    pub fn add_reply(&mut self, part: u32, reply: &ReplyBuffer, stretch: Stretch) {
        let Kind::Replies { replies, stretches, .. } = &mut self.kind else {
            unreachable!("a reply came for a question");
        };
        let from = replies.mark();
        replies.append(reply, stretch);
        let taken = stretches[part as usize].replace(Stretch { from, to: replies.mark() });
        assert!(taken.is_none(), "a part was answered twice");
        self.remaining -= 1;
    }

    /// A lane watches its keys now.
    pub fn add_watched(&mut self) {
        self.remaining -= 1;
    }

    /// Takes a lane's answer, or a slice of it.
    pub fn add_answer(&mut self, part: u32, answer: Answer, last: bool) {
        let Kind::Answers { answers, .. } = &mut self.kind else {
            unreachable!("an answer came for a command");
        };
        answers[part as usize].push(answer);
        self.remaining -= usize::from(last);
    }
}

/// One reply out of the parts. `pick` chooses among the parts that are no null (RANDOMKEY).
pub fn merge_replies(
    merge: Merge,
    version: Version,
    replies: &ReplyBuffer,
    stretches: &[Option<Stretch>],
    pick: &mut dyn FnMut(&[usize]) -> usize,
    out: &mut ReplyBuffer,
) {
    let parts: Vec<Stretch> =
        stretches.iter().map(|part| part.expect("all parts are answered")).collect();
    let is_error = |part: &&Stretch| replies.plain(**part).first() == Some(&b'-');
    if let (Some(error), false) = (parts.iter().find(is_error), merge == Merge::Ordered) {
        return out.append(replies, *error);
    }
    match merge {
        Merge::Ordered => {
            RespReply::new(out, version).array_header(parts.len());
            for part in &parts {
                out.append(replies, *part);
            }
        }
        Merge::Sum | Merge::SpreadSum => {
            let sum = parts.iter().map(|part| header_number(replies.plain(*part)).0).sum();
            RespReply::new(out, version).integer_line(sum);
        }
        Merge::SpreadJoin => join(&parts, version, replies, out),
        Merge::Pick => {
            let found: Vec<usize> = (0..parts.len())
                .filter(|&part| !matches!(replies.plain(parts[part]), b"$-1\r\n" | b"_\r\n"))
                .collect();
            let chosen = if found.is_empty() { 0 } else { pick(&found) };
            out.append(replies, parts[chosen]);
        }
        Merge::SpreadOk | Merge::Single | Merge::Together | Merge::Cursor => {
            out.append(replies, parts[0]);
        }
    }
}

/// Arrays joined into one.
fn join(parts: &[Stretch], version: Version, replies: &ReplyBuffer, out: &mut ReplyBuffer) {
    let lengths: i64 = parts.iter().map(|part| header_number(replies.plain(*part)).0).sum();
    RespReply::new(out, version)
        .array_header(usize::try_from(lengths).expect("lengths are counts"));
    for part in parts {
        let header = header_number(replies.plain(*part)).1;
        out.append(replies, Stretch { from: part.from.after(header), to: part.to });
    }
}

/// The number of a `:n` or `*n` line and the length of that line.
pub fn header_number(reply: &[u8]) -> (i64, usize) {
    let end = reply.windows(2).position(|pair| pair == b"\r\n").expect("replies are whole lines");
    let number = ringlane_base::number::parse_integer(&reply[1..end])
        .expect("merged replies are integers or arrays");
    (number, end + 2)
}

/// The answers a lane is waiting for. An index is reused once its answer is complete.
pub type Gathers = UnderWay<Gather>;

impl Core {
    /// Reserves the place of an answer that comes in parts; with `barrier` the connection's later
    /// commands wait for it.
    pub fn reserve(&mut self, id: ConnectionId, barrier: bool) -> Recipient {
        let connection = self.connections.get(id).expect("looked up by the caller");
        connection.barrier |= barrier;
        Recipient::Place { connection: id, sequence: connection.reserve_place(), barrier }
    }

    /// Begins an answer that comes in parts.
    pub fn begin_gather(
        &mut self,
        to: Recipient,
        merge: Merge,
        version: Version,
        parts: usize,
    ) -> u32 {
        let replies = ReplyBuffer::default();
        let kind = Kind::Replies { merge, replies, stretches: vec![None; parts] };
        self.gathers.insert(Gather { to, version, remaining: parts, kind })
    }

    /// A lane has answered a question, or begun to: then it is asked to go on.
    pub fn take_answer(&mut self, gather: u32, part: u32, mut answer: Answer) {
        let rest = answer.take_rest();
        self.gathers.get(gather).add_answer(part, answer, rest.is_none());
        let to = LaneId(part as u16);
        match rest {
            None => self.finish_gather(gather),
            Some(question) if to == self.lane => {
                self.own_questions.push_back((gather, question));
            }
            Some(question) => self.outbox.post(to, Mail::Ask { gather, part, question }),
        }
    }

    /// Answers a slice of a question that this lane has put to itself.
    pub fn work_on_own_questions(&mut self) {
        let Some((gather, question)) = self.own_questions.pop_front() else { return };
        let answer = admin::answer(self, &question);
        self.take_answer(gather, u32::from(self.lane.0), answer);
    }

    /// Delivers an answer if its parts are all there.
    pub fn finish_gather(&mut self, index: u32) {
        if self.gathers.get(index).remaining > 0 {
            return;
        }
        let gather = self.gathers.remove(index);
        let mut out = std::mem::take(&mut self.scratch);
        let from = out.mark();
        match gather.kind {
            Kind::Replies { merge, replies, stretches } => {
                let mut weights =
                    self.shared.lines.iter().map(|line| line.keys.load(Ordering::Relaxed));
                let weights: SmallVec<[usize; 16]> = weights.by_ref().collect();
                let random = &mut self.random;
                let mut pick = |found: &[usize]| pick_weighted(found, &weights, random);
                merge_replies(merge, gather.version, &replies, &stretches, &mut pick, &mut out);
            }
            Kind::Answers { answers, finish, args } => {
                let Recipient::Place { connection, .. } = gather.to else {
                    unreachable!("questions are asked for connections")
                };
                let answers = answers.into_iter().flatten().collect();
                let answers = Answers { connection, args: &args, answers };
                finish(self, answers, &mut RespReply::new(&mut out, gather.version));
            }
            Kind::Watched(watch) => {
                RespReply::new(&mut out, gather.version).simple("OK");
                self.watching_began(gather.to, watch);
            }
        }
        let stretch = Stretch { from, to: out.mark() };
        match gather.to {
            Recipient::Place { connection, sequence, .. } => {
                self.fill_place(connection, sequence, &out, stretch);
            }
            Recipient::Step { together } => self.take_step(together, &out, stretch),
        }
        out.clear();
        self.scratch = out;
        if let Recipient::Place { connection, barrier: true, .. } = gather.to {
            self.lift_barrier(connection);
        }
    }
}

/// One of `found`, each as likely as its weight says.
fn pick_weighted(found: &[usize], weights: &[usize], random: &mut fastrand::Rng) -> usize {
    let total: usize = found.iter().map(|&part| weights[part].max(1)).sum();
    let mut ticket = random.usize(..total);
    for &part in found {
        let weight = weights[part].max(1);
        if ticket < weight {
            return part;
        }
        ticket -= weight;
    }
    found[0]
}
