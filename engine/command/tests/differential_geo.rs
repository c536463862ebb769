//! Geographic indices beside a real redis-server: the same scores, distances, digits, members in the
//! same order, refusals. Runs where `redis-server` (7.0 or later) is installed.
//! A failure prints the seed; `RINGLANE_SEED=…` runs that one again.

mod support;

use support::redis::{Server, seeds};
use support::{Lane, show};

fn pick<'a>(random: &mut fastrand::Rng, words: &[&'a str]) -> &'a str {
    words[random.usize(..words.len())]
}

/// Longitude and latitude: anywhere, within a town, or at the edges of the map.
fn place(random: &mut fastrand::Rng) -> [String; 2] {
    let (longitude, latitude) = match random.u8(..20) {
        0 => {
            let edges = ["180", "-180", "179.9999999", "-179.99999", "0", "181", "x", "inf"];
            let poles = ["85.05112878", "-85.05112878", "85.05", "-85", "0", "85.1", "", "nan"];
            return [pick(random, &edges).into(), pick(random, &poles).into()];
        }
        1..8 => (random.f64() * 360.0 - 180.0, random.f64() * 170.0 - 85.0),
        8..10 => (random.f64() * 360.0 - 180.0, 60.0 + random.f64() * 25.0),
        10..12 => (179.0 + random.f64(), random.f64() * 10.0),
        _ => (13.0 + random.f64() * 0.5, 52.0 + random.f64() * 0.5),
    };
    [longitude.to_string(), latitude.to_string()]
}

fn member(random: &mut fastrand::Rng) -> String {
    match random.u8(..20) {
        0 => "nobody".into(),
        _ => format!("m{}", random.u16(..800)),
    }
}

fn distance(random: &mut fastrand::Rng) -> String {
    match random.u8(..40) {
        0 => pick(random, &["x", "-1", "0", "1e10", "inf", ""]).into(),
        _ => (10f64.powf(random.f64() * 6.0) * random.f64()).to_string(),
    }
}

fn unit(random: &mut fastrand::Rng) -> String {
    match random.u8(..40) {
        0 => "yd".into(),
        _ => pick(random, &["m", "m", "KM", "ft", "mi"]).into(),
    }
}

fn options(random: &mut fastrand::Rng, words: &mut Vec<String>) {
    for (option, chance) in
        [("WITHDIST", 2), ("withhash", 2), ("WITHCOORD", 2), ("ASC", 3), ("desc", 3), ("bogus", 60)]
    {
        if random.u8(..chance) == 0 {
            words.push(option.into());
        }
    }
    if random.u8(..4) == 0 {
        words.push("COUNT".into());
        words.push(pick(random, &["1", "2", "5", "20", "0", "-1", "x"]).into());
    }
    if random.u8(..8) == 0 {
        words.push("ANY".into());
    }
}

fn search(random: &mut fastrand::Rng, stores: bool) -> Vec<String> {
    let mut words: Vec<String> = if stores {
        vec!["GEOSEARCHSTORE".into(), "to".into(), "k".into()]
    } else {
        vec!["geosearch".into(), pick(random, &["k", "k", "k", "k", "k", "none"]).into()]
    };
    for _ in 0..[1, 1, 1, 1, 1, 1, 0, 2][random.usize(..8)] {
        if random.bool() {
            words.extend(["FROMMEMBER".into(), member(random)]);
        } else {
            words.push("fromlonlat".into());
            words.extend(place(random));
        }
    }
    for _ in 0..[1, 1, 1, 1, 1, 1, 0, 2][random.usize(..8)] {
        if random.bool() {
            words.extend(["byradius".into(), distance(random), unit(random)]);
        } else {
            words.extend(["BYBOX".into(), distance(random), distance(random), unit(random)]);
        }
    }
    let from = words.len();
    options(random, &mut words);
    if stores && random.bool() {
        words.truncate(from);
        words.push("STOREDIST".into());
    } else if stores && random.u8(..4) > 0 {
        words.truncate(from);
    }
    words
}

fn radius(random: &mut fastrand::Rng) -> Vec<String> {
    let read_only = random.bool();
    let suffix = if read_only { "_RO" } else { "" };
    let key: String = pick(random, &["k", "k", "k", "k", "k", "none"]).into();
    let mut words: Vec<String> = if random.bool() {
        let [longitude, latitude] = place(random);
        vec![format!("GEORADIUS{suffix}"), key, longitude, latitude]
    } else {
        vec![format!("georadiusbymember{suffix}"), key, member(random)]
    };
    words.extend([distance(random), unit(random)]);
    let stores = random.u8(..4) == 0;
    if !stores || random.u8(..8) == 0 {
        options(random, &mut words);
    }
    if stores {
        words.extend([pick(random, &["STORE", "storedist"]).into(), "to".into()]);
    }
    words
}

fn command(random: &mut fastrand::Rng) -> Vec<String> {
    match random.u8(..40) {
        0..16 => {
            let mut words: Vec<String> = vec!["GEOADD".into(), "k".into()];
            for (option, chance) in [("NX", 10), ("xx", 10), ("CH", 3)] {
                if random.u8(..chance) == 0 {
                    words.push(option.into());
                }
            }
            for _ in 0..random.u8(1..8) {
                words.extend(place(random));
                words.push(member(random));
            }
            if random.u8(..20) == 0 {
                words.pop();
            }
            words
        }
        16..18 => vec!["GEOPOS".into(), "k".into(), member(random), member(random)],
        18..20 => vec!["GEOHASH".into(), "k".into(), member(random), member(random)],
        20..23 => {
            let mut words = vec!["GEODIST".into(), "k".into(), member(random), member(random)];
            words.extend((0..random.u8(..2)).map(|_| unit(random)));
            words
        }
        23..31 => search(random, false),
        31..33 => search(random, true),
        33..39 => radius(random),
        _ => vec!["ZREM".into(), "k".into(), member(random), member(random)],
    }
}

/// Scores of distances by their value: Redis before 7.2 spells them with 17 digits.
fn by_value(answer: &[u8]) -> String {
    let tell = |word: &str| {
        let text = word.trim_matches(['[', ']', '"']);
        text.parse::<f64>().map_or_else(|_| word.to_owned(), |number| format!("{number}"))
    };
    show(answer).split(' ').map(tell).collect::<Vec<_>>().join(" ")
}

/// Whether the search's answer is sorted.
fn is_sorted(words: &[String]) -> bool {
    let sorts = |word: &String| ["ASC", "desc", "COUNT"].contains(&&word[..]);
    words.iter().any(sorts)
}

fn in_any_order(answer: &str) -> Vec<&str> {
    let mut words: Vec<_> = answer.split(' ').map(|word| word.trim_matches(['[', ']'])).collect();
    words.sort_unstable();
    words
}

#[test]
fn geographic_indices_are_those_of_redis() {
    let Some(mut server) = Server::start() else { return };
    for seed in seeds() {
        let mut found = 0;
        let mut random = fastrand::Rng::with_seed(seed);
        let mut lane = Lane::default();
        server.run(&[b"FLUSHALL"]);
        for step in 0..3_000 {
            let words = command(&mut random);
            let args: Vec<&[u8]> = words.iter().map(String::as_bytes).collect();
            let (ours, theirs) = (show(&lane.run(&args)), show(&server.run(&args)));
            let case = format!("seed {seed}, step {step}: {words:?}");
            // Redis's sort leaves open who of two at one place comes first.
            let same =
                ours == theirs || is_sorted(&words) && in_any_order(&ours) == in_any_order(&theirs);
            assert!(same, "{case}: {ours} but {theirs}");
            found += usize::from(words[0].contains("earch") && ours.len() > 10);
            let stored: [&[u8]; 5] = [b"ZRANGE", b"to", b"0", b"-1", b"WITHSCORES"];
            if words.iter().any(|word| word == "to") {
                let (ours, theirs) = (lane.run(&stored), server.run(&stored));
                assert_eq!(by_value(&ours), by_value(&theirs), "{case}");
            }
        }
        let all: [&[u8]; 5] = [b"ZRANGE", b"k", b"0", b"-1", b"WITHSCORES"];
        assert_eq!(by_value(&lane.run(&all)), by_value(&server.run(&all)), "seed {seed}");
        assert!(found > 100, "seed {seed}: searches find something: {found}");
    }
}
