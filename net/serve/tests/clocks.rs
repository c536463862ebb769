//! A real server whose wall clock is set while it serves. The program that runs these tests defines the
//! function of the C library that tells the time, with a shift of its own, so that the whole process
//! sees the clock jump; the server is the one that everybody runs.

mod support;

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use support::{Client, Running};

const HOUR: i64 = 3600;
const LANES: [usize; 3] = [1, 2, 4];

/// Pauses of `PAUSE` until what time brings is taken for lost: a minute.
const LOOKS_MAX: u32 = 6000;
const PAUSE: Duration = Duration::from_millis(10);

/// Seconds by which the wall clock is set ahead.
static SHIFT: AtomicI64 = AtomicI64::new(0);

/// What the standard library asks for the time.
///
/// # Safety
/// As the C library has it: `time` is a place for a time.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> i32 {
    // SAFETY: the arguments are the caller's, as this system call takes them.
    let result = unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) };
    if result == 0 && clock == libc::CLOCK_REALTIME {
        // SAFETY: the kernel has just written there.
        unsafe { (*time).tv_sec += SHIFT.load(Ordering::SeqCst) };
    }
    result as i32
}

fn set_clock(shift: i64) {
    SHIFT.store(shift, Ordering::SeqCst);
}

fn unix_seconds() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() as i64
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..LOOKS_MAX {
        if holds() {
            return;
        }
        std::thread::sleep(PAUSE);
    }
    panic!("{what}");
}

/// The number that the server answers.
fn number(client: &mut Client, line: &str) -> i64 {
    let reply = client.say(line);
    let digits = reply
        .trim_start_matches("*1\r\n")
        .strip_prefix(':')
        .unwrap_or_else(|| panic!("{line}: {reply}"));
    digits.trim_end().parse().unwrap_or_else(|_| panic!("{line}: {reply}"))
}

/// Waits until the server has as many keys, without looking any of them up.
fn until_keys(client: &mut Client, count: i64) {
    until(&format!("there are not {count} keys"), || number(client, "DBSIZE") == count);
}

/// Keys of all lanes: a hundred that go by the clock as the command's ending says, and a hash with a field.
fn fill(client: &mut Client, prefix: &str, ending: &str) {
    for key in 0..100 {
        assert_eq!(client.say(&format!("SET {prefix}{key} v {ending}")), "+OK\r\n");
    }
    let hash = format!("HSETEX {prefix}hash {ending} FIELDS 1 f v");
    assert_eq!(client.say(&hash), ":1\r\n");
}

/// One test, since the clock is the process's.
#[test]
fn what_is_relative_outlives_the_clock_and_what_is_absolute_goes_by_it() {
    for lanes in LANES {
        set_clock(0);
        let server = Running::with(lanes, &[("timeout", "300")]);
        let mut client = server.client();
        let mut waiter = server.client();
        let start = unix_seconds();
        fill(&mut client, "span", "EX 600");
        fill(&mut client, "time", &format!("EXAT {}", start + 600));
        fill(&mut client, "later", &format!("EXAT {}", start + 3 * HOUR));
        waiter.send_command(&["BLPOP", "list", "300"]);
        until("nobody waits", || client.say("INFO clients").contains("blocked_clients:1\r\n"));
        assert_eq!(number(&mut client, "DBSIZE"), 303);

        ahead(&mut client, start);
        // Who waited since before the jump has waited through it.
        assert_eq!(client.say("RPUSH list x"), ":1\r\n");
        assert_eq!(waiter.reply(), "*2\r\n$4\r\nlist\r\n$1\r\nx\r\n");
        back(&mut client, start);
        // Connections were not taken to be idle for an hour, in either direction.
        assert_eq!(waiter.say("PING"), "+PONG\r\n");
    }
    set_clock(0);
}

/// Somebody sets the clock an hour ahead.
fn ahead(client: &mut Client, start: i64) {
    set_clock(HOUR);
    until_keys(client, 202);
    assert_eq!(client.say("GET time7"), "$-1\r\n");
    assert_eq!(client.say("GET span7"), "$1\r\nv\r\n");
    let left = number(client, "TTL span7");
    assert!((500..=600).contains(&left), "{left}");
    let left = number(client, "HTTL spanhash FIELDS 1 f");
    assert!((500..=600).contains(&left), "{left}");
    let end = number(client, "EXPIRETIME span7");
    assert!((start + HOUR + 500..start + HOUR + 700).contains(&end), "{end}");
    assert_eq!(number(client, "EXPIRETIME later7"), start + 3 * HOUR);
    // Ids and times that clients are told go by the wall.
    let id = client.say("XADD stream * f v");
    let told: i64 = id[id.find("\r\n").expect("a bulk") + 2..][..10].parse().expect("milliseconds");
    assert!(told >= start + HOUR, "{id}");
    assert!(client.say("DEL stream").starts_with(":1"));
    let uptime = client.say("INFO server");
    let uptime = uptime.split_once("uptime_in_seconds:").expect("a field").1;
    let uptime = uptime.split_once("\r\n").expect("a line").0;
    assert!(uptime.parse::<i64>().expect("seconds") < 1000, "{uptime}");
}

/// And then two hours back.
fn back(client: &mut Client, start: i64) {
    set_clock(-HOUR);
    let left = number(client, "TTL span7");
    assert!((500..=600).contains(&left), "{left}");
    let left = number(client, "TTL later7");
    assert!((4 * HOUR - 100..=4 * HOUR).contains(&left), "{left}");
    assert_eq!(number(client, "EXPIRETIME later7"), start + 3 * HOUR);
    // What is short stays short: none of it lasts for an hour more.
    fill(client, "short", "PX 300");
    assert_eq!(client.say("BLPOP nothing 0.05"), "*-1\r\n");
    assert_eq!(client.say("CLIENT PAUSE 50 WRITE"), "+OK\r\n");
    assert_eq!(client.say("SET after-the-pause v PX 100"), "+OK\r\n");
    until_keys(client, 202);
    // A time that the clock has yet to come to, again.
    assert_eq!(client.say(&format!("SET again v EXAT {}", start - HOUR / 2)), "+OK\r\n");
    let left = number(client, "TTL again");
    assert!((HOUR / 2 - 100..=HOUR / 2).contains(&left), "{left}");
    set_clock(0);
    until_keys(client, 202);
}
