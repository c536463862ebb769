//! A `HyperLogLog` as Redis keeps it in a string, byte for byte, so that values move between servers.
//! Knows no store.
//!
//! ```text
//! | "HYLL" | encoding 1 | 0 0 0 | estimate 8, little-endian | registers |
//! encoding 0, dense: 16384 registers of 6 bits, the first in the lowest bits of the first byte
//! encoding 1, sparse, runs of registers: 00llllll             l + 1 zeros
//!                                        01llllll llllllll    l + 1 zeros
//!                                        1vvvvvll             l + 1 times the value v + 1
//! ```
//! The estimate's highest bit says that it is out of date. An element's 64-bit hash chooses a register
//! by its low 14 bits; the register keeps the greatest place of the lowest one among the others.
//! Sources: Flajolet et al. 2007; the estimate is that of Ertl, "New cardinality estimation algorithms
//! for `HyperLogLog` sketches", 2017, algorithm 6.

/// Registers are chosen by so many bits.
const INDEX_BITS: u32 = 14;
const REGISTERS: usize = 1 << INDEX_BITS;
/// Bits of the hash that remain: no register passes one more.
const VALUE_BITS: usize = 64 - INDEX_BITS as usize;
/// Bits of a dense register.
const REGISTER_BITS: usize = 6;

const MAGIC: &[u8; 4] = b"HYLL";
const ENCODING_AT: usize = 4;
const ESTIMATE_AT: usize = 8;
const HEADER_BYTES: usize = 16;
const DENSE: u8 = 0;
const SPARSE: u8 = 1;
const DENSE_BYTES: usize = HEADER_BYTES + REGISTERS * REGISTER_BITS / 8;
/// A sparse one that would grow beyond this becomes dense, unless told otherwise
/// (`hll-sparse-max-bytes`).
pub const SPARSE_BYTES_MAX: usize = 3000;

const HASH_SEED: u64 = 0xadc8_3b19;

/// The longest runs of a byte or two.
const ZERO_RUN_MAX: usize = 64;
const VALUE_RUN_MAX: usize = 4;
/// The greatest value of a sparse register.
const SPARSE_VALUE_MAX: u8 = 32;
/// How many runs, from the one before a change on, may have become mergeable.
const MERGE_SCAN: usize = 5;

/// The bytes are no well-formed sketch. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupted;

/// The 64-bit `MurmurHash2` for 64-bit machines ("64A") of Austin Appleby.
fn hash(bytes: &[u8]) -> u64 {
    const MULTIPLIER: u64 = 0xc6a4_a793_5bd1_e995;
    let mix = |word: u64| {
        let word = word.wrapping_mul(MULTIPLIER);
        (word ^ word >> 47).wrapping_mul(MULTIPLIER)
    };
    let (words, rest) = bytes.as_chunks::<8>();
    let mut state = HASH_SEED ^ (bytes.len() as u64).wrapping_mul(MULTIPLIER);
    for word in words {
        state = (state ^ mix(u64::from_le_bytes(*word))).wrapping_mul(MULTIPLIER);
    }
    if !rest.is_empty() {
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        state = (state ^ u64::from_le_bytes(last)).wrapping_mul(MULTIPLIER);
    }
    state = (state ^ state >> 47).wrapping_mul(MULTIPLIER);
    state ^ state >> 47
}

/// The register that the element chooses, and the value it brings: 1 to 51.
fn place(element: &[u8]) -> (usize, u8) {
    let hash = hash(element);
    let rest = hash >> INDEX_BITS | 1 << VALUE_BITS;
    (hash as usize & (REGISTERS - 1), rest.trailing_zeros() as u8 + 1)
}

/// A run of registers of one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    value: u8,
    registers: usize,
    /// Of its code.
    bytes: usize,
}

impl Run {
    /// The run that the bytes, at least one, begin with.
    fn read(bytes: &[u8]) -> Result<Self, Corrupted> {
        let head = bytes[0];
        let low = usize::from(head & 0x3f);
        Ok(match head >> 6 {
            0 => Self { value: 0, registers: low + 1, bytes: 1 },
            1 => {
                let next = usize::from(*bytes.get(1).ok_or(Corrupted)?);
                Self { value: 0, registers: (low << 8 | next) + 1, bytes: 2 }
            }
            _ => Self {
                value: (head >> 2 & 0x1f) + 1,
                registers: usize::from(head & 3) + 1,
                bytes: 1,
            },
        })
    }

    fn write(value: u8, registers: usize, out: &mut Vec<u8>) {
        match (value, registers) {
            (_, 0) => {}
            (0, 1..=ZERO_RUN_MAX) => out.push(registers as u8 - 1),
            (0, _) => {
                let length = registers - 1;
                out.extend_from_slice(&[0x40 | (length >> 8) as u8, length as u8]);
            }
            (_, _) => out.push(0x80 | (value - 1) << 2 | (registers as u8 - 1)),
        }
    }
}

/// Where a register of dense ones stands: the byte with its lowest bit, and which bit that is.
fn dense_place(index: usize) -> (usize, u32) {
    (index * REGISTER_BITS / 8, (index * REGISTER_BITS % 8) as u32)
}

fn dense_get(registers: &[u8], index: usize) -> u8 {
    let (at, shift) = dense_place(index);
    // The last register ends with the last byte.
    let next = registers.get(at + 1).copied().unwrap_or(0);
    (u16::from_le_bytes([registers[at], next]) >> shift) as u8 & 0x3f
}

fn dense_set(registers: &mut [u8], index: usize, value: u8) {
    let (at, shift) = dense_place(index);
    let next = registers.get(at + 1).copied().unwrap_or(0);
    let pair = u16::from_le_bytes([registers[at], next]);
    let [low, high] = (pair & !(0x3f << shift) | u16::from(value) << shift).to_le_bytes();
    registers[at] = low;
    if let Some(next) = registers.get_mut(at + 1) {
        *next = high;
    }
}

/// Whether these are the bytes of a sketch, as far as the header tells.
fn is_sketch(bytes: &[u8]) -> bool {
    bytes.len() >= HEADER_BYTES
        && bytes.starts_with(MAGIC)
        && match bytes[ENCODING_AT] {
            DENSE => bytes.len() == DENSE_BYTES,
            SPARSE => true,
            _ => false,
        }
}

/// Whether the bytes are a dense sketch that none of the elements would change.
pub fn dense_has_all(bytes: &[u8], elements: &[&[u8]]) -> bool {
    is_sketch(bytes)
        && bytes[ENCODING_AT] == DENSE
        && elements.iter().all(|element| {
            let (index, value) = place(element);
            dense_get(&bytes[HEADER_BYTES..], index) >= value
        })
}

/// A sketch in the form it is stored in, and how many bytes it may have while it is sparse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sketch(Vec<u8>, usize);

impl Sketch {
    /// One that has seen nothing: a single run of zeros.
    pub fn empty() -> Self {
        let mut bytes = vec![0; HEADER_BYTES];
        bytes[..MAGIC.len()].copy_from_slice(MAGIC);
        bytes[ENCODING_AT] = SPARSE;
        Run::write(0, REGISTERS, &mut bytes);
        Self(bytes, SPARSE_BYTES_MAX)
    }

    /// A copy of these bytes; None if they are no sketch.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        is_sketch(bytes).then(|| Self(bytes.to_vec(), SPARSE_BYTES_MAX))
    }

    /// The same with another bound for its sparse form, in bytes.
    pub fn sparse_up_to(self, bytes_max: usize) -> Self {
        Self(self.0, bytes_max)
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn is_dense(&self) -> bool {
        self.0[ENCODING_AT] == DENSE
    }

    fn estimate_word(&self) -> [u8; 8] {
        *self.0[ESTIMATE_AT..].first_chunk().expect("the header is whole")
    }

    /// The remembered estimate, unless it is out of date.
    pub fn known_estimate(&self) -> Option<u64> {
        i64::from_le_bytes(self.estimate_word()).try_into().ok()
    }

    pub fn remember_estimate(&mut self, estimate: u64) {
        self.0[ESTIMATE_AT..HEADER_BYTES].copy_from_slice(&estimate.to_le_bytes());
    }

    /// Marks the estimate as out of date; its other bits stay, as in Redis.
    pub fn forget_estimate(&mut self) {
        self.0[HEADER_BYTES - 1] |= 0x80;
    }

    /// Lets it see an element; whether that changed a register.
    pub fn add(&mut self, element: &[u8]) -> Result<bool, Corrupted> {
        let (index, value) = place(element);
        self.raise_one(index, value)
    }

    /// Raises every register to what it is there at least.
    pub fn raise(&mut self, registers: &Registers) -> Result<(), Corrupted> {
        for (index, &value) in registers.0.iter().enumerate() {
            if value > 0 {
                self.raise_one(index, value)?;
            }
        }
        Ok(())
    }

    /// Raises a register to at least this; whether it was less.
    fn raise_one(&mut self, index: usize, value: u8) -> Result<bool, Corrupted> {
        if self.is_dense() {
            let registers = &mut self.0[HEADER_BYTES..];
            let raises = dense_get(registers, index) < value;
            if raises {
                dense_set(registers, index, value);
            }
            return Ok(raises);
        }
        if value <= SPARSE_VALUE_MAX
            && let Some(raises) = self.raise_sparse(index, value)?
        {
            return Ok(raises);
        }
        self.make_dense()?;
        self.raise_one(index, value)
    }

    /// The same in the sparse form; None: it would become too long.
    fn raise_sparse(&mut self, index: usize, value: u8) -> Result<Option<bool>, Corrupted> {
        let (mut at, mut before, mut first) = (HEADER_BYTES, None, 0);
        let run = loop {
            let run =
                Run::read(self.0.get(at..).filter(|rest| !rest.is_empty()).ok_or(Corrupted)?)?;
            if index < first + run.registers {
                break run;
            }
            (before, at, first) = (Some(at), at + run.bytes, first + run.registers);
        };
        if run.value >= value {
            return Ok(Some(false));
        }
        let mut parts = Vec::with_capacity(5);
        Run::write(run.value, index - first, &mut parts);
        Run::write(value, 1, &mut parts);
        Run::write(run.value, first + run.registers - 1 - index, &mut parts);
        if parts.len() > run.bytes && self.0.len() + parts.len() - run.bytes > self.1 {
            return Ok(None);
        }
        self.0.splice(at..at + run.bytes, parts);
        self.merge_runs(before.unwrap_or(HEADER_BYTES));
        self.forget_estimate();
        Ok(Some(true))
    }

    /// Joins neighbouring runs of the same value, in a few runs from this one on.
    fn merge_runs(&mut self, from: usize) {
        let mut at = from;
        for _ in 0..MERGE_SCAN {
            let Some(Ok(run)) = self.0.get(at..).filter(|rest| !rest.is_empty()).map(Run::read)
            else {
                return;
            };
            let next = self.0.get(at + 1..).filter(|rest| !rest.is_empty()).map(Run::read);
            match next {
                Some(Ok(next))
                    if run.value > 0
                        && next.value == run.value
                        && run.registers + next.registers <= VALUE_RUN_MAX =>
                {
                    let mut joined = Vec::with_capacity(1);
                    Run::write(run.value, run.registers + next.registers, &mut joined);
                    self.0.splice(at..at + 2, joined);
                }
                Some(_) | None => at += run.bytes,
            }
        }
    }

    /// Gives every register its six bits.
    pub fn make_dense(&mut self) -> Result<(), Corrupted> {
        if self.is_dense() {
            return Ok(());
        }
        let mut registers = Registers::default();
        self.merge_into(&mut registers)?;
        let mut bytes = vec![0; DENSE_BYTES];
        bytes[..HEADER_BYTES].copy_from_slice(&self.0[..HEADER_BYTES]);
        bytes[ENCODING_AT] = DENSE;
        for (index, &value) in registers.0.iter().enumerate() {
            if value > 0 {
                dense_set(&mut bytes[HEADER_BYTES..], index, value);
            }
        }
        self.0 = bytes;
        Ok(())
    }

    /// Raises the registers to what they are here at least.
    pub fn merge_into(&self, registers: &mut Registers) -> Result<(), Corrupted> {
        let mut rest = &self.0[HEADER_BYTES..];
        if self.is_dense() {
            for (index, register) in registers.0.iter_mut().enumerate() {
                *register = dense_get(rest, index).max(*register);
            }
            return Ok(());
        }
        let mut first = 0;
        while !rest.is_empty() {
            let run = Run::read(rest)?;
            let covered = registers.0.get_mut(first..first + run.registers).ok_or(Corrupted)?;
            for register in covered {
                *register = run.value.max(*register);
            }
            (first, rest) = (first + run.registers, &rest[run.bytes..]);
        }
        if first == REGISTERS { Ok(()) } else { Err(Corrupted) }
    }
}

/// Registers with a byte each.
pub struct Registers(Box<[u8; REGISTERS]>);

impl Default for Registers {
    fn default() -> Self {
        Self(Box::new([0; REGISTERS]))
    }
}

impl Registers {
    /// How many different elements were seen, about.
    pub fn estimate(&self) -> u64 {
        /// 1 / (2 ln 2), the limit of the correction for many registers.
        const ALPHA: f64 = 0.5 / std::f64::consts::LN_2;
        let mut histogram = [0_u32; 64];
        for &value in self.0.iter() {
            histogram[usize::from(value & 0x3f)] += 1;
        }
        let count = REGISTERS as f64;
        let full = f64::from(histogram[VALUE_BITS + 1]);
        let mut sum = count * tau((count - full) / count);
        for &registers in histogram[1..=VALUE_BITS].iter().rev() {
            sum = (sum + f64::from(registers)) * 0.5;
        }
        sum += count * sigma(f64::from(histogram[0]) / count);
        (ALPHA * count * count / sum).round() as u64
    }
}

/// The share of registers that are zero, as Ertl's series weighs it; infinite for all.
// Comparisons mean equality: the series ends when a term no longer changes the sum.
#[allow(clippy::float_cmp)]
fn sigma(share: f64) -> f64 {
    if share == 1.0 {
        return f64::INFINITY;
    }
    let (mut x, mut y, mut z) = (share, 1.0, share);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

/// The share of registers that are not full, likewise.
#[allow(clippy::float_cmp)] // As above.
fn tau(share: f64) -> f64 {
    if share == 0.0 || share == 1.0 {
        return 0.0;
    }
    let (mut x, mut y, mut z) = (share, 1.0, 1.0 - share);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dense_registers_stand_side_by_side() {
        let mut random = fastrand::Rng::with_seed(3);
        let mut bytes = vec![0; REGISTERS * REGISTER_BITS / 8];
        let mut model = vec![0; REGISTERS];
        for _ in 0..50_000 {
            let (index, value) = (random.usize(..REGISTERS), random.u8(..64));
            dense_set(&mut bytes, index, value);
            model[index] = value;
        }
        for (index, value) in model.into_iter().enumerate() {
            assert_eq!(dense_get(&bytes, index), value, "{index}");
        }
    }

    #[test]
    fn sparse_is_what_dense_is() {
        let mut random = fastrand::Rng::with_seed(4);
        for _ in 0..200 {
            let mut sparse = Sketch::empty();
            let mut dense = Sketch::empty();
            dense.make_dense().unwrap();
            for _ in 0..random.usize(..600) {
                let element = random.u16(..5000).to_string();
                let changed = sparse.add(element.as_bytes()).unwrap();
                assert_eq!(changed, dense.add(element.as_bytes()).unwrap());
            }
            assert!(sparse.bytes().len() <= SPARSE_BYTES_MAX && !sparse.is_dense());
            sparse.make_dense().unwrap();
            assert_eq!(sparse.bytes()[HEADER_BYTES..], dense.bytes()[HEADER_BYTES..]);
        }
    }

    #[test]
    fn estimates_are_near() {
        let mut sketch = Sketch::empty();
        let mut seen = 0_u32;
        for target in [0_u32, 1, 10, 100, 1_000, 10_000, 100_000, 1_000_000] {
            while seen < target {
                sketch.add(&seen.to_le_bytes()).unwrap();
                seen += 1;
            }
            let mut registers = Registers::default();
            sketch.merge_into(&mut registers).unwrap();
            let off = (registers.estimate() as f64 - f64::from(target)).abs();
            assert!(off <= f64::from(target) * 0.025, "{target}: off by {off}");
        }
        assert!(sketch.is_dense());
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let mut random = fastrand::Rng::with_seed(6);
        let mut refused = 0;
        for _ in 0..3_000 {
            let mut sketch = Sketch::empty();
            for _ in 0..random.u8(..60) {
                sketch.add(&random.u32(..).to_le_bytes()).unwrap();
            }
            let mut bytes = sketch.bytes().to_vec();
            for _ in 0..random.u8(1..4) {
                let at = random.usize(HEADER_BYTES..bytes.len());
                match random.u8(..3) {
                    0 => bytes[at] = random.u8(..),
                    1 => bytes.truncate(at),
                    _ => bytes.insert(at, random.u8(..)),
                }
                if bytes.len() == HEADER_BYTES {
                    break;
                }
            }
            let mut sketch = Sketch::of(&bytes).expect("the header is whole");
            let whole = sketch.merge_into(&mut Registers::default()).is_ok();
            refused += u32::from(!whole);
            for _ in 0..20 {
                let added = sketch.add(&random.u32(..).to_le_bytes());
                assert!(!whole || added.is_ok());
            }
        }
        assert!(refused > 500, "{refused}");
        assert!(Sketch::of(b"HYLL").is_none());
        assert!(Sketch::of(b"HYLL\x02\0\0\0\0\0\0\0\0\0\0\0").is_none());
        assert!(Sketch::of(b"HYLL\0\0\0\0\0\0\0\0\0\0\0\0").is_none());
    }
}
