//! What scripts change is told as what commands change is: their effects make the same in a second store,
//! also where a script fails half-way.

#![allow(clippy::unwrap_used)] // Here a panic is a failed test.

mod support;

use ringlane_store::Recorder;
use support::Lane;

const SCRIPTS: [&str; 9] = [
    "redis.call('SET', KEYS[1], ARGV[1]) return redis.call('INCRBY', KEYS[2], ARGV[1])",
    "for i = 1, 20 do redis.call('RPUSH', KEYS[1], ARGV[1] .. i) end return redis.call('LTRIM', KEYS[1], 1, 9)",
    "redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) redis.call('HPEXPIRE', KEYS[1], 900, 'FIELDS', 1, ARGV[1])",
    "redis.call('ZADD', KEYS[2], ARGV[1], ARGV[2]) return redis.call('ZRANGESTORE', KEYS[1], KEYS[2], 0, 2)",
    "redis.call('SADD', KEYS[1], ARGV[1], math.random(1, 9)) return redis.call('SPOP', KEYS[1])",
    "redis.call('XADD', KEYS[1], '*', 'f', ARGV[1]) redis.pcall('XGROUP', 'CREATE', KEYS[1], 'g', 0) \
     return redis.call('XREADGROUP', 'GROUP', 'g', 'c', 'COUNT', 2, 'STREAMS', KEYS[1], '>')",
    "redis.call('SET', KEYS[1], 'before') redis.call('LPUSH', KEYS[1], 'x') redis.call('SET', KEYS[2], 'never')",
    "redis.call('DEL', KEYS[1]) redis.call('PEXPIRE', KEYS[2], 700) error('half-way')",
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) else return 0 end",
];
const KEYS: [&str; 4] = ["a", "b", "c", "d"];

/// All that there is.
fn all(lane: &mut Lane) -> String {
    let read = "local all = {} for _, key in ipairs(KEYS) do \
        local kind = redis.call('TYPE', key).ok \
        local held = '' \
        if kind == 'string' then held = redis.call('GET', key) \
        elseif kind == 'list' then held = table.concat(redis.call('LRANGE', key, 0, -1), ',') \
        elseif kind == 'hash' then held = redis.call('HGETALL', key) table.sort(held) held = table.concat(held, ',') \
        elseif kind == 'set' then held = redis.call('SMEMBERS', key) table.sort(held) held = table.concat(held, ',') \
        elseif kind == 'zset' then held = table.concat(redis.call('ZRANGE', key, 0, -1, 'WITHSCORES'), ',') \
        elseif kind == 'stream' then held = cjson.encode(redis.call('XINFO', 'STREAM', key, 'FULL')) end \
        all[#all + 1] = key .. kind .. redis.call('PEXPIRETIME', key) .. held end return all";
    lane.eval(read, &KEYS, &[])
}

#[test]
fn effects_of_scripts_make_the_same_store() {
    for seed in 1..=6 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut lane, mut copy) = (Lane::new(), Lane::new());
        let recorder = Recorder::attach(&mut lane.store);
        let mut applied = 0;
        for step in 0..400 {
            let script = SCRIPTS[random.usize(..SCRIPTS.len())];
            let keys = [KEYS[random.usize(..KEYS.len())], KEYS[random.usize(..KEYS.len())]];
            let arguments = [random.u8(..30).to_string(), random.u8(..9).to_string()];
            let now = lane.store.now().plus(random.u64(..300));
            lane.store.begin_turn(now);
            copy.store.begin_turn(now);
            lane.eval(script, &keys, &[&arguments[0], &arguments[1]]);
            let ours = all(&mut lane);
            for effect in recorder.take() {
                copy.store.apply(&effect).unwrap();
                applied += 1;
            }
            assert_eq!(ours, all(&mut copy), "seed {seed}, step {step}: {script}");
        }
        assert!(applied > 200, "{applied}");
    }
}
