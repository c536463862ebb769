//! Keys and values of a measurement, all computed from the key's number, so that any reply can be
//! checked without remembering what was written.
//!
//! key:   | "key:" | number in decimal, padded with zeros to the key size |
//! value: | 8 letters that are a function of the number | letters of a fixed text |

/// The shortest key: `key:` and one digit would do, but ten million numbers need eight.
pub const KEY_BYTES_MIN: usize = 8;
/// memcached's limit, and far below everyone else's.
pub const KEY_BYTES_MAX: usize = 250;
/// Values above this are not what a cache's load looks like; bounds the generator's buffers.
pub const VALUE_BYTES_MAX: usize = 16 << 20;

const PREFIX: &[u8] = b"key:";
const TAG_BYTES: usize = 8;

/// An inclusive range of value sizes in bytes; a key's size within it is a function of its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ValueSizes {
    pub min: usize,
    pub max: usize,
}

impl std::str::FromStr for ValueSizes {
    type Err = String;

    /// `32` or `32-1024`.
    fn from_str(text: &str) -> Result<Self, String> {
        let parse =
            |part: &str| part.trim().parse::<usize>().map_err(|error| format!("{part:?}: {error}"));
        let (min, max) = match text.split_once('-') {
            Some((min, max)) => (parse(min)?, parse(max)?),
            None => (parse(text)?, parse(text)?),
        };
        if min == 0 || min > max || max > VALUE_BYTES_MAX {
            return Err(format!("sizes run from 1 to {VALUE_BYTES_MAX}, smallest first"));
        }
        Ok(Self { min, max })
    }
}

/// The shape of every key and value of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Shape {
    pub keys: u64,
    pub key_bytes: usize,
    pub value_bytes: ValueSizes,
}

impl Shape {
    /// Refuses key sizes that cannot hold the largest number.
    pub fn check(&self) -> Result<(), String> {
        let digits = self.keys.max(1).ilog10() as usize + 1;
        let needed = (PREFIX.len() + digits).max(KEY_BYTES_MIN);
        if self.keys == 0 {
            return Err("at least one key is needed".into());
        }
        if !(needed..=KEY_BYTES_MAX).contains(&self.key_bytes) {
            return Err(format!(
                "a key of {} keys takes {needed} to {KEY_BYTES_MAX} bytes, not {}",
                self.keys, self.key_bytes
            ));
        }
        Ok(())
    }

    /// Appends the key of this number.
    #[inline]
    pub fn push_key(&self, number: u64, out: &mut Vec<u8>) {
        let start = out.len();
        out.resize(start + self.key_bytes, b'0');
        let key = &mut out[start..];
        key[..PREFIX.len()].copy_from_slice(PREFIX);
        let mut rest = number;
        for digit in key[PREFIX.len()..].iter_mut().rev() {
            if rest == 0 {
                break;
            }
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
    }

    /// The value size of this key, in bytes.
    #[inline]
    pub fn value_size(&self, number: u64) -> usize {
        let ValueSizes { min, max } = self.value_bytes;
        if min == max { min } else { min + (mix(number) >> 32) as usize % (max - min + 1) }
    }

    /// The largest value of the run, in bytes.
    pub fn value_size_max(&self) -> usize {
        self.value_bytes.max
    }
}

/// Writes and checks values.
pub struct Values {
    text: Vec<u8>,
}

impl Values {
    pub fn new(shape: &Shape) -> Self {
        let mut state = 1u64;
        let text = (0..shape.value_size_max().max(TAG_BYTES))
            .map(|_| {
                state = mix(state);
                b'a' + (state % 26) as u8
            })
            .collect();
        Self { text }
    }

    /// Appends a value of `size` bytes for this key.
    #[inline]
    pub fn push(&self, number: u64, size: usize, out: &mut Vec<u8>) {
        let tag = tag(number);
        let tagged = size.min(TAG_BYTES);
        out.extend_from_slice(&tag[..tagged]);
        out.extend_from_slice(&self.text[tagged..size]);
    }

    /// Whether `value` is what this key of this shape must hold: its size and its tag.
    #[inline]
    pub fn is_right(&self, shape: &Shape, number: u64, value: &[u8]) -> bool {
        let tagged = value.len().min(TAG_BYTES);
        value.len() == shape.value_size(number) && value[..tagged] == tag(number)[..tagged]
    }
}

/// Eight letters that say which key a value belongs to. Letters, so that no server stores it as an
/// integer.
#[inline]
fn tag(number: u64) -> [u8; TAG_BYTES] {
    // Each nibble of 32 bits of the mix becomes a letter: spread the nibbles over bytes, add 'a'.
    let mixed = mix(number) & 0xffff_ffff;
    let mut spread = mixed;
    spread = (spread | (spread << 16)) & 0x0000_ffff_0000_ffff;
    spread = (spread | (spread << 8)) & 0x00ff_00ff_00ff_00ff;
    spread = (spread | (spread << 4)) & 0x0f0f_0f0f_0f0f_0f0f;
    (spread + 0x6161_6161_6161_6161).to_le_bytes()
}

/// The finaliser of `SplitMix64`: every bit of the input moves every bit of the output.
#[inline]
pub fn mix(number: u64) -> u64 {
    let mut x = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(min: usize, max: usize) -> Shape {
        Shape { keys: 1000, key_bytes: 16, value_bytes: ValueSizes { min, max } }
    }

    #[test]
    fn keys_are_padded_numbers() {
        for (number, expected) in
            [(0, "key:000000000000"), (7, "key:000000000007"), (123_456, "key:000000123456")]
        {
            let mut key = Vec::new();
            shape(8, 8).push_key(number, &mut key);
            assert_eq!(String::from_utf8(key).unwrap(), expected);
        }
    }

    #[test]
    fn a_value_is_right_for_its_own_key_alone() {
        let shape = shape(1, 40);
        let values = Values::new(&shape);
        let mut wrong = 0;
        for number in 0..1000 {
            let mut value = Vec::new();
            values.push(number, shape.value_size(number), &mut value);
            assert!((1..=40).contains(&value.len()));
            assert!(values.is_right(&shape, number, &value), "{number}");
            wrong += u32::from(!values.is_right(&shape, number + 1, &value));
            value.push(b'x');
            assert!(!values.is_right(&shape, number, &value));
        }
        assert!(wrong > 950, "tags hardly differ: {wrong}");
    }

    #[test]
    fn sizes_parse() {
        assert_eq!("32".parse(), Ok(ValueSizes { min: 32, max: 32 }));
        assert_eq!("8-512".parse(), Ok(ValueSizes { min: 8, max: 512 }));
        for bad in ["", "0", "9-8", "x", "1-99999999999"] {
            assert!(bad.parse::<ValueSizes>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_key_must_hold_its_number() {
        assert!(
            Shape { keys: 100_000, key_bytes: 8, value_bytes: ValueSizes { min: 1, max: 1 } }
                .check()
                .is_err()
        );
        assert!(
            Shape { keys: 1000, key_bytes: 8, value_bytes: ValueSizes { min: 1, max: 1 } }
                .check()
                .is_ok()
        );
    }
}
