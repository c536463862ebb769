//! CLUSTER: the node as cluster clients are to see it. With `advertise lanes` every lane is a
//! primary with an id, a port and slots of its own; with `node` there is one, at the front door.

use std::fmt::Write;
use std::net::IpAddr;
use std::ops::Range;

use ringlane_base::{LaneId, SLOT_COUNT, Slot};
use ringlane_command::{Args, CommandError, Reply, parse};
use ringlane_settings::Advertise;

use super::{Outcome, Subcommand, done, ok, session, sum};
use crate::ask::{Answer, Answers, Question, Step};
use crate::core::Core;
use crate::reply::RespReply;
use crate::ring::ConnectionId;
use crate::session::Door;
use crate::shared::Shared;

pub const SUBCOMMANDS: &[Subcommand] = &[
    ("countkeysinslot", count_keys_in_slot),
    ("getkeysinslot", get_keys_in_slot),
    ("info", info),
    ("keyslot", key_slot),
    ("links", links),
    ("myid", my_id),
    ("myshardid", my_id),
    ("nodes", nodes),
    ("replicas", replicas),
    ("shards", shards),
    ("slots", slots),
];

/// Keys that one `CLUSTER GETKEYSINSLOT` returns at most.
const SLOT_KEYS_MAX: usize = 4096;
const DISABLED: &str = "ERR This instance has cluster support disabled";
const INVALID_SLOT: &str = "ERR Invalid slot";

/// Refuses what only a cluster can answer when the settings say that there is none.
pub fn check_enabled(core: &Core) -> Result<(), CommandError> {
    match core.live.advertise {
        Advertise::Node | Advertise::Lanes => Ok(()),
        Advertise::Off => Err(CommandError::Fixed(DISABLED)),
    }
}

/// One primary as clients see it. Its shard has no other member and goes by the same id.
#[derive(Debug, PartialEq, Eq)]
struct Primary {
    id: String,
    port: u16,
    slots: Range<u16>,
}

/// The cluster as one client sees it.
struct View {
    /// In the order of their slots.
    primaries: Vec<Primary>,
    /// Which of them the client is talking to.
    me: usize,
    host: String,
}

impl View {
    /// `local` is the address that the client has reached: where it will reach the others too.
    /// The front door speaks as lane 0 on every lane, so that a client which comes back finds the
    /// same node.
    fn new(shared: &Shared, advertise: Advertise, door: Door, lane: LaneId, local: IpAddr) -> Self {
        let primaries = match advertise {
            Advertise::Lanes => (0..shared.lanes())
                .map(|lane| Primary {
                    id: shared.lane_ids[lane].clone(),
                    port: shared.lane_ports[lane],
                    slots: shared.slots_of(LaneId(lane as u16)),
                })
                .collect(),
            Advertise::Node | Advertise::Off => vec![Primary {
                id: shared.run_id.clone(),
                port: shared.front_port,
                slots: 0..SLOT_COUNT as u16,
            }],
        };
        let me = match (advertise, door) {
            (Advertise::Lanes, Door::Lane) => lane.index(),
            (Advertise::Lanes, Door::Front) | (Advertise::Node | Advertise::Off, _) => 0,
        };
        Self { primaries, me, host: local.to_canonical().to_string() }
    }

    fn of(core: &mut Core, id: ConnectionId) -> Self {
        let session = session(core, id);
        let (door, local) = (session.door, session.local.ip());
        Self::new(&core.shared, core.live.advertise, door, core.lane, local)
    }

    /// The lines of `CLUSTER NODES`. No lane has a cluster bus, so the port after `@` is 0.
    fn nodes_text(&self, now_ms: u64) -> String {
        let mut text = String::new();
        for (index, primary) in self.primaries.iter().enumerate() {
            let (myself, heard) = if index == self.me { ("myself,", 0) } else { ("", now_ms) };
            writeln!(
                text,
                "{} {}:{}@0 {myself}master - 0 {heard} {} connected {}-{}",
                primary.id,
                self.host,
                primary.port,
                index + 1,
                primary.slots.start,
                primary.slots.end - 1,
            )
            .expect("writing to a string");
        }
        text
    }

    /// The lines of `CLUSTER INFO`. Config epochs count the primaries, as each has one of its own.
    fn info_text(&self) -> String {
        let count = self.primaries.len();
        let epoch = self.me + 1;
        format!(
            "cluster_state:ok\r\ncluster_slots_assigned:{SLOT_COUNT}\r\n\
             cluster_slots_ok:{SLOT_COUNT}\r\ncluster_slots_pfail:0\r\ncluster_slots_fail:0\r\n\
             cluster_known_nodes:{count}\r\ncluster_size:{count}\r\n\
             cluster_current_epoch:{count}\r\ncluster_my_epoch:{epoch}\r\n\
             cluster_stats_messages_sent:0\r\ncluster_stats_messages_received:0\r\n\
             total_cluster_links_buffer_limit_exceeded:0\r\n"
        )
    }
}

/// `CLUSTER INFO`.
fn info(core: &mut Core, id: ConnectionId, _: Args<'_>) -> Outcome {
    let text = View::of(core, id).info_text();
    done(core, id, |reply| reply.verbatim(&text))
}

/// `CLUSTER NODES`.
fn nodes(core: &mut Core, id: ConnectionId, _: Args<'_>) -> Outcome {
    let text = View::of(core, id).nodes_text(core.store.now().wall.0);
    done(core, id, |reply| reply.verbatim(&text))
}

/// `CLUSTER SLOTS`: first and last slot, then host, port, id and (no) metadata of the primary.
fn slots(core: &mut Core, id: ConnectionId, _: Args<'_>) -> Outcome {
    let view = View::of(core, id);
    done(core, id, |reply| {
        reply.array(view.primaries.len());
        for primary in &view.primaries {
            reply.array(3);
            reply.integer(i64::from(primary.slots.start));
            reply.integer(i64::from(primary.slots.end) - 1);
            reply.array(4);
            reply.bulk(view.host.as_bytes());
            reply.integer(i64::from(primary.port));
            reply.bulk(primary.id.as_bytes());
            reply.array(0);
        }
    })
}

/// `CLUSTER SHARDS`.
fn shards(core: &mut Core, id: ConnectionId, _: Args<'_>) -> Outcome {
    let view = View::of(core, id);
    done(core, id, |reply| {
        reply.array(view.primaries.len());
        for primary in &view.primaries {
            write_shard(reply, primary, &view.host);
        }
    })
}

fn write_shard(reply: &mut RespReply<'_>, primary: &Primary, host: &str) {
    reply.map(2);
    reply.bulk(b"slots");
    reply.array(2);
    reply.integer(i64::from(primary.slots.start));
    reply.integer(i64::from(primary.slots.end) - 1);
    reply.bulk(b"nodes");
    reply.array(1);
    reply.map(7);
    let text = |reply: &mut RespReply<'_>, name: &str, value: &str| {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    };
    text(reply, "id", &primary.id);
    reply.bulk(b"port");
    reply.integer(i64::from(primary.port));
    text(reply, "ip", host);
    text(reply, "endpoint", host);
    text(reply, "role", "master");
    reply.bulk(b"replication-offset");
    reply.integer(0);
    text(reply, "health", "online");
}

/// `CLUSTER MYID` and `CLUSTER MYSHARDID`.
fn my_id(core: &mut Core, id: ConnectionId, _: Args<'_>) -> Outcome {
    let view = View::of(core, id);
    done(core, id, |reply| reply.bulk(view.primaries[view.me].id.as_bytes()))
}

/// `CLUSTER LINKS`: there is no cluster bus, so there are none.
fn links(core: &mut Core, id: ConnectionId, _: Args<'_>) -> Outcome {
    done(core, id, |reply| reply.array(0))
}

/// `CLUSTER REPLICAS node-id`: no primary has any.
fn replicas(core: &mut Core, id: ConnectionId, args: Args<'_>) -> Outcome {
    let view = View::of(core, id);
    if view.primaries.iter().all(|primary| primary.id.as_bytes() != &args[2]) {
        let name = super::quoted(&args[2]);
        return Err(CommandError::Text(format!("ERR Unknown node {name}")));
    }
    done(core, id, |reply| reply.array(0))
}

/// `CLUSTER KEYSLOT key`.
fn key_slot(core: &mut Core, id: ConnectionId, args: Args<'_>) -> Outcome {
    let slot = Slot::of(&args[2]);
    done(core, id, |reply| reply.integer(i64::from(slot.number())))
}

/// The slot that an argument names.
fn slot(text: &[u8], refusal: &'static str) -> Result<Slot, CommandError> {
    let number = u16::try_from(parse::integer(text)?).ok();
    number.and_then(Slot::new).ok_or(CommandError::Fixed(refusal))
}

/// Whether this lane alone can answer for a slot: it owns it, or the client is at a lane door,
/// where slots of others are empty as on any node that does not own them.
fn answers_alone(core: &mut Core, id: ConnectionId, slot: Slot) -> bool {
    core.owns(slot) || session(core, id).door == Door::Lane
}

/// `CLUSTER COUNTKEYSINSLOT slot`.
fn count_keys_in_slot(core: &mut Core, id: ConnectionId, args: Args<'_>) -> Outcome {
    let slot = slot(&args[2], INVALID_SLOT)?;
    if answers_alone(core, id, slot) {
        let count = slot_length(core, slot);
        return done(core, id, |reply| reply.integer(count as i64));
    }
    Ok(Step::Ask(Question::SlotLength(slot), |_, answers, reply| {
        reply.integer(sum(answers.answers) as i64);
    }))
}

/// `CLUSTER GETKEYSINSLOT slot count`, bounded by `SLOT_KEYS_MAX`.
fn get_keys_in_slot(core: &mut Core, id: ConnectionId, args: Args<'_>) -> Outcome {
    const REFUSAL: &str = "ERR Invalid slot or number of keys";
    let slot = slot(&args[2], REFUSAL)?;
    let count = usize::try_from(parse::integer(&args[3])?)
        .map_err(|_| CommandError::Fixed(REFUSAL))?
        .min(SLOT_KEYS_MAX);
    if answers_alone(core, id, slot) {
        let keys = slot_keys(core, slot, count);
        return done(core, id, |reply| write_keys(reply, &keys));
    }
    Ok(Step::Ask(Question::SlotKeys(slot, count), finish_slot_keys))
}

fn finish_slot_keys(_: &mut Core, answers: Answers<'_>, reply: &mut RespReply<'_>) {
    let keys: Vec<Vec<u8>> = answers.answers.into_iter().flat_map(Answer::keys).collect();
    write_keys(reply, &keys);
}

fn write_keys(reply: &mut RespReply<'_>, keys: &[Vec<u8>]) {
    reply.array(keys.len());
    for key in keys {
        reply.bulk(key);
    }
}

/// Keys of a slot on this lane, 0 if it is another's.
pub fn slot_length(core: &Core, slot: Slot) -> u64 {
    if core.owns(slot) { core.store.slot_len(slot) as u64 } else { 0 }
}

/// Some keys of a slot on this lane, none if it is another's.
pub fn slot_keys(core: &Core, slot: Slot, max: usize) -> Vec<Vec<u8>> {
    let mut keys = Vec::new();
    if core.owns(slot) {
        core.store.slot_keys(slot, max, &mut |key| keys.push(key.to_vec()));
    }
    keys
}

/// `ASKING`: no slot is ever on its way to another node, so it changes nothing.
pub fn asking(core: &mut Core, id: ConnectionId) -> Outcome {
    check_enabled(core)?;
    ok(core, id)
}

/// `READONLY`: of no effect, since no lane is a replica.
pub fn read_only(core: &mut Core, id: ConnectionId) -> Outcome {
    check_enabled(core)?;
    session(core, id).read_only = true;
    ok(core, id)
}

/// `READWRITE`.
pub fn read_write(core: &mut Core, id: ConnectionId) -> Outcome {
    check_enabled(core)?;
    session(core, id).read_only = false;
    ok(core, id)
}

#[cfg(test)]
mod tests {
    use ringlane_base::{HashSeed, Now};

    use super::*;

    fn shared() -> Shared {
        let ids = ["a", "b", "c"].map(|letter| letter.repeat(40)).to_vec();
        Shared::new(ids, "f".repeat(40), HashSeed(0), Now::default(), 6379, vec![7379, 7380, 7381])
    }

    fn view(advertise: Advertise, door: Door) -> View {
        let local = "::ffff:10.0.0.5".parse().expect("an address");
        View::new(&shared(), advertise, door, LaneId(1), local)
    }

    #[test]
    fn every_lane_is_a_primary() {
        let (a, b, c) = ("a".repeat(40), "b".repeat(40), "c".repeat(40));
        assert_eq!(
            view(Advertise::Lanes, Door::Lane).nodes_text(99),
            format!(
                "{a} 10.0.0.5:7379@0 master - 0 99 1 connected 0-5461\n\
                 {b} 10.0.0.5:7380@0 myself,master - 0 0 2 connected 5462-10922\n\
                 {c} 10.0.0.5:7381@0 master - 0 99 3 connected 10923-16383\n"
            )
        );
    }

    #[test]
    fn the_front_door_is_lane_0_or_the_whole_node() {
        let lanes = view(Advertise::Lanes, Door::Front);
        assert_eq!((lanes.me, lanes.primaries.len()), (0, 3));
        assert!(lanes.info_text().contains("cluster_known_nodes:3\r\n"));
        for door in [Door::Front, Door::Lane] {
            let whole = view(Advertise::Node, door);
            let f = "f".repeat(40);
            assert_eq!(
                whole.nodes_text(99),
                format!("{f} 10.0.0.5:6379@0 myself,master - 0 0 1 connected 0-16383\n")
            );
        }
    }

    #[test]
    fn slots_are_numbers_below_16384() {
        assert_eq!(slot(b"16383", INVALID_SLOT).map(Slot::number), Ok(16383));
        for (text, error) in [
            (&b"16384"[..], INVALID_SLOT),
            (b"-1", INVALID_SLOT),
            (b"a", "ERR value is not an integer or out of range"),
        ] {
            let refused = slot(text, INVALID_SLOT).expect_err("refused").to_string();
            assert_eq!(refused, error);
        }
    }
}
