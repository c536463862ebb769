//! Scenes of several clients, said line by line at both servers: channels, scripts, functions, tracking,
//! clients that wait. After each line everything that any client was sent is compared.
//!
//! A line is the number of a client and its command: `0 SUBSCRIBE a`. `0! BLPOP a 0` does not answer yet;
//! `0?` reads that answer; an answer to `0~` differs as the compatibility page tells. `%1` is the id of
//! client 1; blanks within quotes part no words.

use std::net::SocketAddr;

use crate::answer::{Value, same};
use crate::listener::Both;
use crate::support::Client;

/// Clients of a scene.
const CLIENTS: usize = 4;

/// What the clients say, and which versions of the protocol the scene is for.
pub struct Scene {
    pub name: &'static str,
    pub versions: &'static [u8],
    pub lines: &'static str,
}

/// Words; what stands in single quotes is one.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, part) in line.split('\'').enumerate() {
        if index % 2 == 1 {
            words.push(part.replace("\\n", "\n"));
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

fn blocked(client: &mut Client) -> usize {
    let info = client.say("INFO clients");
    let line = info.lines().find_map(|line| line.strip_prefix("blocked_clients:"));
    line.expect("INFO tells").parse().expect("a number")
}

/// Plays the scene; what differs.
pub fn play(scene: &Scene, version: u8, ours: SocketAddr, theirs: SocketAddr) -> Vec<String> {
    let mut stage = Stage::new(version, ours, theirs);
    let lines = scene.lines.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.for_each(|line| stage.line(line));
    stage.differences
}

/// Where a scene is played.
struct Stage {
    clients: Vec<Both>,
    /// Clients that see how many others wait.
    watchers: [Client; 2],
    waiting: usize,
    differences: Vec<String>,
}

impl Stage {
    /// On empty servers.
    fn new(version: u8, ours: SocketAddr, theirs: SocketAddr) -> Self {
        let mut watchers = [Client::to(ours), Client::to(theirs)];
        for watcher in &mut watchers {
            watcher.say("FLUSHALL");
            watcher.say("SCRIPT FLUSH");
            watcher.say("FUNCTION FLUSH");
            watcher.say("CONFIG SET notify-keyspace-events KEA");
        }
        let clients = (0..CLIENTS).map(|_| Both::new(ours, theirs, version)).collect();
        Self { clients, watchers, waiting: 0, differences: Vec::new() }
    }

    fn line(&mut self, line: &str) {
        let said = words(line);
        let at = usize::from(line.as_bytes()[0] - b'0');
        // As it is sent to ours and to theirs.
        let sent = |side: fn(&Both) -> &str| -> Vec<String> {
            let word = |word: &String| match word.strip_prefix('%') {
                Some(number) => {
                    side(&self.clients[number.parse::<usize>().expect("a client")]).to_owned()
                }
                None => word.clone(),
            };
            said[1..].iter().map(word).collect()
        };
        let (to_ours, to_theirs) = (sent(|both| &both.ours.id), sent(|both| &both.theirs.id));
        let both = &mut self.clients[at];
        if !said[0].ends_with('?') {
            both.ours.client.send_command(&to_ours);
            both.theirs.client.send_command(&to_theirs);
        }
        if said[0].ends_with('!') {
            both.busy = true;
            self.waiting += 1;
            for watcher in &mut self.watchers {
                while blocked(watcher) != self.waiting {
                    std::thread::yield_now();
                }
            }
            return;
        }
        let our = Value::parse(&both.ours.client.reply_bytes());
        let their = Value::parse(&both.theirs.client.reply_bytes());
        let bytes: Vec<Vec<u8>> = to_ours.iter().map(|word| word.clone().into_bytes()).collect();
        let told = said[0].ends_with('~');
        if our != their && !told && (bytes.is_empty() || !same(&bytes, &our, &their)) {
            self.differences.push(format!("{line}\n  answered {our:?}\n  not      {their:?}"));
        }
        match to_ours.first().map(|name| name.to_ascii_lowercase()).as_deref() {
            Some("multi") => both.busy = true,
            Some("exec" | "discard" | "reset") => both.busy = false,
            Some(_) => {}
            None => {
                both.busy = false;
                self.waiting -= 1;
            }
        }
        self.compare_pushed(line);
    }

    /// What all who are not busy have been sent beside answers.
    fn compare_pushed(&mut self, line: &str) {
        for (number, both) in self.clients.iter_mut().enumerate().filter(|(_, both)| !both.busy) {
            let (mut ours, mut theirs) = both.pushed();
            ours.sort();
            theirs.sort();
            if ours != theirs {
                let difference = format!("{number} heard {ours:?}\n  not     {theirs:?}");
                self.differences.push(format!("{line}\n  {difference}"));
            }
        }
    }
}

/// What one server dumps of its functions, the other restores.
pub fn exchange_functions(ours: SocketAddr, theirs: SocketAddr) -> Option<String> {
    let code = "#!lua name=mylib\nredis.register_function{function_name='f', \
                callback=function(keys, args) return args[1] end, flags={'no-writes'}}";
    let mut clients = [Client::to(ours), Client::to(theirs)];
    let mut dumps = Vec::new();
    for client in &mut clients {
        client.say("FUNCTION FLUSH");
        client.call(&["FUNCTION", "LOAD", code]);
        client.send_command(&["FUNCTION", "DUMP"]);
        let Value::Bulk(dump) = Value::parse(&client.reply_bytes()) else {
            return Some("FUNCTION DUMP answered no string".into());
        };
        dumps.push(dump);
    }
    dumps.reverse();
    let mut lists = Vec::new();
    for (client, dump) in clients.iter_mut().zip(&dumps) {
        let refused = client.call(&[b"FUNCTION".as_slice(), b"RESTORE", dump]);
        client.say("FUNCTION FLUSH");
        let restored = client.call(&[b"FUNCTION".as_slice(), b"RESTORE", dump]);
        let appended = client.call(&[b"FUNCTION".as_slice(), b"RESTORE", dump, b"REPLACE"]);
        let bad = client.call(&[b"FUNCTION".as_slice(), b"RESTORE", &dump[1..]]);
        let called = client.say("FCALL_RO f 0 hello");
        let list = client.say("FUNCTION LIST WITHCODE");
        lists.push([refused, restored, appended, bad, called, list]);
    }
    (lists[0] != lists[1]).then(|| format!("functions: {:?}\n  not {:?}", lists[0], lists[1]))
}
