//! The head of the packed blocks of hashes and sets: which kind of block it is and how many
//! elements it has. An empty block has no bytes at all and is of the first kind.
//!
//! head: | kind 2 bits | count 14 bits |, the high byte first

use super::PACKED_BYTES_MAX;

/// Bytes of the head, where the elements begin.
pub const HEAD_BYTES: usize = 2;

const COUNT_BITS: u32 = 14;
const COUNT_MASK: u16 = (1 << COUNT_BITS) - 1;

// An element takes a byte at least.
const _: () = assert!(PACKED_BYTES_MAX <= COUNT_MASK as usize);

fn head(block: &[u8]) -> u16 {
    block.first_chunk().map_or(0, |head| u16::from_be_bytes(*head))
}

/// Which of the type's kinds of block this is.
#[inline]
pub fn kind(block: &[u8]) -> u8 {
    (head(block) >> COUNT_BITS) as u8
}

/// How many elements it has.
#[inline]
pub fn count(block: &[u8]) -> usize {
    usize::from(head(block) & COUNT_MASK)
}

/// Writes the head, before which an empty block gets its place.
pub fn set_head(block: &mut Vec<u8>, kind: u8, count: usize) {
    debug_assert!(kind < 4 && count <= usize::from(COUNT_MASK));
    if block.len() < HEAD_BYTES {
        block.resize(HEAD_BYTES, 0);
    }
    let head = u16::from(kind) << COUNT_BITS | count as u16;
    block[..HEAD_BYTES].copy_from_slice(&head.to_be_bytes());
}

/// What stands behind the head.
#[inline]
pub fn elements(block: &[u8]) -> &[u8] {
    block.get(HEAD_BYTES..).unwrap_or_default()
}

/// Puts what `write` appends in the place of these bytes of the block.
pub fn replace(
    block: &mut Vec<u8>,
    range: std::ops::Range<usize>,
    write: impl FnOnce(&mut Vec<u8>),
) {
    block.drain(range.clone());
    let end = block.len();
    write(block);
    let added = block.len() - end;
    block[range.start..].rotate_right(added);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_comes_back() {
        let mut block = Vec::new();
        assert_eq!((kind(&block), count(&block), elements(&block)), (0, 0, &b""[..]));
        for (of, many) in [(0, 0), (1, 300), (3, PACKED_BYTES_MAX)] {
            set_head(&mut block, of, many);
            assert_eq!((kind(&block), count(&block), block.len()), (of, many, HEAD_BYTES));
        }
    }

    #[test]
    fn bytes_are_replaced_by_more_or_fewer() {
        for (range, by, result) in [
            (2..4, &b"xyz"[..], &b"abxyzef"[..]),
            (0..0, b"x", b"xabcdef"),
            (6..6, b"xy", b"abcdefxy"),
            (1..6, b"", b"a"),
        ] {
            let mut block = b"abcdef".to_vec();
            replace(&mut block, range, |out| out.extend_from_slice(by));
            assert_eq!(block, result);
        }
    }
}
