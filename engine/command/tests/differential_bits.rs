//! Bitmaps and `HyperLogLog`s beside a real redis-server: random commands on short strings, the same answers and the
//! same strings left. Runs where `redis-server` (7.0 or later) is installed.
//! A failure prints the seed; `RINGLANE_SEED=…` runs that one again.

mod support;

use support::redis::{Server, seeds};
use support::{Lane, show};

const KEYS: [&str; 4] = ["a", "b", "c", "none"];

fn pick<'a>(random: &mut fastrand::Rng, words: &[&'a str]) -> &'a str {
    words[random.usize(..words.len())]
}

fn place(random: &mut fastrand::Rng) -> String {
    match random.u8(..12) {
        0 => pick(random, &["x", "", "1.5", "9223372036854775807", "-9223372036854775808"]).into(),
        1..4 => random.i16(-300..300).to_string(),
        _ => random.i8(-30..30).to_string(),
    }
}

fn field(random: &mut fastrand::Rng, words: &mut Vec<String>) {
    let action = pick(random, &["GET", "set", "INCRBY", "INCRBY", "OVERFLOW", "foo"]);
    words.push(action.into());
    if action == "OVERFLOW" {
        words.push(pick(random, &["wrap", "SAT", "Fail", "sat", "fail", "none"]).into());
        return;
    }
    words.push(match random.u8(..40) {
        0 => pick(random, &["u64", "i65", "i0", "u0", "x8", "8", "", "u", "i-1", "I8"]).into(),
        1..20 => format!("i{}", random.u8(1..=64)),
        _ => format!("u{}", random.u8(1..=63)),
    });
    let hash = if random.bool() { "#" } else { "" };
    words.push(match random.u8(..40) {
        0 => pick(random, &["-1", "#-1", "x", "#", "4294967296", "#9223372036854775807"]).into(),
        _ => format!("{hash}{}", random.u8(..20)),
    });
    if action != "GET" {
        words.push(match random.u8(..10) {
            0 => pick(random, &["x", "9223372036854775807", "-9223372036854775808"]).into(),
            1..5 => (random.i64(..) >> random.u8(..64)).to_string(),
            _ => random.i16(-300..300).to_string(),
        });
    }
}

fn command(random: &mut fastrand::Rng) -> Vec<String> {
    let key = pick(random, &KEYS[..3]).to_owned();
    let mut words: Vec<String>;
    match random.u8(..20) {
        0 => {
            let text: String = (0..random.u8(..20)).map(|_| char::from(random.u8(..128))).collect();
            words = vec!["SET".into(), key, text];
        }
        1 => words = vec!["SET".into(), key, random.i32(..).to_string()],
        2 => words = vec!["DEL".into(), key],
        3..7 => {
            let bit = pick(random, &["0", "1", "1", "1", "2", "x", "-1"]);
            let offset = match random.u8(..20) {
                0 => pick(random, &["-1", "4294967296", "x"]).to_owned(),
                _ => random.u16(..400).to_string(),
            };
            words = vec!["SETBIT".into(), key, offset, bit.into()];
        }
        7 => words = vec!["GETBIT".into(), key, place(random)],
        8..11 => {
            words = vec!["BITCOUNT".into(), key];
            // A start alone is refused before Valkey 8.
            words.extend((0..2 * random.u8(..2)).map(|_| place(random)));
            if random.bool() {
                words.push(pick(random, &["bit", "BYTE", "x"]).into());
            }
        }
        11..14 => {
            words =
                vec!["BITPOS".into(), key, pick(random, &["0", "1", "0", "1", "2", "x"]).into()];
            words.extend((0..random.u8(..3)).map(|_| place(random)));
            if random.bool() {
                words.push(pick(random, &["bit", "BYTE", "x"]).into());
            }
        }
        14..16 => {
            let operation = pick(random, &["and", "OR", "Xor", "not", "foo"]);
            words = vec!["BITOP".into(), operation.into(), key];
            words.extend((0..random.u8(1..4)).map(|_| pick(random, &KEYS).to_owned()));
        }
        _ => {
            words = vec![pick(random, &["BITFIELD", "BITFIELD", "BITFIELD_RO"]).into(), key];
            for _ in 0..random.u8(..4) {
                field(random, &mut words);
            }
        }
    }
    words
}

/// Redis looks for the key first, and answers as for an empty string; from 7.2 on it refuses
/// malformed arguments whatever the key.
fn refused_from_7_2(words: &[String], ours: &str) -> bool {
    matches!(&words[0][..], "BITCOUNT" | "BITPOS") && ours.starts_with("-ERR")
}

/// A number far below the least of a signed field saturates to the greatest in Redis: a subtraction
/// overflows there.
fn saturates_the_wrong_way(words: &[String]) -> bool {
    let far_below = |word: &String| word.parse::<i64>().is_ok_and(|number| number < -(1 << 61));
    words.iter().any(|word| word.eq_ignore_ascii_case("sat")) && words.iter().any(far_below)
}

#[test]
fn bitmaps_are_those_of_redis() {
    let Some(mut server) = Server::start() else { return };
    for seed in seeds() {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut lane = Lane::default();
        server.run(&[b"FLUSHALL"]);
        for step in 0..5_000 {
            let words = command(&mut random);
            if saturates_the_wrong_way(&words) {
                continue;
            }
            let args: Vec<&[u8]> = words.iter().map(String::as_bytes).collect();
            let (ours, theirs) = (show(&lane.run(&args)), show(&server.run(&args)));
            let case = format!("seed {seed}, step {step}: {words:?}");
            assert!(
                ours == theirs || refused_from_7_2(&words, &ours),
                "{case}: {ours} but {theirs}"
            );
            for key in KEYS {
                let get: [&[u8]; 2] = [b"GET", key.as_bytes()];
                assert_eq!(show(&lane.run(&get)), show(&server.run(&get)), "{case}");
            }
        }
    }
}

#[test]
fn sketches_are_those_of_redis_byte_by_byte() {
    let Some(mut server) = Server::start() else { return };
    for seed in seeds() {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut lane = Lane::default();
        server.run(&[b"FLUSHALL"]);
        let mut dense = 0;
        for step in 0..600 {
            let mut words: Vec<String> = Vec::new();
            let keys = |words: &mut Vec<String>, random: &mut fastrand::Rng, most: u8| {
                words.extend((0..random.u8(1..=most)).map(|_| pick(random, &KEYS).to_owned()));
            };
            match random.u8(..40) {
                0 => {
                    words.push("DEL".into());
                    keys(&mut words, &mut random, 1);
                }
                1 => words = vec!["SET".into(), "none".into(), "HYLL".into()],
                2..5 => {
                    words.push("PFMERGE".into());
                    keys(&mut words, &mut random, 3);
                }
                5..10 => {
                    words.push("PFCOUNT".into());
                    keys(&mut words, &mut random, 3);
                }
                _ => {
                    words = vec!["PFADD".into(), pick(&mut random, &KEYS[..3]).into()];
                    let most = [1, 3, 30, 300][random.usize(..4)];
                    let element = || random.u32(..20_000).to_string();
                    words.extend(std::iter::repeat_with(element).take(most));
                }
            }
            let args: Vec<&[u8]> = words.iter().map(String::as_bytes).collect();
            let case = format!("seed {seed}, step {step}: {words:?}");
            assert_eq!(show(&lane.run(&args)), show(&server.run(&args)), "{case}");
            for key in KEYS {
                let get: [&[u8]; 2] = [b"GET", key.as_bytes()];
                let (ours, theirs) = (lane.run(&get), server.run(&get));
                assert!(ours == theirs, "{case}: {} but {}", show(&ours), show(&theirs));
                dense += usize::from(ours.len() > 12_304);
            }
        }
        assert!(dense > 100, "both forms are met: {dense}");
    }
}
