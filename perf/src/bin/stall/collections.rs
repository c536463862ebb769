//! One collection of each type with very many elements: grown, read whole, put together with
//! another, halved, dumped, copied, deleted; and a long string.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use ringlane_perf::{client::Reply, cpu::settled_resident_bytes, protocol::push_command, signals};

use super::watch::{Seen, Watch};

/// Commands of a pipeline while a collection grows.
const PIPELINE: u64 = 64;
/// How long to wait for elements to expire, and for memory to be back.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a case does. In its words `{i}` is the element's number, `{j}` one that is half as many
/// further on, `{score}` one scattered over all; `{half}` is half of the elements, `{due}` the
/// instant in milliseconds at which all of them expire.
enum Work {
    /// The command for each element, in pipelines.
    Each(&'static str),
    /// The command once.
    Once(&'static str),
    /// The command once, and the memory that it frees.
    Freeing(&'static str),
    /// Waits until the instant of expiry, and then until this answers 0.
    Expiry(&'static str),
}

/// What differs between the elements, and from run to run.
const PLACES: [&str; 4] = ["{i}", "{j}", "{score}", "{due}"];

const CASES: [Work; 43] = [
    Work::Each("HSET hash field:{i} value:{i}"),
    Work::Once("HGETALL hash"),
    Work::Once("DUMP hash"),
    Work::Once("COPY hash to"),
    Work::Once("HSET to field:{half} other"),
    Work::Freeing("DEL hash to"),
    Work::Each("HSETEX hash PXAT {due} FIELDS 1 field:{i} value:{i}"),
    Work::Expiry("HLEN hash"),
    Work::Each("SADD set member:{i}"),
    Work::Each("SADD other member:{j}"),
    Work::Once("SMEMBERS set"),
    Work::Once("SUNIONSTORE to set other"),
    Work::Once("SINTERSTORE to set other"),
    Work::Once("SPOP set {half}"),
    Work::Once("DUMP other"),
    Work::Freeing("DEL set other to"),
    Work::Each("RPUSH list element:{score}"),
    Work::Once("LRANGE list 0 -1"),
    Work::Once("LPOS list none"),
    Work::Once("LINSERT list BEFORE element:{half} new"),
    Work::Once("LREM list 0 element:{half}"),
    Work::Once("SORT list ALPHA STORE to"),
    Work::Once("LTRIM list 0 {half}"),
    Work::Once("DUMP to"),
    Work::Freeing("DEL list to"),
    Work::Each("ZADD sorted {score} member:{i}"),
    Work::Each("ZADD other {score} member:{j}"),
    Work::Once("ZRANGE sorted 0 -1"),
    Work::Once("ZUNIONSTORE to 2 sorted other"),
    Work::Once("ZINTERSTORE to 2 sorted other"),
    Work::Once("ZRANGESTORE to sorted 0 -1"),
    Work::Once("ZREMRANGEBYRANK sorted 0 {half}"),
    Work::Once("DUMP to"),
    Work::Freeing("DEL sorted other to"),
    Work::Each("XADD stream * field value:{i}"),
    Work::Once("XRANGE stream - +"),
    Work::Once("XTRIM stream MAXLEN = {half}"),
    Work::Once("DUMP stream"),
    Work::Freeing("DEL stream"),
    Work::Once("SETRANGE text 100000000 x"),
    Work::Once("BITCOUNT text"),
    Work::Once("BITOP NOT to text"),
    Work::Freeing("DEL text to"),
];

/// The cases, each a phase, with collections of so many elements. What the server does not know is
/// left out.
pub fn run(elements: u64, watch: &mut Watch<'_>) -> Result<()> {
    // Growing takes about 3 µs an element.
    let lifetime = Duration::from_micros(20) * u32::try_from(elements)? + Duration::from_secs(5);
    let mut due = SystemTime::now();
    for case in &CASES {
        signals::check()?;
        let (Work::Each(words) | Work::Once(words) | Work::Freeing(words) | Work::Expiry(words)) =
            case;
        if !knows(watch, words)? {
            continue;
        }
        let known = |words: &str| words.replace("{half}", &(elements / 2).to_string());
        match case {
            Work::Each(words) => {
                if words.contains("{due}") {
                    due = SystemTime::now() + lifetime;
                }
                let name = PLACES.iter().fold(known(words), |name, place| name.replace(place, "…"));
                let words = known(words).replace("{due}", &milliseconds(due)?);
                watch.phase(&name, |watch| grow(elements, &words, watch))?;
            }
            Work::Once(words) => {
                let words = known(words);
                watch.phase(&words, |watch| once(&words, watch))?;
            }
            Work::Freeing(words) => {
                watch.phase(words, |watch| {
                    once(words, watch)?;
                    settled_resident_bytes(watch.server.pid(), PATIENCE)?;
                    Ok(Seen::default())
                })?;
            }
            Work::Expiry(words) => {
                // The command before may be one that the server does not know.
                if count(words, watch)? == 0 {
                    continue;
                }
                let left = due.duration_since(SystemTime::now());
                std::thread::sleep(left.context("growing took longer than what grew lives")?);
                watch.phase("all fields expire at once", |watch| wait_until_gone(words, watch))?;
            }
        }
    }
    Ok(())
}

fn milliseconds(at: SystemTime) -> Result<String> {
    Ok(at.duration_since(UNIX_EPOCH)?.as_millis().to_string())
}

/// Whether the server knows the command.
fn knows(watch: &mut Watch<'_>, words: &str) -> Result<bool> {
    let name = words.split(' ').next().unwrap_or_default();
    let answer = watch.client.command(&format!("COMMAND INFO {name}"))?;
    Ok(!matches!(answer, Reply::Array(infos) if infos == [Reply::Nil]))
}

fn once(words: &str, watch: &mut Watch<'_>) -> Result<Seen> {
    let words: Vec<&[u8]> = words.split(' ').map(str::as_bytes).collect();
    let mut request = Vec::new();
    push_command(&words, &mut request);
    watch.client.send(&request)?;
    watch.client.skip()?;
    Ok(Seen::default())
}

/// Sends the command for each element, in pipelines that are each awaited.
fn grow(elements: u64, words: &str, watch: &mut Watch<'_>) -> Result<Seen> {
    let mut requests = Vec::new();
    for first in (0..elements).step_by(PIPELINE as usize) {
        signals::check()?;
        requests.clear();
        let batch = first..elements.min(first + PIPELINE);
        for element in batch.clone() {
            // A prime: each score once, unless the number of elements is a multiple of it.
            let score = element.wrapping_mul(7_368_787) % elements;
            let words = words
                .replace("{i}", &element.to_string())
                .replace("{j}", &(element + elements / 2).to_string())
                .replace("{score}", &score.to_string());
            let words: Vec<&[u8]> = words.split(' ').map(str::as_bytes).collect();
            push_command(&words, &mut requests);
        }
        watch.client.send(&requests)?;
        for _ in batch {
            watch.client.skip()?;
        }
    }
    Ok(Seen::default())
}

/// The number that a command answers.
fn count(words: &str, watch: &mut Watch<'_>) -> Result<i64> {
    match watch.client.command(words)? {
        Reply::Integer(count) => Ok(count),
        other => bail!("{words} answers {other:?}"),
    }
}

fn wait_until_gone(words: &str, watch: &mut Watch<'_>) -> Result<Seen> {
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        signals::check()?;
        if count(words, watch)? == 0 {
            let gone_seconds = Some(started.elapsed().as_secs_f64());
            return Ok(Seen { gone_seconds, ..Seen::default() });
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(Seen::default())
}
