//! Bytes on their way to a client: written replies, with large values by reference between them.

use bytes::Bytes;

/// Bytes of a long reply that travel as one piece: what a slow reader has not taken is counted by pieces.
pub const PIECE_BYTES: usize = 64 << 10;

/// Encoded replies. A large value is not copied in: it stands beside the bytes, at its offset.
#[derive(Debug, Default)]
pub struct ReplyBuffer {
    /// Everything but the large values.
    pub bytes: Vec<u8>,
    /// Large values and where in `bytes` each one belongs, in ascending order.
    blobs: Vec<(usize, Bytes)>,
    blob_bytes: usize,
}

/// A position in a `ReplyBuffer`: what was written before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    bytes: usize,
    blobs: usize,
}

/// A stretch of a `ReplyBuffer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    pub from: Mark,
    pub to: Mark,
}

impl Mark {
    /// How many of `ReplyBuffer::bytes` were written before it.
    pub fn bytes_before(self) -> usize {
        self.bytes
    }

    /// The position so many bytes later; no large value stands between.
    #[must_use]
    pub fn after(self, bytes: usize) -> Self {
        Self { bytes: self.bytes + bytes, ..self }
    }
}

impl ReplyBuffer {
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.blobs.is_empty()
    }

    /// All bytes to send, large values included.
    pub fn len(&self) -> usize {
        self.bytes.len() + self.blob_bytes
    }

    /// Bytes of the large values, which are shared.
    #[inline]
    pub fn blob_bytes(&self) -> usize {
        self.blob_bytes
    }

    /// Length of the longest of the large values; 0 without one. Looks at each.
    pub fn longest_blob(&self) -> usize {
        self.blobs.iter().map(|(_, blob)| blob.len()).max().unwrap_or(0)
    }

    /// A large value at the end; its header must have been written to `bytes` before.
    pub fn push_blob(&mut self, blob: Bytes) {
        self.blob_bytes += blob.len();
        self.blobs.push((self.bytes.len(), blob));
    }

    #[inline]
    pub fn mark(&self) -> Mark {
        Mark { bytes: self.bytes.len(), blobs: self.blobs.len() }
    }

    /// All of it.
    pub fn whole(&self) -> Stretch {
        Stretch { from: Mark { bytes: 0, blobs: 0 }, to: self.mark() }
    }

    /// Takes back everything written since `mark`.
    pub fn truncate(&mut self, mark: Mark) {
        self.bytes.truncate(mark.bytes);
        let kept = mark.blobs.min(self.blobs.len());
        for (_, blob) in self.blobs.drain(kept..) {
            self.blob_bytes -= blob.len();
        }
    }

    /// Appends a stretch of another buffer; large values are shared.
    pub fn append(&mut self, other: &Self, stretch: Stretch) {
        let base = self.bytes.len();
        self.bytes.extend_from_slice(&other.bytes[stretch.from.bytes..stretch.to.bytes]);
        for (offset, blob) in &other.blobs[stretch.from.blobs..stretch.to.blobs] {
            self.blob_bytes += blob.len();
            self.blobs.push((base + offset - stretch.from.bytes, blob.clone()));
        }
    }

    /// Appends all of another buffer and empties it.
    pub fn append_all(&mut self, other: &mut Self) {
        let base = self.bytes.len();
        self.bytes.extend_from_slice(&other.bytes);
        for (offset, blob) in other.blobs.drain(..) {
            self.blobs.push((base + offset, blob));
        }
        self.blob_bytes += other.blob_bytes;
        other.clear();
    }

    /// Makes all of it pieces that are shared, not copied, when they are appended elsewhere; none is
    /// longer than `bytes_max` but a large value.
    pub fn cut_into_pieces(&mut self, bytes_max: usize) {
        if self.bytes.len() <= bytes_max {
            return;
        }
        let written = Bytes::from(std::mem::take(&mut self.bytes));
        let mut pieces = Vec::new();
        let mut from = 0;
        let end = written.len();
        let values = std::mem::take(&mut self.blobs).into_iter().map(|(at, blob)| (at, Some(blob)));
        for (to, value) in values.chain([(end, None)]) {
            while from < to {
                let piece_end = to.min(from + bytes_max);
                pieces.push((0, written.slice(from..piece_end)));
                from = piece_end;
            }
            pieces.extend(value.map(|value| (0, value)));
        }
        self.blobs = pieces;
        self.blob_bytes += end;
    }

    /// Makes what was written since the last large value a piece that is shared, not copied, when it is
    /// appended elsewhere; not before it is `bytes_min` long.
    pub fn share_end(&mut self, bytes_min: usize) {
        let from = self.blobs.last().map_or(0, |(at, _)| *at);
        if self.bytes.len() - from >= bytes_min {
            let piece = self.bytes.split_off(from);
            self.push_blob(Bytes::from(piece));
        }
    }

    /// The bytes of a stretch, without its large values.
    pub fn plain(&self, stretch: Stretch) -> &[u8] {
        &self.bytes[stretch.from.bytes..stretch.to.bytes]
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.blobs.clear();
        self.blob_bytes = 0;
    }

    pub fn has_blobs(&self) -> bool {
        !self.blobs.is_empty()
    }

    /// The pieces to send, in order, from `skip` bytes on; at most `pieces_max` of them, and of
    /// `bytes_max` together.
    pub fn pieces(
        &self,
        skip: usize,
        pieces_max: usize,
        bytes_max: usize,
        pieces: &mut Vec<libc::iovec>,
    ) {
        pieces.clear();
        let (mut skip, mut room) = (skip, bytes_max);
        let mut from = 0;
        let mut add = |piece: &[u8], pieces: &mut Vec<libc::iovec>| {
            if skip >= piece.len() {
                skip -= piece.len();
                return;
            }
            let piece = &piece[std::mem::take(&mut skip)..];
            let piece = &piece[..piece.len().min(room)];
            if piece.is_empty() {
                return;
            }
            room -= piece.len();
            pieces.push(libc::iovec {
                iov_base: piece.as_ptr().cast_mut().cast(),
                iov_len: piece.len(),
            });
        };
        for (offset, blob) in &self.blobs {
            if pieces.len() + 2 > pieces_max {
                return;
            }
            add(&self.bytes[from..*offset], pieces);
            add(blob, pieces);
            from = *offset;
        }
        add(&self.bytes[from..], pieces);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(buffer: &ReplyBuffer, skip: usize) -> Vec<u8> {
        let mut pieces = Vec::new();
        buffer.pieces(skip, 1024, usize::MAX, &mut pieces);
        let mut all = Vec::new();
        for piece in pieces {
            // SAFETY: the pieces point into `buffer`, which is borrowed for longer.
            let bytes =
                unsafe { std::slice::from_raw_parts(piece.iov_base.cast::<u8>(), piece.iov_len) };
            all.extend_from_slice(bytes);
        }
        all
    }

    #[test]
    fn the_longest_large_value_is_told() {
        let mut buffer = ReplyBuffer::default();
        buffer.bytes.extend_from_slice(b"+OK");
        assert_eq!(buffer.longest_blob(), 0);
        buffer.push_blob(Bytes::from(vec![0; 300]));
        buffer.push_blob(Bytes::from(vec![0; 200]));
        assert_eq!((buffer.longest_blob(), buffer.len()), (300, 503));
    }

    #[test]
    fn pieces_say_the_same_as_the_whole() {
        for bytes_max in [1, 2, 3, 100] {
            let mut buffer = ReplyBuffer::default();
            buffer.bytes.extend_from_slice(b"abcde");
            buffer.push_blob(Bytes::from_static(b"FGH"));
            buffer.push_blob(Bytes::from_static(b"I"));
            buffer.bytes.extend_from_slice(b"jk");
            let before = flat(&buffer, 0);
            buffer.cut_into_pieces(bytes_max);
            assert_eq!(flat(&buffer, 0), before);
            assert_eq!(buffer.len(), 11);
            assert_eq!(buffer.bytes.is_empty(), bytes_max < 100);
            assert!(buffer.longest_blob() <= bytes_max.max(3));
        }
    }

    #[test]
    fn what_is_shared_while_it_is_written_says_the_same() {
        let (mut plain, mut shared) = (ReplyBuffer::default(), ReplyBuffer::default());
        for word in ["ab", "c", "defgh", "i", "jk"] {
            for buffer in [&mut plain, &mut shared] {
                buffer.bytes.extend_from_slice(word.as_bytes());
            }
            shared.share_end(3);
        }
        assert_eq!(flat(&shared, 0), flat(&plain, 0));
        assert_eq!((shared.len(), shared.blob_bytes(), shared.blobs.len()), (11, 11, 3));
        let mut other = ReplyBuffer::default();
        let whole = shared.whole();
        other.append(&shared, Stretch { from: whole.from.after(0), to: whole.to });
        assert_eq!(flat(&other, 2), b"cdefghijk");
        assert!(other.bytes.is_empty());
    }

    #[test]
    fn large_values_keep_their_place() {
        let mut buffer = ReplyBuffer::default();
        buffer.bytes.extend_from_slice(b"ab");
        buffer.push_blob(Bytes::from_static(b"CDE"));
        buffer.bytes.extend_from_slice(b"fg");
        let middle = buffer.mark();
        buffer.push_blob(Bytes::from_static(b"HI"));
        buffer.bytes.extend_from_slice(b"j");
        assert_eq!(buffer.len(), 10);
        for (skip, bytes_max, expected) in [(0, 3, 3), (2, 2, 2), (1, 100, 9), (9, 1, 1)] {
            let mut pieces = Vec::new();
            buffer.pieces(skip, 1024, bytes_max, &mut pieces);
            let sum: usize = pieces.iter().map(|piece| piece.iov_len).sum();
            assert_eq!(sum, expected, "from {skip}, at most {bytes_max}");
        }
        for skip in 0..10 {
            assert_eq!(flat(&buffer, skip), &b"abCDEfgHIj"[skip..], "skip {skip}");
        }
        let mut other = ReplyBuffer::default();
        other.bytes.extend_from_slice(b"x");
        other.append(&buffer, Stretch { from: middle, to: buffer.mark() });
        assert_eq!(flat(&other, 0), b"xHIj");
        buffer.truncate(middle);
        assert_eq!(flat(&buffer, 0), b"abCDEfg");
        other.append_all(&mut buffer);
        assert_eq!(flat(&other, 0), b"xHIjabCDEfg");
        assert!(buffer.is_empty());
    }
}
