//! Keys that somebody made collide under `MetroHash`, through the front door: with its seed, which should
//! not be known, and by what no seed prevents.

mod support;

use ringlane_base::{HashSeed, KeyHash};
use support::{Client, Running, encode};

/// The multipliers of `MetroHash64`, which takes a key in blocks of four words, one for each.
const FACTORS: [u64; 4] = [0xD6D0_18F5, 0xA2AA_033B, 0x6299_2FC1, 0x30BC_5B29];
/// By how much a word of the state is rotated once a word of the key is in it.
const TURN: u32 = 29;
/// All keys are of one slot: nothing else keeps them apart.
const TAG: &[u8; 8] = b"{evil}..";

type Block = [u64; 4];

/// Keys that are written before their answers are read.
const KEYS_AT_ONCE: usize = 5000;

/// The number that undoes a multiplication by an odd one, modulo 2^64.
fn inverse(factor: u64) -> u64 {
    // Newton's method: each round doubles the bits that are right, of which there are three at first.
    (0..5)
        .fold(factor, |guess, _| guess.wrapping_mul(2u64.wrapping_sub(factor.wrapping_mul(guess))))
}

/// The state after a block.
fn after(state: Block, block: Block) -> Block {
    let mut next = state;
    for word in 0..4 {
        let other = if word < 2 { state[word + 2] } else { next[word - 2] };
        let sum = state[word].wrapping_add(block[word].wrapping_mul(FACTORS[word]));
        next[word] = sum.rotate_right(TURN).wrapping_add(other);
    }
    next
}

/// The block that leads from one state to another.
fn block_between(from: Block, to: Block) -> Block {
    std::array::from_fn(|word| {
        let other = if word < 2 { from[word + 2] } else { to[word - 2] };
        let sum = to[word].wrapping_sub(other).rotate_left(TURN);
        sum.wrapping_sub(from[word]).wrapping_mul(inverse(FACTORS[word]))
    })
}

fn bytes_of(blocks: &[Block]) -> Vec<u8> {
    blocks.iter().flatten().flat_map(|word| word.to_le_bytes()).collect()
}

/// Key number `number` of those that have one state, and so one hash, after two blocks.
fn key_for_seed(seed: HashSeed, number: u64) -> Vec<u8> {
    let start = [seed.0.wrapping_add(FACTORS[2]).wrapping_mul(FACTORS[0]); 4];
    let first = [u64::from_le_bytes(*TAG), number, 0, 0];
    bytes_of(&[first, block_between(after(start, first), [1, 2, 3, 4])])
}

/// Two blocks in three forms. The top bits of two words of the first block go through its additions
/// whatever the state is; if they meet in the third word they cancel there, and the second block cancels
/// what is left in the first word, with one sign or the other. So two of the forms lead to one state, if they
/// meet: for every second seed, and for every seed where the two sums are equal but for that bit.
fn forms(first: Block) -> [[Block; 2]; 3] {
    const TOP: u64 = 1 << 63;
    let flipped = [first[0] ^ TOP, first[1], first[2] ^ TOP, first[3]];
    let left = (TOP >> TURN).wrapping_mul(inverse(FACTORS[0]));
    [[first, [0; 4]], [flipped, [left, 0, 0, 0]], [flipped, [left.wrapping_neg(), 0, 0, 0]]]
}

/// Key number `number` of those that collide under every seed: each digit to the base of three chooses a
/// form of two blocks.
fn key_for_any_seed(mut number: usize, digits: usize) -> Vec<u8> {
    let tag = u64::from_le_bytes(*TAG);
    // The state begins with four equal words: these sums differ by the top bit.
    let sum = tag.wrapping_mul(FACTORS[0]) ^ 1 << 63;
    let mut first = [tag, 0, sum.wrapping_mul(inverse(FACTORS[2])), 0];
    let mut blocks = Vec::new();
    for _ in 0..digits {
        blocks.extend(forms(first)[number % 3]);
        number /= 3;
        first = [0; 4];
    }
    bytes_of(&blocks)
}

/// Sets the keys, asks for some and for their number, while another client is served.
fn store_and_find(server: &Running, count: usize, key: impl Fn(usize) -> Vec<u8>) {
    let (mut client, mut other) = (server.client(), server.client());
    let ask = |client: &mut Client, numbers: &[usize], tail: &[&[u8]], reply: &str| {
        let name: &[u8] = if tail.is_empty() { b"GET" } else { b"SET" };
        let requests = numbers.iter().flat_map(|&number| {
            let key = key(number);
            encode(&[&[name, &key], tail].concat())
        });
        client.send(&requests.collect::<Vec<u8>>());
        for _ in numbers {
            assert_eq!(client.reply(), reply);
        }
    };
    let all: Vec<usize> = (0..count).collect();
    for numbers in all.chunks(KEYS_AT_ONCE) {
        ask(&mut client, numbers, &[b"v"], "+OK\r\n");
        assert_eq!(other.say("SET good value"), "+OK\r\n");
    }
    let some: Vec<usize> = (0..count).step_by(97).collect();
    for numbers in some.chunks(KEYS_AT_ONCE) {
        ask(&mut client, numbers, &[], "$1\r\nv\r\n");
    }
    assert_eq!(client.say("DBSIZE"), format!(":{}\r\n", count + 1));
    assert_eq!(client.say("FLUSHALL"), "+OK\r\n");
}

#[test]
fn a_million_keys_that_collide_under_a_seed_that_is_known() {
    const KEYS: usize = 1_000_000;
    let seed = HashSeed(0x5EED);
    let key = |number: usize| key_for_seed(seed, number as u64);
    for number in 0..1000 {
        assert_eq!(KeyHash::of(seed, &key(number)), KeyHash::of(seed, &key(0)));
    }
    store_and_find(&Running::with_hash_seed(2, seed), KEYS, key);
}

#[test]
fn keys_that_collide_whatever_the_seed() {
    const DIGITS: usize = 10;
    const KEYS: usize = 3usize.pow(DIGITS as u32);
    for seed in 0..8 {
        let hashes: std::collections::HashSet<u64> = (0..KEYS)
            .map(|it| KeyHash::of(HashSeed(seed), &key_for_any_seed(it, DIGITS)).0)
            .collect();
        assert!(hashes.len() <= KEYS / 3 * 2, "{} of {KEYS} under {seed}", hashes.len());
    }
    store_and_find(&Running::with(2, &[]), KEYS, |number| key_for_any_seed(number, DIGITS));
}
