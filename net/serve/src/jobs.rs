//! Commands that walk a whole keyspace, in slices between other requests: KEYS.

use ringlane_base::{Database, LaneId};
use ringlane_command::keyspace::{KeySearch, scan_cursor};
use ringlane_command::{Args, CommandSpec};
use ringlane_resp::Version;

use crate::core::Core;
use crate::gather::Recipient;
use crate::parcel::{Parcel, Request, ReturnTo};
use crate::reply::RespReply;
use crate::reply_buffer::{Mark, PIECE_BYTES, ReplyBuffer, Stretch};
use crate::run::Manner;

/// Entries that a slice of a job looks at, some 100 ns each.
const JOB_UNITS: usize = 1000;

/// One walk under way: KEYS over this lane's store.
pub struct Job {
    from: LaneId,
    return_to: ReturnTo,
    database: Database,
    version: Version,
    pattern: Vec<u8>,
    cursor: u64,
    found: usize,
    keys: ReplyBuffer,
}

impl Core {
    /// The lane that a cursor's walk has come to.
    pub fn cursor_lane(&self, args: Args<'_>, lane_alone: bool) -> LaneId {
        let cursor = scan_cursor(&args[1]).ok();
        match cursor {
            Some(cursor) if !lane_alone => self.shared.lane_of(ringlane_store::cursor_slot(cursor)),
            Some(_) | None => self.lane,
        }
    }

    /// Starts a command that visits the lanes one after another: the cursor says which is next.
    pub fn begin_cursor(
        &mut self,
        to: Recipient,
        spec: &'static CommandSpec,
        manner: Manner,
        args: Args<'_>,
    ) {
        let lane = self.cursor_lane(args, false);
        self.spread(to, spec, manner, args, lane.0..lane.0 + 1);
    }

    /// A scan of this lane that has ended goes on at the next lane.
    pub fn carry_cursor_on(&self, out: &mut ReplyBuffer, from: Mark) {
        const ENDED: &[u8] = b"*2\r\n$1\r\n0\r\n";
        let next = LaneId(self.lane.0 + 1);
        if next.index() >= self.shared.lanes() {
            return;
        }
        let whole = Stretch { from, to: out.mark() };
        if !out.plain(whole).starts_with(ENDED) {
            return;
        }
        let rest = out.plain(whole)[ENDED.len()..].to_vec();
        let first = ringlane_base::Slot::new(self.shared.slots_of(next).start)
            .expect("every lane has slots");
        let cursor = ringlane_store::cursor_at(first).to_string();
        out.truncate(from);
        let mut reply = RespReply::new(out, Version::Resp2);
        reply.array_header(2);
        reply.bulk_line(cursor.as_bytes());
        out.bytes.extend_from_slice(&rest);
    }

    /// Begins a walk over this lane's store for a request.
    pub fn start_job(&mut self, from: LaneId, request: &Request, args: Args<'_>) {
        self.jobs.push_back(Job {
            from,
            return_to: request.return_to,
            database: request.database,
            version: request.version,
            pattern: args.get(1).unwrap_or(b"*").to_vec(),
            cursor: 0,
            found: 0,
            keys: ReplyBuffer::default(),
        });
    }

    /// Goes on with the walk at the head of the queue for one slice.
    pub fn work_on_jobs(&mut self) {
        let Some(mut job) = self.jobs.pop_front() else { return };
        let mut reply = RespReply::new(&mut job.keys, job.version);
        let mut found = 0;
        let search = KeySearch { database: job.database, pattern: &job.pattern };
        job.cursor = search.step(&mut self.store, job.cursor, JOB_UNITS, &mut |key| {
            found += 1;
            reply.bulk_line(key);
        });
        job.found += found;
        job.keys.share_end(PIECE_BYTES);
        self.hand_out_touches(); // Of keys that it found to be due.
        if job.cursor != 0 {
            return self.jobs.push_back(job);
        }
        let mut parcel = Box::<Parcel>::default();
        RespReply::new(&mut parcel.replies, job.version).array_header(job.found);
        parcel.replies.append_all(&mut job.keys);
        let stretch = Stretch { from: ReplyBuffer::default().mark(), to: parcel.replies.mark() };
        parcel.answers.push((job.return_to, stretch));
        self.deliver(job.from, parcel);
    }
}
