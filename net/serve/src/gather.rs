//! Answers put together from several lanes. Merging follows the command's row (`Merge`); nothing
//! here knows a command by name.

use ringlane_command::Merge;
use ringlane_resp::Version;

use crate::ask::{Answer, Finish};
use crate::reply::RespReply;
use crate::reply_buffer::{ReplyBuffer, Stretch};
use crate::ring::ConnectionId;

/// What the parts are and how they become one.
pub enum Kind {
    /// Replies, merged as the command's row says.
    Replies { merge: Merge, replies: ReplyBuffer, stretches: Vec<Option<Stretch>> },
    /// Answers of lanes to a question; the command that asked finishes the reply.
    Answers { answers: Vec<Vec<Answer>>, finish: Finish, args: Vec<Vec<u8>> },
}

/// One answer in the making.
pub struct Gather {
    pub connection: ConnectionId,
    pub sequence: u32,
    pub version: Version,
    pub remaining: usize,
    pub kind: Kind,
    /// Later commands of the connection wait for this one.
    pub barrier: bool,
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
        let plain = replies.plain(*part);
        out.bytes.extend_from_slice(&plain[header_number(plain).1..]);
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
#[derive(Default)]
pub struct Gathers {
    places: Vec<Option<Gather>>,
    free: Vec<u32>,
}

impl Gathers {
    pub fn insert(&mut self, gather: Gather) -> u32 {
        if let Some(index) = self.free.pop() {
            self.places[index as usize] = Some(gather);
            return index;
        }
        self.places.push(Some(gather));
        self.places.len() as u32 - 1
    }

    pub fn get(&mut self, index: u32) -> &mut Gather {
        self.places[index as usize].as_mut().expect("parts come back only while they are awaited")
    }

    /// Takes it out if all its parts are there.
    pub fn take_complete(&mut self, index: u32) -> Option<Gather> {
        if self.get(index).remaining > 0 {
            return None;
        }
        self.free.push(index);
        self.places[index as usize].take()
    }

    /// How many answers are in the making.
    pub fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }
}
