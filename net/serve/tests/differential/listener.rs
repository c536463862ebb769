//! Clients that are sent what they did not ask for: messages, notices, invalidations.

use std::net::SocketAddr;

use crate::answer::Value;
use crate::support::Client;

/// How often a client whose pushes are not all there yet is asked again.
const ROUNDS_MAX: usize = 20_000;

/// One client at one server.
pub struct Side {
    pub client: Client,
    pub id: String,
    barriers: usize,
}

impl Side {
    fn new(address: SocketAddr, version: u8) -> Self {
        let mut client = Client::to(address);
        if version == 3 {
            client.say("HELLO 3");
        }
        let id = client.say("CLIENT ID").trim_start_matches(':').trim_end().to_owned();
        Self { client, id, barriers: 0 }
    }

    /// What was pushed until now, as far as the server has sent it.
    fn pushed(&mut self) -> Vec<Value> {
        self.barriers += 1;
        let mark = format!("barrier{}", self.barriers);
        self.client.send_command(&["PING", &mark]);
        let mut all = Vec::new();
        loop {
            let value = Value::parse(&self.client.reply_bytes());
            let is_barrier = match &value {
                Value::Bulk(text) => text == mark.as_bytes(),
                Value::Many(b'*', parts) => {
                    parts.len() == 2 && parts[1] == Value::Bulk(mark.clone().into_bytes())
                }
                Value::Line(_)
                | Value::Error(_)
                | Value::Integer(_)
                | Value::Double(_)
                | Value::Many(..) => false,
            };
            if is_barrier {
                return all;
            }
            all.push(value);
        }
    }
}

/// A client at both servers.
pub struct Both {
    pub ours: Side,
    pub theirs: Side,
    /// It is in a transaction or waits: nothing else can be asked of it.
    pub busy: bool,
}

impl Both {
    pub fn new(ours: SocketAddr, theirs: SocketAddr, version: u8) -> Self {
        let (ours, theirs) = (Side::new(ours, version), Side::new(theirs, version));
        Self { ours, theirs, busy: false }
    }

    /// What was pushed at both. Lanes push on their own: ours may come a little later.
    pub fn pushed(&mut self) -> (Vec<Value>, Vec<Value>) {
        let theirs = self.theirs.pushed();
        let mut ours = self.ours.pushed();
        for _ in 0..ROUNDS_MAX {
            if ours.len() >= theirs.len() {
                break;
            }
            std::thread::yield_now();
            ours.extend(self.ours.pushed());
        }
        (ours, theirs)
    }
}

/// Who hears of every change of a key: one by notices, one as it would keep copies of all keys.
pub struct Listeners {
    notices: Both,
    copies: Both,
    /// Ours has one lane. With several, what two of them say of one key may come a step later.
    one_lane: bool,
}

/// How what is heard at the two servers may differ.
#[derive(Clone, Copy, Debug)]
pub struct Allowed {
    /// Ours may have made more copies invalid.
    pub more: bool,
    /// Ours may have made fewer copies invalid.
    pub fewer: bool,
    /// The notices are not compared.
    pub notices: bool,
}

impl Listeners {
    /// Both servers are told to send every kind of notice.
    pub fn new((ours, lanes): (SocketAddr, usize), theirs: SocketAddr) -> Self {
        let (mut notices, mut copies) = (Both::new(ours, theirs, 2), Both::new(ours, theirs, 3));
        for side in [&mut notices.ours, &mut notices.theirs] {
            assert_eq!(side.client.say("CONFIG SET notify-keyspace-events KEA"), "+OK\r\n");
            side.client.say("PSUBSCRIBE __key*__:*");
        }
        for side in [&mut copies.ours, &mut copies.theirs] {
            assert_eq!(side.client.say("CLIENT TRACKING ON BCAST"), "+OK\r\n");
        }
        Self { notices, copies, one_lane: lanes == 1 }
    }

    /// What they have heard until now is not looked at.
    pub fn forget(&mut self) {
        self.differ(Allowed { more: true, fewer: true, notices: true });
    }

    /// What they have heard since they were asked last, if it is not the same at both.
    pub fn differ(&mut self, allowed: Allowed) -> Option<String> {
        let (mut ours, mut theirs) = self.notices.pushed();
        // Keys of several lanes are told of in no order.
        ours.sort();
        theirs.sort();
        if ours != theirs && !allowed.notices {
            return Some(format!("was told as\n  {ours:?}\n  not {theirs:?}"));
        }
        let (mut pushed, theirs) = self.copies.pushed();
        let (mut ours, theirs) = (invalid(&pushed), invalid(&theirs));
        let lacks = |ours: &[Value]| !theirs.iter().all(|key| ours.contains(key));
        for _ in 0..ROUNDS_MAX {
            if allowed.fewer || !lacks(&ours) {
                break;
            }
            // Two lanes say in two lines what is one there.
            std::thread::yield_now();
            pushed.extend(self.copies.ours.pushed());
            ours = invalid(&pushed);
        }
        let more = ours.iter().any(|key| !theirs.contains(key));
        let same = (!more || allowed.more || !self.one_lane) && (!lacks(&ours) || allowed.fewer);
        (!same).then(|| format!("made invalid\n  {ours:?}\n  not {theirs:?}"))
    }
}

/// The keys that are invalid, each once; all keys are an empty line.
fn invalid(pushed: &[Value]) -> Vec<Value> {
    let mut keys: Vec<Value> = pushed
        .iter()
        .flat_map(|push| match push.elements().get(1) {
            Some(Value::Many(_, keys)) => keys.clone(),
            Some(all) => vec![all.clone()],
            None => vec![push.clone()],
        })
        .collect();
    keys.sort();
    keys.dedup();
    keys
}
