//! A lane's private `io_uring`: submissions, completions, and the buffers the kernel receives into.
//! Knows sockets and user data, nothing of connections or commands. The one file of the network
//! turn with `unsafe`: every address handed to the kernel is argued for here.

use std::io;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU16, Ordering, fence};

use io_uring::{IoUring, cqueue, opcode, squeue, types};

/// Submissions that fit before the ring must be entered.
pub const SUBMISSIONS_MAX: u32 = 1024;
/// Completions that fit; more are kept by the kernel and delivered at the next entry.
pub const COMPLETIONS_MAX: u32 = 8192;
/// How many receive buffers a lane lends to the kernel.
pub const RECEIVE_BUFFERS: u16 = 256;
/// Those beside them for connections that bring what is long: few, so that what others send waits for
/// no more than these hold, and never for a buffer.
pub const LONG_RECEIVE_BUFFERS: u16 = 32;
/// Bytes of one receive buffer.
pub const RECEIVE_BUFFER_BYTES: usize = 8 * 1024;
/// Connections whose sockets can be registered with a ring; what is beyond is sent to by descriptor.
const SOCKETS_MAX: u64 = 16 * 1024;
/// The multishot tick that wakes an idle lane for its clock.
pub const TICK_MS: u64 = 50;

/// `IORING_ENTER_GETEVENTS`.
const GET_EVENTS: u32 = 1;
const _: () = assert!(RECEIVE_BUFFERS.is_power_of_two() && LONG_RECEIVE_BUFFERS.is_power_of_two());

/// What a completion belongs to. Packed into the 64 bits of user data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// A listening socket, by its position among the lane's doors.
    Accept(u32),
    /// Bytes arrived on a connection, or its reading ended.
    Receive(ConnectionId),
    /// A send of a connection ended.
    Send(ConnectionId),
    /// Another lane has put something into a mailbox.
    Wake,
    /// A thread that is no lane has something to say.
    Doorbell,
    /// The clock's tick.
    Tick,
    /// A completion nobody waits for: cancellations, closes.
    Ignore,
}

/// A connection of this lane: its place in the table, and which occupant of that place is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId {
    pub index: u32,
    /// Counts the occupants of the place (24 bits), so that a late completion finds nobody.
    pub generation: u32,
}

/// Bits of a generation; the rest of the upper half is the kind.
pub const GENERATION_MASK: u32 = 0x00FF_FFFF;

impl Token {
    fn pack(self) -> u64 {
        let of = |kind: u64, id: ConnectionId| {
            kind << 56 | u64::from(id.generation & GENERATION_MASK) << 32 | u64::from(id.index)
        };
        match self {
            Self::Ignore => 0,
            Self::Accept(door) => 1 << 56 | u64::from(door),
            Self::Receive(id) => of(2, id),
            Self::Send(id) => of(3, id),
            Self::Wake => 4 << 56,
            Self::Doorbell => 5 << 56,
            Self::Tick => 6 << 56,
        }
    }

    fn unpack(bits: u64) -> Self {
        let id =
            ConnectionId { index: bits as u32, generation: (bits >> 32) as u32 & GENERATION_MASK };
        match bits >> 56 {
            1 => Self::Accept(id.index),
            2 => Self::Receive(id),
            3 => Self::Send(id),
            4 => Self::Wake,
            5 => Self::Doorbell,
            6 => Self::Tick,
            _ => Self::Ignore,
        }
    }
}

/// One completion.
#[derive(Clone, Copy, Debug)]
pub struct Completion {
    pub token: Token,
    /// A count or descriptor, or a negated `errno`.
    pub result: i32,
    /// The receive buffer that holds the bytes, if one was used; give it back with `recycle`.
    pub buffer: Option<u16>,
    /// Whether the multishot request behind it goes on.
    pub more: bool,
}

/// From which buffers a connection's bytes are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Brings {
    /// The lane's `RECEIVE_BUFFERS`.
    Usual,
    /// A command that is long: `LONG_RECEIVE_BUFFERS`.
    Long,
}

impl Brings {
    /// The kernel's number of the group of buffers.
    fn group(self) -> u16 {
        match self {
            Self::Usual => 1,
            Self::Long => 2,
        }
    }
}

/// Memory that the kernel writes received bytes into: a ring of descriptors and the buffers, whose
/// numbers begin with `first`.
struct ReceiveBuffers {
    descriptors: *mut types::BufRingEntry,
    memory: *mut u8,
    tail: u16,
    first: u16,
    count: u16,
}

/// Everything the lane asks of the kernel goes through here.
pub struct Ring {
    kernel: IoUring,
    usual_buffers: ReceiveBuffers,
    long_buffers: ReceiveBuffers,
    tick: Box<types::Timespec>,
    /// Whether the kernel's table of registered files holds the socket of the connection at a place.
    registered: Vec<bool>,
}

impl Ring {
    /// Creates the ring of the calling thread; only this thread may use it (`SINGLE_ISSUER`).
    ///
    /// # Errors
    /// What the kernel answers: `EPERM` where `io_uring` is forbidden, `ENOMEM` for a low memlock limit,
    /// `EINVAL` for a kernel without the features asked for.
    pub fn new() -> io::Result<Self> {
        let kernel = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_submit_all()
            .setup_cqsize(COMPLETIONS_MAX)
            .build(SUBMISSIONS_MAX)?;
        let mut ring = Self {
            kernel,
            usual_buffers: ReceiveBuffers::new(0, RECEIVE_BUFFERS)?,
            long_buffers: ReceiveBuffers::new(RECEIVE_BUFFERS, LONG_RECEIVE_BUFFERS)?,
            tick: Box::new(types::Timespec::new().nsec(TICK_MS as u32 * 1_000_000)),
            registered: Vec::new(),
        };
        ring.register_buffers(Brings::Usual)?;
        ring.register_buffers(Brings::Long)?;
        ring.make_file_table();
        Ok(ring)
    }

    fn register_buffers(&mut self, brings: Brings) -> io::Result<()> {
        let buffers = match brings {
            Brings::Usual => &mut self.usual_buffers,
            Brings::Long => &mut self.long_buffers,
        };
        // SAFETY: the descriptors are page aligned, hold `count` entries, and live until the ring is
        // gone: they are never unmapped.
        unsafe {
            self.kernel.submitter().register_buf_ring_with_flags(
                buffers.descriptors as u64,
                buffers.count,
                brings.group(),
                0,
            )?;
        }
        for buffer in buffers.first..buffers.first + buffers.count {
            buffers.recycle(buffer);
        }
        buffers.publish();
        Ok(())
    }

    /// An empty table of files. Without one (a kernel that refuses) all goes by descriptor.
    fn make_file_table(&mut self) {
        // The kernel allows as many as the process may open.
        let open_max = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let places = open_max.unwrap_or(SOCKETS_MAX).min(SOCKETS_MAX);
        if self.kernel.submitter().register_files_sparse(places as u32).is_ok() {
            self.registered = vec![false; places as usize];
        }
    }

    /// Registers a connection's socket, which saves each send from looking its descriptor up: 2 to 5%
    /// of what a request without a pipeline costs. `forget_socket` before it is closed or given away.
    pub fn register_socket(&mut self, id: ConnectionId, socket: RawFd) {
        if let Some(registered) = self.registered.get_mut(id.index as usize) {
            let update = self.kernel.submitter().register_files_update(id.index, &[socket]);
            *registered = update.is_ok();
        }
    }

    /// Takes a connection's socket out of the table, which keeps it open.
    pub fn forget_socket(&mut self, id: ConnectionId) {
        if let Some(registered) = self.registered.get_mut(id.index as usize)
            && std::mem::take(registered)
        {
            let update = self.kernel.submitter().register_files_update(id.index, &[-1]);
            update.expect("a place of the table can be emptied");
        }
    }

    /// The ring's own descriptor: where other lanes address their `wake_lane`.
    pub fn descriptor(&self) -> RawFd {
        use std::os::fd::AsRawFd;
        self.kernel.as_raw_fd()
    }

    /// Queues a submission; enters the ring first if the queue is full.
    fn push(&mut self, entry: &squeue::Entry) {
        loop {
            // SAFETY: each caller below argues that what its entry points to outlives the request.
            if unsafe { self.kernel.submission().push(entry) }.is_ok() {
                return;
            }
            // The queue is full. EBUSY (completions overflowed) resolves as soon as they are reaped,
            // which submit() itself does not wait for; the entries stay queued meanwhile.
            if let Err(error) = self.kernel.submit() {
                assert!(
                    matches!(error.raw_os_error(), Some(libc::EBUSY | libc::EINTR | libc::EAGAIN)),
                    "io_uring_enter failed: {error}"
                );
            }
        }
    }

    /// Accepts connections on a listening socket until cancelled.
    pub fn accept(&mut self, door: u32, listener: RawFd) {
        let entry = opcode::AcceptMulti::new(types::Fd(listener))
            .flags(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC)
            .build()
            .user_data(Token::Accept(door).pack());
        self.push(&entry);
    }

    /// Receives into the lane's buffers until cancelled, or until they run out.
    pub fn receive(&mut self, id: ConnectionId, socket: RawFd, brings: Brings) {
        let entry = opcode::RecvMulti::new(types::Fd(socket), brings.group())
            .build()
            .user_data(Token::Receive(id).pack());
        self.push(&entry);
    }

    /// Receives into one buffer: what comes next, and no more of it.
    pub fn receive_one(&mut self, id: ConnectionId, socket: RawFd, brings: Brings) {
        let entry = opcode::Recv::new(types::Fd(socket), std::ptr::null_mut(), 0)
            .buf_group(brings.group())
            .build()
            .flags(squeue::Flags::BUFFER_SELECT)
            .user_data(Token::Receive(id).pack());
        self.push(&entry);
    }

    /// Ends a connection's receiving; its last completion comes with `more` unset.
    pub fn cancel_receive(&mut self, id: ConnectionId) {
        self.cancel(Token::Receive(id));
    }

    /// Ends a connection's send that waits.
    pub fn cancel_send(&mut self, id: ConnectionId) {
        self.cancel(Token::Send(id));
    }

    fn cancel(&mut self, what: Token) {
        let entry = opcode::AsyncCancel::new(what.pack()).build().user_data(Token::Ignore.pack());
        self.push(&entry);
    }

    /// Sends the `length` bytes at `bytes`, however long that takes.
    ///
    /// # Safety
    /// They must stay in place and unchanged until the completion of `Token::Send(id)`.
    pub unsafe fn send(
        &mut self,
        id: ConnectionId,
        socket: RawFd,
        bytes: *const u8,
        length: usize,
    ) {
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        let entry = opcode::Send::new(types::Fd(socket), bytes, length)
            .flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL)
            .build()
            .user_data(Token::Send(id).pack());
        self.push(&entry);
    }

    /// Sends what the socket takes at once of the `length` bytes at `bytes`, during the next `enter`.
    /// There is a completion only if that was not all of them: with how many, or why none.
    ///
    /// # Safety
    /// They must stay in place and unchanged until `is_settled` after an `enter`, or the completion.
    pub unsafe fn try_send(
        &mut self,
        id: ConnectionId,
        socket: RawFd,
        bytes: *const u8,
        length: usize,
    ) {
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        let send = if self.registered.get(id.index as usize) == Some(&true) {
            opcode::Send::new(types::Fixed(id.index), bytes, length)
        } else {
            opcode::Send::new(types::Fd(socket), bytes, length)
        };
        let entry = send
            .flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL | libc::MSG_DONTWAIT)
            .build()
            .flags(squeue::Flags::SKIP_SUCCESS)
            .user_data(Token::Send(id).pack());
        self.push(&entry);
    }

    /// After `enter` and `reap`: whether the kernel has taken all that was queued, and all completions
    /// that there are have been reaped. Then every `try_send` without a completion has sent all of its
    /// bytes: with `MSG_DONTWAIT` a send ends while it is submitted.
    pub fn is_settled(&mut self) -> bool {
        let queue = self.kernel.submission();
        queue.is_empty() && !queue.cq_overflow()
    }

    /// Sends the pieces that a message header lists.
    ///
    /// # Safety
    /// The header, its list and the pieces must stay in place until the completion of `Token::Send(id)`.
    pub unsafe fn send_pieces(
        &mut self,
        id: ConnectionId,
        socket: RawFd,
        header: *const libc::msghdr,
    ) {
        let entry = opcode::SendMsg::new(types::Fd(socket), header)
            .flags((libc::MSG_NOSIGNAL | libc::MSG_WAITALL) as u32)
            .build()
            .user_data(Token::Send(id).pack());
        self.push(&entry);
    }

    /// Wakes the lane whose ring has this descriptor.
    pub fn wake_lane(&mut self, ring: RawFd) {
        let entry = opcode::MsgRingData::new(types::Fd(ring), 0, Token::Wake.pack(), None)
            .build()
            .flags(squeue::Flags::SKIP_SUCCESS)
            .user_data(Token::Ignore.pack());
        self.push(&entry);
    }

    /// Reports once when the eventfd is rung; arm it again after each report.
    pub fn listen_doorbell(&mut self, eventfd: RawFd) {
        let entry = opcode::PollAdd::new(types::Fd(eventfd), libc::POLLIN as u32)
            .build()
            .user_data(Token::Doorbell.pack());
        self.push(&entry);
    }

    /// Reports every `TICK_MS` until it completes without `more`.
    pub fn start_ticking(&mut self) {
        let entry = opcode::Timeout::new(&raw const *self.tick)
            .count(0)
            .flags(types::TimeoutFlags::MULTISHOT)
            .build()
            .user_data(Token::Tick.pack());
        self.push(&entry);
    }

    /// Submits what is queued and waits for at least one completion if `wait`; else only fetches
    /// what is due. With `DEFER_TASKRUN` nothing completes outside of this call.
    ///
    /// # Errors
    /// Anything but an interruption or a full completion queue, which are both no failure.
    pub fn enter(&mut self, wait: bool) -> io::Result<()> {
        self.publish_buffers();
        let queued = self.kernel.submission().len() as u32;
        // SAFETY: no argument is passed; the entries queued were each argued for.
        let result = unsafe {
            self.kernel.submitter().enter::<libc::sigset_t>(
                queued,
                u32::from(wait),
                GET_EVENTS,
                None,
            )
        };
        match result {
            Ok(_) => Ok(()),
            Err(error) => match error.raw_os_error() {
                Some(libc::EINTR | libc::EBUSY | libc::EAGAIN | libc::ETIME) => Ok(()),
                _ => Err(error),
            },
        }
    }

    /// Moves all completions that are there into `into`.
    pub fn reap(&mut self, into: &mut Vec<Completion>) {
        for entry in self.kernel.completion() {
            into.push(Completion {
                token: Token::unpack(entry.user_data()),
                result: entry.result(),
                buffer: cqueue::buffer_select(entry.flags()),
                more: cqueue::more(entry.flags()),
            });
        }
    }

    /// The first `length` bytes of a receive buffer that a completion named.
    pub fn received(&self, buffer: u16, length: usize) -> &[u8] {
        assert!(length <= RECEIVE_BUFFER_BYTES);
        let start = if buffer < RECEIVE_BUFFERS {
            self.usual_buffers.start_of(buffer)
        } else {
            self.long_buffers.start_of(buffer)
        };
        // SAFETY: inside the mapping. The kernel writes to a buffer only between `recycle` and the
        // completion that names it, and `recycle` needs `&mut self`, so not while this borrow lives.
        unsafe { std::slice::from_raw_parts(start, length) }
    }

    /// Gives a receive buffer back; the kernel sees it after the next `enter`.
    pub fn recycle(&mut self, buffer: u16) {
        if buffer < RECEIVE_BUFFERS {
            self.usual_buffers.recycle(buffer);
        } else {
            self.long_buffers.recycle(buffer);
        }
    }

    fn publish_buffers(&mut self) {
        self.usual_buffers.publish();
        self.long_buffers.publish();
    }
}

impl ReceiveBuffers {
    /// So many buffers, a power of two.
    fn new(first: u16, count: u16) -> io::Result<Self> {
        let descriptors = map(usize::from(count) * size_of::<types::BufRingEntry>())?;
        let memory = map(usize::from(count) * RECEIVE_BUFFER_BYTES)?;
        Ok(Self { descriptors: descriptors.cast(), memory, tail: 0, first, count })
    }

    fn start_of(&self, buffer: u16) -> *mut u8 {
        let place = buffer - self.first;
        assert!(place < self.count);
        // SAFETY: inside the mapping.
        unsafe { self.memory.add(usize::from(place) * RECEIVE_BUFFER_BYTES) }
    }

    fn recycle(&mut self, buffer: u16) {
        let start = self.start_of(buffer);
        let place = usize::from(self.tail & (self.count - 1));
        // SAFETY: `place` is inside the ring; the entry is ours until the tail passes it.
        let entry = unsafe { &mut *self.descriptors.add(place) };
        entry.set_addr(start as u64);
        entry.set_len(RECEIVE_BUFFER_BYTES as u32);
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
    }

    fn publish(&mut self) {
        fence(Ordering::Release);
        // SAFETY: the tail is an aligned u16 in the first descriptor, shared with the kernel, which
        // reads it atomically.
        unsafe {
            let tail = types::BufRingEntry::tail(self.descriptors).cast_mut();
            AtomicU16::from_ptr(tail).store(self.tail, Ordering::Release);
        }
    }
}

/// Anonymous zeroed pages.
fn map(bytes: usize) -> io::Result<*mut u8> {
    // SAFETY: a fresh private mapping that overlaps nothing.
    let address = unsafe {
        rustix::mm::mmap_anonymous(
            std::ptr::null_mut(),
            bytes,
            rustix::mm::ProtFlags::READ | rustix::mm::ProtFlags::WRITE,
            rustix::mm::MapFlags::PRIVATE,
        )?
    };
    Ok(address.cast())
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    const ID: ConnectionId = ConnectionId { index: 1, generation: 2 };

    /// Enters without waiting; what a `try_send` of these bytes completes with, if with anything.
    fn try_send(ring: &mut Ring, socket: &UnixStream, bytes: &[u8]) -> Option<i32> {
        // SAFETY: the bytes are borrowed until the ring is settled.
        unsafe { ring.try_send(ID, socket.as_raw_fd(), bytes.as_ptr(), bytes.len()) };
        ring.enter(false).expect("the ring works");
        let mut completions = Vec::new();
        ring.reap(&mut completions);
        assert!(ring.is_settled());
        assert!(completions.iter().all(|completion| completion.token == Token::Send(ID)));
        assert!(completions.len() <= 1);
        completions.first().map(|completion| completion.result)
    }

    #[test]
    fn a_tried_send_tells_only_what_it_could_not_send() {
        for registered in [false, true] {
            let mut ring = Ring::new().expect("a ring");
            let (near, far) = UnixStream::pair().expect("two sockets");
            if registered {
                ring.register_socket(ID, near.as_raw_fd());
                assert!(ring.registered[ID.index as usize]);
            }
            try_sends(&mut ring, &near, far);
        }
    }

    #[test]
    fn a_forgotten_socket_closes() {
        let mut ring = Ring::new().expect("a ring");
        let (near, mut far) = UnixStream::pair().expect("two sockets");
        ring.register_socket(ID, near.as_raw_fd());
        ring.forget_socket(ID);
        drop(near);
        assert_eq!(far.read(&mut [0]).expect("its end"), 0);
    }

    fn try_sends(ring: &mut Ring, near: &UnixStream, mut far: UnixStream) {
        assert_eq!(try_send(ring, near, b"all of it"), None);
        let mut got = [0; 9];
        far.read_exact(&mut got).expect("what was sent");
        assert_eq!(&got, b"all of it");

        let much = vec![b'x'; 64 << 20];
        let part = try_send(ring, near, &much).expect("a socket holds less than that");
        assert!(part > 0 && (part as usize) < much.len(), "{part}");
        assert_eq!(try_send(ring, near, &much), Some(-libc::EAGAIN));
        let mut rest = vec![0; part as usize];
        far.read_exact(&mut rest).expect("what was sent");

        drop(far);
        assert_eq!(try_send(ring, near, b"nobody"), Some(-libc::EPIPE));
    }

    #[test]
    fn tokens_survive_packing() {
        let id = ConnectionId { index: u32::MAX, generation: GENERATION_MASK };
        for token in [
            Token::Accept(3),
            Token::Receive(id),
            Token::Send(id),
            Token::Wake,
            Token::Doorbell,
            Token::Tick,
            Token::Ignore,
        ] {
            assert_eq!(Token::unpack(token.pack()), token);
        }
    }
}
