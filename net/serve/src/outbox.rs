//! What leaves this lane for the others: one parcel a turn and lane, and the rarer messages.

use std::collections::VecDeque;

use bytes::Bytes;
use ringlane_base::LaneId;

use crate::mailbox::{Receiver, Sender};
use crate::parcel::{Letter, Mail, Parcel, Request};
use crate::pubsub::{NOTES_A_LETTER_MAX, Note};

/// Letters that fit between two lanes before the sender keeps them.
pub const MAILBOX_LETTERS_MAX: usize = 256;
/// Requests in one parcel; the next opens another. As many as a batch: a lane looks at the time
/// between two parcels.
pub const PARCEL_REQUESTS_MAX: usize = 128;
/// Bytes of requests in one parcel.
pub const PARCEL_BYTES_MAX: usize = 1 << 20;
/// Empty parcels kept for reuse.
const SPARE_PARCELS_MAX: usize = 64;

/// The ends of this lane's mailboxes, one pair for each other lane.
pub struct Peer {
    pub sender: Sender<Letter>,
    pub receiver: Receiver<Letter>,
}

/// What waits to go to one lane.
#[derive(Default)]
struct Pending {
    requests: Box<Parcel>,
    answers: Box<Parcel>,
    /// In order; the parcels above come after them.
    letters: VecDeque<Mail>,
}

/// The outgoing side of a lane's mail.
pub struct Outbox {
    me: LaneId,
    pending: Vec<Pending>,
    #[allow(clippy::vec_box, reason = "the very boxes that letters carry are kept")]
    spare: Vec<Box<Parcel>>,
    pub parcels_sent: u64,
    pub requests_sent: u64,
}

impl Outbox {
    pub fn new(me: LaneId, lanes: usize) -> Self {
        Self {
            me,
            pending: (0..lanes).map(|_| Pending::default()).collect(),
            spare: Vec::new(),
            parcels_sent: 0,
            requests_sent: 0,
        }
    }

    /// Adds a request for another lane to this turn's parcel.
    pub fn request(&mut self, to: LaneId, request: Request, args: &[&[u8]], blobs: &[Bytes]) {
        debug_assert_ne!(to, self.me, "a lane does not post to itself");
        let pending = &mut self.pending[to.index()];
        let full = pending.requests.requests.len() >= PARCEL_REQUESTS_MAX
            || pending.requests.request_bytes() >= PARCEL_BYTES_MAX;
        if full {
            let fresh = self.spare.pop().unwrap_or_default();
            let parcel = std::mem::replace(&mut pending.requests, fresh);
            pending.letters.push_back(Mail::Requests(parcel));
        }
        pending.requests.push(request, args, blobs);
        self.requests_sent += 1;
    }

    /// The parcel of answers for a lane that is filled this turn.
    pub fn answers(&mut self, to: LaneId) -> &mut Parcel {
        &mut self.pending[to.index()].answers
    }

    /// A rarer message, in order after what was posted before it.
    pub fn post(&mut self, to: LaneId, mail: Mail) {
        let pending = &mut self.pending[to.index()];
        seal(pending, &mut self.spare);
        pending.letters.push_back(mail);
    }

    /// A note about channels, in the letter of the one before it unless something stands between.
    pub fn post_note(&mut self, to: LaneId, note: Note) {
        let pending = &mut self.pending[to.index()];
        if pending.requests.is_empty()
            && pending.answers.is_empty()
            && let Some(Mail::Notes(notes)) = pending.letters.back_mut()
            && notes.len() < NOTES_A_LETTER_MAX
        {
            notes.push(note);
            return;
        }
        self.post(to, Mail::Notes(vec![note]));
    }

    /// An answered parcel as it stands, filled with its own answers.
    pub fn post_answers(&mut self, to: LaneId, parcel: Box<Parcel>) {
        self.post(to, Mail::Answers(parcel));
    }

    /// An empty parcel.
    pub fn fresh(&mut self) -> Box<Parcel> {
        self.spare.pop().unwrap_or_default()
    }

    /// Keeps a parcel, emptied, for reuse.
    pub fn recycle(&mut self, mut parcel: Box<Parcel>) {
        if self.spare.len() < SPARE_PARCELS_MAX {
            parcel.clear();
            self.spare.push(parcel);
        }
    }

    /// Whether anything waits to go to some lane.
    pub fn is_empty(&self) -> bool {
        self.pending.iter().all(|pending| {
            pending.letters.is_empty() && pending.requests.is_empty() && pending.answers.is_empty()
        })
    }

    /// Moves what waits for a lane into its mailbox, as far as it fits. True if anything went.
    pub fn deliver(&mut self, to: LaneId, sender: &mut Sender<Letter>) -> bool {
        let pending = &mut self.pending[to.index()];
        seal(pending, &mut self.spare);
        let mut sent = false;
        while let Some(mail) = pending.letters.pop_front() {
            if let Err(letter) = sender.push(Letter { from: self.me, mail }) {
                pending.letters.push_front(letter.mail);
                break;
            }
            self.parcels_sent += 1;
            sent = true;
        }
        sent
    }
}

/// Closes the parcels being filled, so that what follows stays behind them.
#[allow(clippy::vec_box, reason = "the very boxes that letters carry are kept")]
fn seal(pending: &mut Pending, spare: &mut Vec<Box<Parcel>>) {
    if !pending.requests.is_empty() {
        let parcel = std::mem::replace(&mut pending.requests, spare.pop().unwrap_or_default());
        pending.letters.push_back(Mail::Requests(parcel));
    }
    if !pending.answers.is_empty() {
        let parcel = std::mem::replace(&mut pending.answers, spare.pop().unwrap_or_default());
        pending.letters.push_back(Mail::Answers(parcel));
    }
}
