//! The request parser of one connection. Borrows what it can: an argument is a range of the
//! caller's input, except a large one, which is copied into an allocation of its own as it arrives.
//! Never reads a socket, never looks at a byte twice across calls, holds nothing when idle.
//!
//! ```text
//! *2 CR LF  $3 CR LF GET CR LF  $5 CR LF hello CR LF
//! ^Count    ^Length  ^Body      ^Length  ^Body or Blob, BlobEnd
//! ```
//! The protocol: <https://redis.io/docs/latest/develop/reference/protocol-spec/>.

use bytes::Bytes;

use crate::limits::BLOB_BYTES_MIN;
use crate::{Limits, ProtocolError, inline, limits};

/// The longest line of a count or length that is waited for. 20 digits would do.
const COUNT_LINE_BYTES_MAX: u8 = 32;
/// The shortest argument: `$0 CR LF CR LF`.
const ARG_BYTES_MIN: usize = 6;
/// The digits of a number on the quick way.
const SHORT_DIGITS_MAX: usize = 4;

/// Where an argument of a command lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arg {
    /// Bytes of the `input` of the very call that returned the command.
    Range { start: u32, end: u32 },
    /// The n-th blob that this command pushed, counted from 0.
    Blob(u32),
    /// Bytes of the *last* blob that this command pushed. It holds the small arguments of a command
    /// whose blob took several calls to arrive, and unquoted words of an inline command.
    Kept { start: u32, end: u32 },
}

const _: () = assert!(size_of::<Arg>() == 12);

impl Arg {
    #[inline]
    pub(crate) fn range(start: usize, end: usize) -> Self {
        Self::Range { start: start as u32, end: end as u32 }
    }

    #[inline]
    pub(crate) fn kept(start: usize, end: usize) -> Self {
        Self::Kept { start: start as u32, end: end as u32 }
    }

    /// The argument's bytes. `input` begins where the command's call began; `blobs` are those that
    /// this command pushed, and no others.
    #[inline]
    pub fn resolve<'a>(self, input: &'a [u8], blobs: &'a [Bytes]) -> &'a [u8] {
        match self {
            Self::Range { start, end } => &input[start as usize..end as usize],
            Self::Blob(index) => &blobs[index as usize],
            Self::Kept { start, end } => {
                let kept = blobs.last().expect("a command with Kept arguments pushed its blob");
                &kept[start as usize..end as usize]
            }
        }
    }
}

/// What one call of `Parser::parse` found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// One command, of at least one argument, that ends at `input[consumed]`.
    Command { consumed: usize },
    /// The input ends within a command. The caller drops `input[..consumed]` and calls again with
    /// the rest, which is unchanged and has more bytes appended.
    Incomplete { consumed: usize },
    /// No command, but something to pass over: a blank line, `*0`, `*-1`.
    Empty { consumed: usize },
}

/// What the parser waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The first byte of a command.
    Start,
    /// The end of an inline command's line.
    Inline,
    /// Digits after `*`, then CR LF.
    Count,
    /// `$`, digits, CR LF.
    Length,
    /// `number` bytes and CR LF, all of them in the input.
    Body,
    /// Up to `number` bytes, which go to the growing blob.
    Blob,
    /// CR LF after a blob.
    BlobEnd,
}

/// Where the parser stands within a command.
#[derive(Clone, Copy, Debug)]
struct Progress {
    state: State,
    /// The line of a number began with `-`.
    negative: bool,
    /// The CR of a number's line has been seen.
    line_ending: bool,
    /// Bytes seen of a number's line, the leading `*` or `$` included.
    line_bytes: u8,
    /// The next byte to look at, counted from the start of the input.
    position: u32,
    /// Arguments still to come, the present one included.
    remaining: u32,
    /// The number being read, then the length of the argument.
    number: u64,
}

impl Progress {
    const START: Self = Self {
        state: State::Start,
        negative: false,
        line_ending: false,
        line_bytes: 0,
        position: 0,
        remaining: 0,
        number: 0,
    };

    /// Expects the next argument's header.
    fn next_argument(&mut self) {
        self.state = State::Length;
        self.negative = false;
        self.line_ending = false;
        self.line_bytes = 0;
        self.number = 0;
    }
}

/// What is held of a command with a blob that did not arrive in one call.
#[derive(Debug, Default)]
struct Spill {
    /// Small arguments, copied out of inputs that are gone.
    kept: Vec<u8>,
    /// The command's complete blobs.
    blobs: Vec<Bytes>,
    /// The blob that is arriving.
    growing: Vec<u8>,
    /// Bytes of the command in inputs that are gone.
    taken: usize,
}

/// One connection's parser.
#[derive(Debug)]
pub struct Parser {
    progress: Progress,
    /// Arguments of the present command that earlier calls found.
    args: Vec<Arg>,
    spill: Option<Box<Spill>>,
}

const _: () = assert!(size_of::<Parser>() <= 64);

impl Default for Parser {
    fn default() -> Self {
        Self::new()
    }
}

impl Parser {
    pub const fn new() -> Self {
        Self { progress: Progress::START, args: Vec::new(), spill: None }
    }

    /// Whether the next byte begins a command.
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.progress.state == State::Start
    }

    /// Bytes of memory held for an unfinished command, beside the parser itself.
    pub fn pending_bytes(&self) -> usize {
        let spilled = self.spill.as_ref().map_or(0, |spill| {
            size_of::<Spill>()
                + spill.kept.capacity()
                + spill.growing.capacity()
                + spill.blobs.capacity() * size_of::<Bytes>()
                + spill.blobs.iter().map(Bytes::len).sum::<usize>()
        });
        self.args.capacity() * size_of::<Arg>() + spilled
    }

    /// Parses at most one command at the start of `input`. On `Step::Command` its arguments, its
    /// name first, have been pushed to `args` and its blobs to `blobs`; on `Incomplete` and `Empty`
    /// nothing has. On an error either may hold a part of the command.
    #[inline]
    pub fn parse(
        &mut self,
        input: &[u8],
        limits: &Limits,
        args: &mut Vec<Arg>,
        blobs: &mut Vec<Bytes>,
    ) -> Result<Step, ProtocolError> {
        let args_before = args.len();
        let mut progress = self.progress;
        if progress.state == State::Start {
            let window = &input[..input.len().min(limits.command_bytes_max)];
            match window.first() {
                Some(b'*') => {
                    if let Some((count, position)) = short_number(window, 1)
                        && (1..=limits.args_max).contains(&count)
                    {
                        progress.state = State::Length;
                        progress.remaining = count as u32;
                        progress.position = position as u32;
                        args.reserve(count.min(window.len() / ARG_BYTES_MIN));
                        small_arguments(window, limits, &mut progress, args);
                        if progress.remaining == 0 {
                            return Ok(Step::Command { consumed: progress.position as usize });
                        }
                    } else {
                        progress.state = State::Count;
                        progress.line_bytes = 1;
                        progress.position = 1;
                    }
                }
                Some(_) => progress.state = State::Inline,
                None => return Ok(Step::Incomplete { consumed: 0 }),
            }
        }
        self.go_on(input, limits, progress, Found { args, args_before, blobs })
    }

    /// The way of everything but small arguments that are all there.
    #[cold]
    fn go_on(
        &mut self,
        input: &[u8],
        limits: &Limits,
        mut progress: Progress,
        found: Found<'_>,
    ) -> Result<Step, ProtocolError> {
        let Found { args, args_before, blobs } = found;
        let blobs_before = blobs.len();
        let resumed = self.progress.state != State::Start;
        // Whatever happens, the parser is idle unless it suspends below.
        self.progress = Progress::START;
        let mut held = std::mem::take(&mut self.args);
        let mut spill = self.spill.take();
        let taken = spill.as_ref().map_or(0, |spill| spill.taken);
        let window_bytes = input.len().min(limits.command_bytes_max.saturating_sub(taken));
        let mut run = Run {
            input: &input[..window_bytes],
            limits,
            taken,
            growing: spill
                .as_mut()
                .map(|spill| std::mem::take(&mut spill.growing))
                .unwrap_or_default(),
            // Blobs of earlier calls come first.
            blob_offset: spill.as_ref().map_or(0, |spill| spill.blobs.len()),
            blobs: &mut *blobs,
            blobs_before,
        };
        // The arguments of a command that takes many calls are moved once, not once a call.
        let known = if resumed { held.len() } else { 0 };
        let target = if resumed { &mut held } else { &mut *args };
        let outcome = run.advance(&mut progress, target)?;
        let growing = std::mem::take(&mut run.growing);
        match outcome {
            Outcome::Empty => return Ok(Step::Empty { consumed: progress.position as usize }),
            Outcome::Finished => {
                // A hundred thousand arguments change hands without being moved.
                if args.is_empty() {
                    std::mem::swap(args, &mut held);
                } else {
                    args.append(&mut held);
                }
                if let Some(spill) = spill {
                    blobs.splice(blobs_before..blobs_before, spill.blobs);
                    blobs.push(Bytes::from(spill.kept));
                }
                return Ok(Step::Command { consumed: progress.position as usize });
            }
            Outcome::Suspended => {}
        }
        if window_bytes < input.len() {
            return Err(ProtocolError::TooBigCommand);
        }
        if !resumed {
            held.extend(args.drain(args_before..));
        }
        let blobs = blobs.drain(blobs_before..);
        if spill.is_none() && growing.capacity() == 0 && blobs.len() == 0 {
            (self.progress, self.args) = (progress, held);
            return Ok(Step::Incomplete { consumed: 0 });
        }
        // From now on the input no longer holds the beginning of the command.
        let known = if spill.is_some() { known } else { 0 };
        let mut spill = spill.unwrap_or_default();
        spill.keep(input, &mut held[known..]);
        spill.blobs.extend(blobs);
        spill.growing = growing;
        let consumed = progress.position as usize;
        spill.taken += consumed;
        progress.position = 0;
        (self.progress, self.args, self.spill) = (progress, held, Some(spill));
        Ok(Step::Incomplete { consumed })
    }
}

/// Where a call's findings go.
struct Found<'a> {
    args: &'a mut Vec<Arg>,
    args_before: usize,
    blobs: &'a mut Vec<Bytes>,
}

impl Spill {
    /// Copies the arguments that lie in `input` and points them at the copies.
    fn keep(&mut self, input: &[u8], args: &mut [Arg]) {
        for arg in args {
            if let Arg::Range { start, end } = *arg {
                let kept_start = self.kept.len();
                self.kept.extend_from_slice(&input[start as usize..end as usize]);
                *arg = Arg::kept(kept_start, self.kept.len());
            }
        }
    }
}

/// How a call ends.
enum Outcome {
    Finished,
    Empty,
    /// The input is used up.
    Suspended,
}

/// One call of the slow way.
struct Run<'a> {
    input: &'a [u8],
    limits: &'a Limits,
    /// Bytes of the command that are no longer in the input.
    taken: usize,
    growing: Vec<u8>,
    /// The number of this call's first blob within the command.
    blob_offset: usize,
    blobs: &'a mut Vec<Bytes>,
    blobs_before: usize,
}

impl Run<'_> {
    /// Goes on until the command or the input ends.
    fn advance(
        &mut self,
        progress: &mut Progress,
        args: &mut Vec<Arg>,
    ) -> Result<Outcome, ProtocolError> {
        loop {
            let went_on = match progress.state {
                State::Start => unreachable!("a command has begun"),
                State::Inline => return self.inline(progress, args),
                State::Count => match self.count(progress)? {
                    Some(0) => return Ok(Outcome::Empty),
                    Some(_) => true,
                    None => false,
                },
                State::Length => {
                    if progress.line_bytes == 0 {
                        small_arguments(self.input, self.limits, progress, args);
                        if progress.remaining == 0 {
                            return Ok(Outcome::Finished);
                        }
                    }
                    self.length(progress)?
                }
                State::Body => self.body(progress, args)?,
                State::Blob => self.blob(progress)?,
                State::BlobEnd => self.blob_end(progress, args)?,
            };
            if !went_on {
                return Ok(Outcome::Suspended);
            }
            if progress.remaining == 0 {
                return Ok(Outcome::Finished);
            }
        }
    }

    fn inline(
        &mut self,
        progress: &mut Progress,
        args: &mut Vec<Arg>,
    ) -> Result<Outcome, ProtocolError> {
        let unseen = &self.input[progress.position as usize..];
        probe::looked_at(unseen.len());
        let end = unseen.iter().position(|&byte| byte == b'\n');
        let line_end = progress.position as usize + end.unwrap_or(unseen.len());
        if line_end > self.limits.inline_bytes_max {
            return Err(ProtocolError::TooBigInline);
        }
        if end.is_none() {
            progress.position = line_end as u32;
            return Ok(Outcome::Suspended);
        }
        progress.position = line_end as u32 + 1;
        let line = &self.input[..line_end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let count = inline::split(line, self.limits, args, self.blobs)?;
        Ok(if count == 0 { Outcome::Empty } else { Outcome::Finished })
    }

    /// The number of arguments; 0 for what is to be passed over.
    fn count(&self, progress: &mut Progress) -> Result<Option<u32>, ProtocolError> {
        let errors = (ProtocolError::InvalidMultibulkLength, ProtocolError::TooBigMultibulkCount);
        if !self.number(progress, errors)? {
            return Ok(None);
        }
        let count = if progress.negative { 0 } else { progress.number };
        if count > self.limits.args_max as u64 {
            return Err(if self.limits.authenticated || count > limits::ARGS_MAX as u64 {
                ProtocolError::InvalidMultibulkLength
            } else {
                ProtocolError::UnauthenticatedMultibulkLength
            });
        }
        progress.remaining = count as u32;
        progress.next_argument();
        Ok(Some(progress.remaining))
    }

    /// The header of an argument.
    fn length(&mut self, progress: &mut Progress) -> Result<bool, ProtocolError> {
        if progress.line_bytes == 0 {
            match self.input.get(progress.position as usize) {
                Some(b'$') => {
                    probe::looked_at(1);
                    progress.line_bytes = 1;
                    progress.position += 1;
                }
                Some(&other) => return Err(ProtocolError::ExpectedDollar(other)),
                None => return Ok(false),
            }
        }
        let errors = (ProtocolError::InvalidBulkLength, ProtocolError::TooBigBulkCount);
        if !self.number(progress, errors)? {
            return Ok(false);
        }
        let length = progress.number;
        if progress.negative {
            return Err(ProtocolError::InvalidBulkLength);
        }
        if length > self.limits.bulk_bytes_max as u64 {
            return Err(if self.limits.authenticated || length > i64::MAX as u64 {
                ProtocolError::InvalidBulkLength
            } else {
                ProtocolError::UnauthenticatedBulkLength
            });
        }
        let bytes = self.taken as u64 + u64::from(progress.position) + length + 2;
        if bytes > self.limits.command_bytes_max as u64 {
            return Err(ProtocolError::TooBigCommand);
        }
        progress.state = if length < BLOB_BYTES_MIN as u64 { State::Body } else { State::Blob };
        Ok(true)
    }

    /// The rest of a line that holds a number, byte by byte since it may come so. False: the input
    /// ends within it. The errors: no number; no end.
    fn number(
        &self,
        progress: &mut Progress,
        (invalid, too_long): (ProtocolError, ProtocolError),
    ) -> Result<bool, ProtocolError> {
        while let Some(&byte) = self.input.get(progress.position as usize) {
            probe::looked_at(1);
            progress.position += 1;
            progress.line_bytes += 1;
            if progress.line_bytes > COUNT_LINE_BYTES_MAX {
                return Err(too_long);
            }
            let digits = progress.line_bytes - 2 - u8::from(progress.negative);
            match byte {
                b'\n' if progress.line_ending => return Ok(true),
                _ if progress.line_ending => return Err(invalid),
                // As Redis, no leading zeros.
                b'0'..=b'9' if digits == 0 || progress.number > 0 => {
                    let digit = u64::from(byte - b'0');
                    progress.number = progress.number.saturating_mul(10).saturating_add(digit);
                }
                b'-' if progress.line_bytes == 2 => progress.negative = true,
                b'\r' if digits > 0 && !(progress.negative && progress.number == 0) => {
                    progress.line_ending = true;
                }
                _ => return Err(invalid),
            }
        }
        Ok(false)
    }

    /// A small argument.
    fn body(&self, progress: &mut Progress, args: &mut Vec<Arg>) -> Result<bool, ProtocolError> {
        let start = progress.position as usize;
        let end = start + progress.number as usize;
        if !self.line_end(end)? {
            return Ok(false);
        }
        args.push(Arg::range(start, end));
        progress.position = end as u32 + 2;
        progress.remaining -= 1;
        progress.next_argument();
        Ok(true)
    }

    /// CR LF at `position`. False: the input ends before it.
    fn line_end(&self, position: usize) -> Result<bool, ProtocolError> {
        match self.input.get(position..position + 2) {
            Some(b"\r\n") => {
                probe::looked_at(2);
                Ok(true)
            }
            Some(_) => Err(ProtocolError::ExpectedLineEnd),
            None => Ok(false),
        }
    }

    /// What has come of a large argument.
    fn blob(&mut self, progress: &mut Progress) -> Result<bool, ProtocolError> {
        let rest = &self.input[progress.position as usize..];
        let piece = &rest[..rest.len().min(progress.number as usize)];
        let needed = self.growing.len() + piece.len();
        if needed > self.growing.capacity() {
            let length = self.growing.len() + progress.number as usize;
            // Never much more than has come, whatever is announced; doubling keeps the cost linear.
            let room = needed
                .max(self.limits.blob_reserve_bytes)
                .max(self.growing.capacity() * 2)
                .min(length);
            self.growing
                .try_reserve_exact(room - self.growing.len())
                .map_err(|_| ProtocolError::OutOfMemory)?;
        }
        probe::looked_at(piece.len());
        self.growing.extend_from_slice(piece);
        progress.position += piece.len() as u32;
        progress.number -= piece.len() as u64;
        if progress.number > 0 {
            return Ok(false);
        }
        progress.state = State::BlobEnd;
        Ok(true)
    }

    fn blob_end(
        &mut self,
        progress: &mut Progress,
        args: &mut Vec<Arg>,
    ) -> Result<bool, ProtocolError> {
        if !self.line_end(progress.position as usize)? {
            return Ok(false);
        }
        let index = self.blob_offset + self.blobs.len() - self.blobs_before;
        args.push(Arg::Blob(index as u32));
        self.blobs.push(Bytes::from(std::mem::take(&mut self.growing)));
        progress.position += 2;
        progress.remaining -= 1;
        progress.next_argument();
        Ok(true)
    }
}

/// Takes arguments that are small, wholly there and plainly written; stops before any other.
#[inline]
fn small_arguments(input: &[u8], limits: &Limits, progress: &mut Progress, args: &mut Vec<Arg>) {
    let length_max = limits.bulk_bytes_max.min(BLOB_BYTES_MIN - 1);
    let mut position = progress.position as usize;
    let mut remaining = progress.remaining;
    while remaining > 0 {
        if input.get(position) != Some(&b'$') {
            break;
        }
        let Some((length, start)) = short_number(input, position + 1) else { break };
        let end = start + length;
        if length > length_max || input.get(end..end + 2) != Some(b"\r\n") {
            break;
        }
        probe::looked_at(start - position + 2);
        args.push(Arg::range(start, end));
        position = end + 2;
        remaining -= 1;
    }
    progress.position = position as u32;
    progress.remaining = remaining;
}

/// A number of one to four digits with its CR LF, as nearly all are, and the position behind it.
/// `None` says nothing about what is there.
#[inline]
fn short_number(input: &[u8], position: usize) -> Option<(usize, usize)> {
    let line = input.get(position..)?;
    let mut number = 0;
    for (index, &byte) in line.iter().take(SHORT_DIGITS_MAX + 1).enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit < 10 {
            // A leading zero is left to the slow way, which refuses it.
            if index > 0 && number == 0 {
                return None;
            }
            number = number * 10 + usize::from(digit);
        } else if byte == b'\r' && index > 0 && line.get(index + 1) == Some(&b'\n') {
            return Some((number, position + index + 2));
        } else {
            return None;
        }
    }
    None
}

/// Counts the bytes that are looked at, in tests.
#[cfg(not(test))]
mod probe {
    #[inline(always)]
    pub(super) fn looked_at(_bytes: usize) {}
}

#[cfg(test)]
mod probe {
    use std::cell::Cell;

    thread_local! {
        static BYTES: Cell<usize> = const { Cell::new(0) };
    }

    pub(super) fn looked_at(bytes: usize) {
        BYTES.set(BYTES.get() + bytes);
    }

    pub(super) fn take() -> usize {
        BYTES.replace(0)
    }
}

#[cfg(test)]
mod tests;
