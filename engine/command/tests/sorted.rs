//! Sorted sets and geographic indices through the table: answers, edge cases, error texts, notices,
//! waiting; and against a plain model, in sets that are packed and in large ones.

#![allow(clippy::unwrap_used)] // Here a panic is a failed test.

mod support;

use std::collections::{BTreeMap, HashMap, HashSet};

use ringlane_command::Wait;
use support::{Lane, NOW, check_said, elements, run_on, script, wait_of, walk};

#[test]
fn add_and_look_up() {
    script(
        r#"
        ZADD z 1 a 2 b 3 c => :3
        ZADD z 5 a 2 b => :0
        ZADD z CH 6 a 2 b 7 d => :2
        ZCARD z => :4
        ZSCORE z a => "6"
        ZSCORE z none => nil
        ZSCORE none a => nil
        ZMSCORE z a none b => ["6" nil "2"]
        ZMSCORE none a b => [nil nil]
        ZADD z NX 9 a 9 e => :1
        ZADD z XX CH 10 a 10 f => :1
        ZADD z XX GT CH 9 a 11 b => :1
        ZADD z LT CH 1 b 99 a 8 new => :2
        ZADD z INCR 5 a => "15"
        ZADD z NX INCR 5 a => nil
        ZADD z XX INCR 5 none => nil
        ZADD z GT INCR -5 a => nil
        ZADD z LT INCR -5 a => "10"
        ZADD none XX 1 a => :0
        EXISTS none => :0
        ZADD z NX XX 1 a => -ERR XX and NX options at the same time are not compatible
        ZADD z NX GT 1 a => -ERR GT, LT, and/or NX options at the same time are not compatible
        ZADD z LT GT 1 a => -ERR GT, LT, and/or NX options at the same time are not compatible
        ZADD z INCR 1 a 2 b => -ERR INCR option supports a single increment-element pair
        ZADD z 1 a 2 => -ERR syntax error
        ZADD z NX CH => -ERR syntax error
        ZADD z 1 a x b => -ERR value is not a valid float
        ZADD z nan a => -ERR value is not a valid float
        ZADD z inf i => :1
        ZINCRBY z -inf i => -ERR resulting score is not a number (NaN)
        ZINCRBY z 1.5 a => "11.5"
        ZINCRBY z x a => -ERR value is not a valid float
        ZINCRBY fresh 2 m => "2"
        ZREM z a none i => :2
        ZREM none a => :0
        ZREM fresh m => :1
        EXISTS fresh => :0
        TYPE z => +zset
        SET s x => +OK
        ZADD s 1 a => -WRONGTYPE Operation against a key holding the wrong kind of value
        ZADD s XX 1 a => -WRONGTYPE Operation against a key holding the wrong kind of value
        ZSCORE s a => -WRONGTYPE Operation against a key holding the wrong kind of value
        ZRANGE s 0 1 => -WRONGTYPE Operation against a key holding the wrong kind of value
        ZPOPMIN s => -WRONGTYPE Operation against a key holding the wrong kind of value
        ZUNION 1 s => -WRONGTYPE Operation against a key holding the wrong kind of value
        GET z => -WRONGTYPE Operation against a key holding the wrong kind of value
        "#,
    );
}

#[test]
fn ranks_and_counts() {
    script(
        r#"
        ZADD z 1 a 2 b 2 c 3 d => :4
        ZRANK z c => :2
        ZREVRANK z c => :1
        ZRANK z c WITHSCORE => [:2 "2"]
        ZREVRANK z d withscore => [:0 "3"]
        ZRANK z none => nil
        ZRANK z none WITHSCORE => nil
        ZRANK z c SCORE => -ERR syntax error
        ZRANK z c WITHSCORE x => -ERR wrong number of arguments for 'zrank' command
        ZCOUNT z 2 3 => :3
        ZCOUNT z (2 3 => :1
        ZCOUNT z -inf +inf => :4
        ZCOUNT z 3 2 => :0
        ZCOUNT z x 2 => -ERR min or max is not a float
        ZCOUNT none 1 2 => :0
        ZADD l 0 a 0 b 0 c => :3
        ZLEXCOUNT l - + => :3
        ZLEXCOUNT l [b + => :2
        ZLEXCOUNT l (b + => :1
        ZLEXCOUNT l - (b => :1
        ZLEXCOUNT l + - => :0
        ZLEXCOUNT l b c => -ERR min or max not valid string range item
        "#,
    );
}

#[test]
fn ranges() {
    script(
        r#"
        ZADD z 1 a 2 b 3 c 4 d => :4
        ZRANGE z 0 -1 => ["a" "b" "c" "d"]
        ZRANGE z -2 -1 WITHSCORES => ["c" "3" "d" "4"]
        ZRANGE z 3 9 => ["d"]
        ZRANGE z 4 9 => []
        ZRANGE z 0 1 REV => ["d" "c"]
        ZREVRANGE z 1 2 => ["c" "b"]
        ZRANGE z (1 3 BYSCORE => ["b" "c"]
        ZRANGE z 3 (1 BYSCORE REV LIMIT 1 5 => ["b"]
        ZRANGEBYSCORE z -inf +inf WITHSCORES LIMIT 1 1 => ["b" "2"]
        ZRANGEBYSCORE z -inf +inf LIMIT 1 -1 => ["b" "c" "d"]
        ZRANGEBYSCORE z -inf +inf LIMIT -1 2 => []
        ZREVRANGEBYSCORE z +inf 2 => ["d" "c" "b"]
        ZRANGE z - + BYSCORE BYLEX => -ERR syntax error
        ZRANGE z 0 -1 REV REV => -ERR syntax error
        ZRANGE z 0 -1 LIMIT 0 1 => -ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX
        ZRANGE z - + BYLEX WITHSCORES => -ERR syntax error, WITHSCORES not supported in combination with BYLEX
        ZRANGE z 0 x => -ERR value is not an integer or out of range
        ZRANGE z 0 1 BOGUS => -ERR syntax error
        ZREVRANGE z 0 1 REV => -ERR syntax error
        ZRANGE none 0 1 => []
        ZADD l 0 a 0 b 0 c 0 d => :4
        ZRANGEBYLEX l [b (d => ["b" "c"]
        ZREVRANGEBYLEX l + (b => ["d" "c"]
        ZRANGE l [c - BYLEX REV LIMIT 0 2 => ["c" "b"]
        ZRANGESTORE to z 1 2 => :2
        ZRANGE to 0 -1 WITHSCORES => ["b" "2" "c" "3"]
        SET to text => +OK
        ZRANGESTORE to z (3 9 BYSCORE => :1
        TYPE to => +zset
        ZRANGESTORE to none 0 -1 => :0
        EXISTS to => :0
        ZRANGESTORE z z 0 1 REV => :2
        ZRANGE z 0 -1 => ["c" "d"]
        ZREMRANGEBYRANK l 0 0 => :1
        ZREMRANGEBYLEX l (b (d => :1
        ZREMRANGEBYSCORE l 0 0 => :2
        EXISTS l => :0
        ZREMRANGEBYSCORE l 0 x => -ERR min or max is not a float
        ZREMRANGEBYRANK none 0 1 => :0
        "#,
    );
}

#[test]
fn algebra() {
    script(
        r#"
        ZADD a 1 x 2 y => :2
        ZADD b 10 y 20 z => :2
        ZUNION 2 a b WITHSCORES => ["x" "1" "y" "12" "z" "20"]
        ZUNION 2 a b WEIGHTS 2 -1 WITHSCORES => ["z" "-20" "y" "-6" "x" "2"]
        ZUNION 2 a b AGGREGATE MAX WITHSCORES => ["x" "1" "y" "10" "z" "20"]
        ZINTER 2 a b AGGREGATE MIN WITHSCORES => ["y" "2"]
        ZUNION 2 a b AGGREGATE count WITHSCORES => ["x" "1" "z" "1" "y" "2"]
        ZUNION 2 a b WEIGHTS 2 -inf AGGREGATE COUNT WITHSCORES => ["y" "-inf" "z" "-inf" "x" "2"]
        ZINTER 2 a b AGGREGATE COUNT WEIGHTS 2 3 WITHSCORES => ["y" "5"]
        ZINTER 2 a b AGGREGATE AVG => -ERR syntax error
        ZINTER 3 a b none => []
        ZDIFF 2 a b WITHSCORES => ["x" "1"]
        ZINTERCARD 2 a a => :2
        ZINTERCARD 2 a a LIMIT 1 => :1
        ZINTERCARD 2 a a LIMIT -1 => -ERR LIMIT can't be negative
        ZUNIONSTORE to 2 a b => :3
        ZINTERSTORE a 2 a b => :1
        ZRANGE a 0 -1 WITHSCORES => ["y" "12"]
        ZDIFFSTORE to 2 a a => :0
        EXISTS to => :0
        SADD s x y => :2
        ZUNION 2 a s WITHSCORES => ["x" "1" "y" "13"]
        ZADD i inf m => :1
        ZADD j -inf m => :1
        ZUNION 2 i j WITHSCORES => ["m" "0"]
        ZUNION 1 i WEIGHTS 0 WITHSCORES => ["m" "0"]
        ZUNION 0 a => -ERR at least 1 input key is needed for 'zunion' command
        ZDIFFSTORE to 0 a => -ERR at least 1 input key is needed for 'zdiffstore' command
        ZUNION x a => -ERR value is not an integer or out of range
        ZUNION 3 a b => -ERR syntax error
        ZUNION 2 a b WEIGHTS 1 => -ERR syntax error
        ZUNION 2 a b WEIGHTS 1 x => -ERR weight value is not a float
        ZUNIONSTORE to 1 a WITHSCORES => -ERR syntax error
        ZDIFF 1 a WEIGHTS 1 => -ERR syntax error
        "#,
    );
}

#[test]
fn taking_from_the_ends() {
    script(
        r#"
        ZADD z 1 a 2 b 3 c 4 d => :4
        ZPOPMIN z => ["a" "1"]
        ZPOPMAX z 2 => ["d" "4" "c" "3"]
        ZPOPMIN z 0 => []
        ZPOPMIN z -1 => -ERR value is out of range, must be positive
        ZPOPMIN z 1 2 => -ERR syntax error
        ZPOPMIN z 9 => ["b" "2"]
        EXISTS z => :0
        ZPOPMAX z => []
        ZADD z 1 a 2 b => :2
        ZMPOP 2 none z MAX => ["z" [["b" "2"]]]
        ZMPOP 1 none MIN COUNT 3 => nil
        ZMPOP 0 z MIN => -ERR numkeys should be greater than 0
        ZMPOP 1 z MIN COUNT 0 => -ERR count should be greater than 0
        ZMPOP 1 z MIDDLE => -ERR syntax error
        BZPOPMIN none z 1 => ["z" "a" "1"]
        BZPOPMIN none z 1 => nil
        BZPOPMAX z x => -ERR timeout is not a float or out of range
        BZMPOP -1 1 z MIN => -ERR timeout is negative
        "#,
    );
}

#[test]
fn what_waits_says_until_when() {
    let mut lane = Lane::default();
    let until = |until| Some(Wait { until, ..Wait::default() });
    for (line, wait) in [
        ("BZPOPMIN a b 2", until(Some(NOW.plus(2000)))),
        ("BZPOPMAX a 0", until(None)),
        ("BZMPOP 0.5 2 a b MIN", until(Some(NOW.plus(500)))),
    ] {
        assert_eq!(wait_of(&mut lane, line), wait, "{line}");
    }
    run_on(&mut lane, "ZADD b 1 m => :1\nBZPOPMIN a b 0 => [\"b\" \"m\" \"1\"]");
}

#[test]
fn places() {
    script(
        r#"
        GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania => :2
        GEOADD g NX 1 1 Palermo => :0
        GEOADD g XX CH 13.361389 38.2 Palermo 1 1 none => :1
        GEOADD g 13.361389 38.115556 Palermo => :0
        GEODIST g Palermo Catania => "166274.1516"
        GEODIST g Palermo Catania km => "166.2742"
        GEODIST g Palermo none => nil
        GEODIST g Palermo Catania yd => -ERR unsupported unit provided. please use M, KM, FT, MI
        GEOHASH g Catania none => ["sqdtr74hyu0" nil]
        GEOPOS g Catania none => [["15.08726745843887329" "37.50266842333162032"] nil]
        GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 200 km ASC => ["Catania" "Palermo"]
        GEOSEARCH g FROMLONLAT 15 37 BYBOX 400 400 km DESC COUNT 1 => ["Palermo"]
        GEOSEARCH g FROMMEMBER none BYRADIUS 1 m => -ERR could not decode requested zset member
        GEOSEARCH g FROMMEMBER Catania BYRADIUS -1 m => -ERR radius cannot be negative
        GEOSEARCH g FROMMEMBER Catania BYRADIUS 1 m ANY => -ERR the ANY argument requires COUNT argument
        GEOSEARCH g FROMMEMBER Catania ASC DESC ASC => -ERR exactly one of BYRADIUS and BYBOX can be specified for GEOSEARCH
        GEOSEARCH g BYRADIUS 1 m ASC ASC => -ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for GEOSEARCH
        GEOSEARCH none FROMMEMBER x BYRADIUS 1 m => []
        GEORADIUS g 15 37 200 km STORE to => :2
        ZCARD to => :2
        GEORADIUS_RO g 15 37 200 km STORE to => -ERR syntax error
        GEOSEARCHSTORE to g FROMLONLAT 15 37 BYRADIUS 1 m => :0
        EXISTS to => :0
        GEOADD g 181 1 x => -ERR invalid longitude,latitude pair 181.000000,1.000000
        GEOADD g x 1 x => -ERR value is not a valid float
        GEOADD g NX XX 1 1 x => -ERR syntax error
        SET s x => +OK
        GEOADD s 1 1 x => -WRONGTYPE Operation against a key holding the wrong kind of value
        "#,
    );
}

/// The distances are Valkey's, but for less than a millimetre of rounding in places.
#[test]
fn places_within_a_polygon() {
    script(
        r#"
        GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania 2.35 48.85 Paris => :3
        GEOADD g 12.758489 38.788135 edge1 17.24151 38.788135 edge2 => :2
        GEOSEARCH g BYPOLYGON 4 12 37 16 37 16 39 12 39 ASC WITHDIST => [["Palermo" "56987.4933"] ["Catania" "111411.0839"] ["edge1" "138085.5878"]]
        GEOSEARCH g bypolygon 4 12 37 16 37 16 38 12 39 DESC => ["edge1" "Catania" "Palermo"]
        GEOSEARCH g BYPOLYGON 4 12 37 16 37 16 39 12 39 COUNT 1 => ["Palermo"]
        GEOSEARCH g BYPOLYGON 4 0 0 1 0 1 1 0 1 => []
        GEOSEARCH g BYPOLYGON 3 12 37 16 37 16 39 BYPOLYGON 4 0 40 5 40 5 50 0 50 => ["Paris"]
        GEOSEARCHSTORE d g BYPOLYGON 4 12 37 16 37 16 39 12 39 STOREDIST => :3
        ZRANGE d 0 0 => ["Palermo"]
        GEOSEARCH none BYPOLYGON 3 12 37 16 37 16 39 => []
        GEOSEARCH g BYPOLYGON 2 12 37 16 37 => -ERR GEOSEARCH BYPOLYGON must have at least 3 vertices
        GEOSEARCH g BYPOLYGON 5 12 37 16 37 16 39 => -ERR GEOSEARCH BYPOLYGON must have at least 3 vertices
        GEOSEARCH g BYPOLYGON -1 12 37 16 37 16 39 => -ERR GEOSEARCH BYPOLYGON must have at least 3 vertices
        GEOSEARCH g BYPOLYGON x 12 37 16 37 16 39 => -ERR invalid number of vertices
        GEOSEARCH g BYPOLYGON 3 12 37 16 x 16 39 => -ERR value is not a valid float
        GEOSEARCH g BYPOLYGON 3 12 37 16 99 16 39 => -ERR invalid longitude,latitude pair 16.000000,99.000000
        GEOSEARCH g FROMLONLAT 1 1 BYPOLYGON 3 12 37 16 37 16 39 => -ERR syntax error
        GEOSEARCH g BYPOLYGON 3 12 37 16 37 16 39 FROMMEMBER Palermo => -ERR syntax error
        GEOSEARCH g BYPOLYGON 3 12 37 16 37 16 39 FROMLONLAT 1 1 => -ERR syntax error
        GEOSEARCH g BYPOLYGON 3 12 37 16 37 16 39 BYRADIUS 1 km => -ERR syntax error
        GEOSEARCH g BYBOX 1 1 km BYPOLYGON 3 12 37 16 37 16 39 => -ERR syntax error
        "#,
    );
}

#[test]
fn notices() {
    let mut lane = Lane::default();
    check_said(
        &mut lane,
        &[
            ("ZADD z 1 a 2 b 3 c 4 d 5 e 6 f", "zadd z"),
            ("ZADD z 1 a", ""),
            ("ZADD z INCR 1 a", "zincr z"),
            ("ZINCRBY z 0 a", ""),
            ("ZINCRBY z 1 a", "zincr z"),
            ("ZREM z none", ""),
            ("ZREM z a", "zrem z"),
            ("ZPOPMIN z", "zpopmin z"),
            ("ZMPOP 1 z MAX", "zpopmax z"),
            ("ZREMRANGEBYRANK z 0 0", "zremrangebyrank z"),
            ("ZREMRANGEBYSCORE z 4 4", "zremrangebyscore z"),
            ("ZRANGESTORE to z 0 -1", "zrangestore to"),
            ("ZUNIONSTORE to 1 z", "zunionstore to"),
            ("ZREMRANGEBYLEX z - +", "zremrangebylex z,del z"),
            ("ZINTERSTORE to 1 none", "del to"),
            ("ZINTERSTORE to 1 none", ""),
            ("GEOADD g 1 1 m", "zadd g"),
            ("GEOADD g 1 1 m", ""),
            ("GEOSEARCHSTORE to g FROMLONLAT 1 1 BYRADIUS 1 km", "geosearchstore to"),
            ("GEORADIUS g 1 1 1 km STORE to", "georadiusstore to"),
            ("ZPOPMAX g", "zpopmax g,del g"),
            ("ZPOPMAX g", ""),
        ],
    );
}

/// The strings of the flat array that the command answers.
fn strings(lane: &mut Lane, command: &str) -> Vec<String> {
    elements(lane, command).into_iter().map(|word| String::from_utf8(word).unwrap()).collect()
}

fn filled(count: usize) -> Lane {
    let mut lane = Lane::default();
    for number in 0..count {
        lane.check(&format!("ZADD z {number} m{number}"), ":1");
    }
    lane
}

#[test]
fn members_by_chance() {
    for count in [3, 1000] {
        let mut lane = filled(count);
        let different: HashSet<_> =
            strings(&mut lane, &format!("ZRANDMEMBER z {}", count - 1)).into_iter().collect();
        assert_eq!(different.len(), count - 1, "no member twice");
        assert_eq!(strings(&mut lane, "ZRANDMEMBER z 5000").len(), count);
        assert_eq!(strings(&mut lane, "ZRANDMEMBER z -5000").len(), 5000);
        let pairs = strings(&mut lane, "ZRANDMEMBER z -500 WITHSCORES");
        assert!(pairs.chunks(2).all(|pair| pair[0] == format!("m{}", pair[1])), "{pairs:?}");
        let met: HashSet<_> = (0..20 * count).map(|_| lane.say("ZRANDMEMBER z")).collect();
        assert!(met.len() > count * 9 / 10, "{} of {count}", met.len());
    }
    script(
        r"
        ZRANDMEMBER none => nil
        ZRANDMEMBER none 3 => []
        ZADD z 1 a => :1
        ZRANDMEMBER z 0 => []
        ZRANDMEMBER z x => -ERR value is not an integer or out of range
        ZRANDMEMBER z 1 BOGUS => -ERR syntax error
        ZRANDMEMBER z -9223372036854775807 => -ERR value is out of range
        ZRANDMEMBER z 9223372036854775807 WITHSCORES => -ERR value is out of range
        ",
    );
}

#[test]
fn a_walk_meets_every_member() {
    for count in [5, 3000] {
        let mut lane = filled(count);
        let seen = walk(&mut lane, "ZSCAN z", "COUNT 50", |_, _| ());
        let met: HashMap<_, _> = seen.chunks(2).map(|pair| (&pair[0], &pair[1])).collect();
        assert_eq!(met.len(), count);
        assert!(met.iter().all(|(member, score)| **member == [b"m", &score[..]].concat()));
    }
    script(
        r#"
        ZSCAN none 0 => ["0" []]
        ZADD z 1 aa 2 ab 3 b => :3
        ZSCAN z 0 MATCH a* => ["0" ["aa" "1" "ab" "2"]]
        ZSCAN z 0 NOSCORES => ["0" ["aa" "ab" "b"]]
        ZSCAN z 0 noscores MATCH a* => ["0" ["aa" "ab"]]
        ZSCAN z 0 NOVALUES => -ERR NOVALUES option can only be used in HSCAN
        SCAN 0 NOSCORES => -ERR NOSCORES option can only be used in ZSCAN
        ZSCAN z x => -ERR invalid cursor
        ZSCAN z 0 COUNT 0 => -ERR syntax error
        ZSCAN z 0 TYPE zset => -ERR syntax error
        "#,
    );
}

/// Members in order, by a plain map.
fn ordered(model: &BTreeMap<String, i32>) -> Vec<(i32, String)> {
    let mut all: Vec<_> = model.iter().map(|(member, score)| (*score, member.clone())).collect();
    all.sort();
    all
}

fn shown<'a>(members: impl Iterator<Item = &'a (i32, String)>) -> String {
    let members: Vec<_> =
        members.map(|(score, member)| format!("\"{member}\" \"{score}\"")).collect();
    format!("[{}]", members.join(" "))
}

#[test]
fn random_commands_do_what_a_plain_model_does() {
    for seed in 1..=6 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut lane, mut model) = (Lane::default(), BTreeMap::new());
        // Packed all the time, or large soon.
        let names = [60, 2000][seed as usize % 2];
        for step in 0..4_000 {
            let member = format!("m{}", random.u32(..names));
            let score = random.i32(-20..20);
            let case = format!("seed {seed}, step {step}");
            let all = ordered(&model);
            let (from, to) = (random.usize(..60), random.usize(..60));
            match random.u8(..10) {
                0..5 => {
                    let new = model.insert(member.clone(), score).is_none();
                    let answer = lane.say(&format!("ZADD z {score} {member}"));
                    assert_eq!(answer, format!(":{}", u8::from(new)), "{case}");
                }
                5 => {
                    let there = model.remove(&member).is_some();
                    let answer = lane.say(&format!("ZREM z {member}"));
                    assert_eq!(answer, format!(":{}", u8::from(there)), "{case}");
                }
                6 => {
                    let range = all.iter().skip(from).take((to + 1).saturating_sub(from));
                    let answer = lane.say(&format!("ZRANGE z {from} {to} WITHSCORES"));
                    assert_eq!(answer, shown(range), "{case}");
                    let range = all.iter().rev().skip(from).take((to + 1).saturating_sub(from));
                    let answer = lane.say(&format!("ZREVRANGE z {from} {to} WITHSCORES"));
                    assert_eq!(answer, shown(range), "{case}");
                }
                7 => {
                    let within = all.iter().filter(|(other, _)| (score..20).contains(other));
                    let command = format!("ZRANGE z {score} (20 BYSCORE LIMIT 1 {to} WITHSCORES");
                    assert_eq!(lane.say(&command), shown(within.skip(1).take(to)), "{case}");
                    let above = all.iter().filter(|(other, _)| *other > score).count();
                    let answer = lane.say(&format!("ZCOUNT z ({score} +inf"));
                    assert_eq!(answer, format!(":{above}"), "{case}");
                }
                8 => {
                    let rank = all.iter().position(|(_, other)| *other == member);
                    let expected = rank.map_or("nil".into(), |rank| format!(":{rank}"));
                    assert_eq!(lane.say(&format!("ZRANK z {member}")), expected, "{case}");
                }
                _ => {
                    let taken: Vec<_> = all.into_iter().take(from % 4).collect();
                    for (_, member) in &taken {
                        model.remove(member);
                    }
                    let answer = lane.say(&format!("ZPOPMIN z {}", from % 4));
                    assert_eq!(answer, shown(taken.iter()), "{case}");
                }
            }
            assert_eq!(lane.say("ZCARD z"), format!(":{}", model.len()), "{case}");
        }
    }
}
