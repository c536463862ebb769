//! SUBSCRIBE and its kin, PUBLISH, PUBSUB.

use bytes::Bytes;
use ringlane_command::{Args, CommandError, Reply};

use super::audience::Listening;
use super::{Change, Kind, Message, Note};
use crate::admin::{Outcome, Subcommand, done};
use crate::ask::{Answer, Answers, Question, Step};
use crate::core::Core;
use crate::parcel::ReturnTo;
use crate::reply::RespReply;
use crate::reply_buffer::ReplyBuffer;
use crate::ring::ConnectionId;
use crate::session::Door;

/// Names of all kinds that one connection may listen to.
pub const SUBSCRIPTIONS_MAX: usize = 100_000;
/// Of a channel's name: it is matched against every pattern.
pub const CHANNEL_BYTES_MAX: usize = 64 << 10;
/// Of a pattern: every channel's name is matched against it.
pub const PATTERN_BYTES_MAX: usize = 4 << 10;
/// Names that are looked at before others get their turn: some 0.1 ms.
const NAMES_A_SLICE: usize = 1024;

pub const SUBCOMMANDS: &[Subcommand] = &[
    ("channels", |core, id, args| channels(core, id, Kind::Channel, args)),
    ("numpat", patterns),
    ("numsub", |core, id, args| counts(core, id, Kind::Channel, args)),
    ("shardchannels", |core, id, args| channels(core, id, Kind::Shard, args)),
    ("shardnumsub", |core, id, args| counts(core, id, Kind::Shard, args)),
];

fn check_name(kind: Kind, name: &[u8]) -> Result<(), CommandError> {
    match kind {
        Kind::Channel | Kind::Shard if name.len() > CHANNEL_BYTES_MAX => {
            Err(CommandError::Fixed("ERR channel name exceeds the maximum allowed size of 64 KiB"))
        }
        Kind::Pattern if name.len() > PATTERN_BYTES_MAX => {
            Err(CommandError::Fixed("ERR pattern exceeds the maximum allowed size of 4 KiB"))
        }
        Kind::Channel | Kind::Shard | Kind::Pattern => Ok(()),
    }
}

/// Writes one confirmation.
fn confirm(reply: &mut RespReply<'_>, word: &str, name: Option<&[u8]>, count: usize) {
    reply.push_header(3);
    reply.bulk(word.as_bytes());
    match name {
        Some(name) => reply.bulk(name),
        None => reply.null(),
    }
    reply.integer(count as i64);
}

/// `SUBSCRIBE channel …`, `PSUBSCRIBE pattern …`, `SSUBSCRIBE shardchannel …`: all or nothing.
pub fn subscribe(core: &mut Core, id: ConnectionId, kind: Kind, args: Args<'_>) -> Outcome {
    args.from(1).iter().try_for_each(|name| check_name(kind, name))?;
    let word = match kind {
        Kind::Channel => "subscribe",
        Kind::Pattern => "psubscribe",
        Kind::Shard => "ssubscribe",
    };
    let connection = core.connections.get(id).expect("its command is running");
    let version = connection.session.version;
    let before = connection.listening.as_ref().map_or(0, |listening| listening.total());
    if before + args.len() - 1 > SUBSCRIPTIONS_MAX {
        return Err(CommandError::Text(format!(
            "ERR too many subscriptions on one connection (limit {SUBSCRIPTIONS_MAX})"
        )));
    }
    if connection.listening.is_none() {
        core.pubsub.audience.connections += 1;
    }
    let listening = connection.listening.get_or_insert_default();
    let mut changes = Vec::new();
    let mut out = ReplyBuffer::default();
    for name in args.from(1) {
        if !listening.of(kind).contains(*name) {
            let name = Bytes::copy_from_slice(name);
            listening.of_mut(kind).insert(name.clone());
            core.pubsub.audience.add(kind, &name, id);
            changes.push(Change { kind, name, comes: true });
        }
        let count = listening.told(kind);
        confirm(&mut RespReply::new(&mut out, version), word, Some(name), count);
    }
    core.register(changes, Some((id, out)));
    Ok(Step::Done)
}

/// `UNSUBSCRIBE [channel …]`, `PUNSUBSCRIBE [pattern …]`, `SUNSUBSCRIBE [shardchannel …]`.
pub fn unsubscribe(core: &mut Core, id: ConnectionId, kind: Kind, args: Args<'_>) -> Outcome {
    let word = match kind {
        Kind::Channel => "unsubscribe",
        Kind::Pattern => "punsubscribe",
        Kind::Shard => "sunsubscribe",
    };
    let connection = core.connections.get(id).expect("its command is running");
    let version = connection.session.version;
    let mut nothing = Listening::default();
    let listening = connection.listening.as_deref_mut().unwrap_or(&mut nothing);
    let mut changes = Vec::new();
    let mut out = ReplyBuffer::default();
    let names: Vec<Bytes> = match args.from(1) {
        [] => listening.of(kind).iter().cloned().collect(),
        given => given.iter().map(|name| Bytes::copy_from_slice(name)).collect(),
    };
    if names.is_empty() {
        let count = listening.told(kind);
        confirm(&mut RespReply::new(&mut out, version), word, None, count);
    }
    for name in names {
        if listening.of_mut(kind).shift_remove(&name) {
            core.pubsub.audience.remove(kind, &name, id);
            changes.push(Change { kind, name: name.clone(), comes: false });
        }
        let count = listening.told(kind);
        confirm(&mut RespReply::new(&mut out, version), word, Some(&name), count);
    }
    if connection.listening.as_ref().is_some_and(|listening| listening.is_empty()) {
        connection.listening = None;
        core.pubsub.audience.connections -= 1;
    }
    core.register(changes, Some((id, out)));
    Ok(Step::Done)
}

impl Core {
    /// A connection listens to nothing any more: it was reset or goes.
    pub fn stop_listening(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get(id) else { return };
        let Some(listening) = connection.listening.take() else { return };
        self.pubsub.audience.connections -= 1;
        let mut changes = Vec::new();
        for kind in [Kind::Channel, Kind::Pattern, Kind::Shard] {
            for name in listening.of(kind) {
                self.pubsub.audience.remove(kind, name, id);
                changes.push(Change { kind, name: name.clone(), comes: false });
            }
        }
        self.register(changes, None);
    }
}

/// `PUBLISH channel message`, `SPUBLISH shardchannel message`: how many receive it, over all lanes.
pub fn publish(core: &mut Core, id: ConnectionId, kind: Kind, args: Args<'_>) -> Outcome {
    let channel = args.get(1).expect("arity was checked");
    check_name(kind, channel)?;
    let payload = match args.blob(2) {
        Some(blob) => blob.clone(),
        None => Bytes::copy_from_slice(&args[2]),
    };
    let message = Message { kind, channel: Bytes::copy_from_slice(channel), payload };
    let home = core.home_of(channel);
    let message = if home == core.lane {
        match core.try_publish(message) {
            Ok(receivers) => {
                if core.connections.get(id).is_some_and(|it| it.listening.is_some()) {
                    // It may be told itself, and is before it is answered.
                    core.end_run();
                }
                return done(core, id, |reply| reply.integer(i64::from(receivers)));
            }
            Err(message) => message,
        }
    } else {
        message
    };
    let connection = core.connections.get(id).expect("its command is running");
    let return_to = ReturnTo::Place { connection: id, sequence: connection.reserve_place() };
    if home == core.lane {
        core.publish_from(home, message, return_to);
    } else {
        core.post_note(home, Note::Publish { message, return_to });
    }
    Ok(Step::Done)
}

/// Whether a connection is told of its own lane alone, as of one node of a cluster: cluster clients
/// add up what the nodes say.
fn is_told_of_lane(core: &mut Core, id: ConnectionId) -> bool {
    core.connections.get(id).is_some_and(|it| it.session.door == Door::Lane)
}

/// `PUBSUB CHANNELS [pattern]`, `PUBSUB SHARDCHANNELS [pattern]`.
fn channels(core: &mut Core, id: ConnectionId, kind: Kind, args: Args<'_>) -> Outcome {
    if args.len() > 3 {
        let name = crate::admin::quoted(&args[1]);
        return Err(CommandError::Text(format!(
            "ERR unknown subcommand or wrong number of arguments for '{name}'. Try PUBSUB HELP."
        )));
    }
    let pattern = args.get(2).map(<[u8]>::to_vec);
    if let Some(pattern) = &pattern {
        check_name(Kind::Pattern, pattern)?;
    }
    let lane_alone = is_told_of_lane(core, id);
    let question = Question::Channels { kind, pattern, until: usize::MAX };
    let finish = match (lane_alone, kind) {
        (false, _) => finish_channels,
        (true, Kind::Shard) => finish_lane_shard_channels,
        (true, Kind::Channel | Kind::Pattern) => finish_lane_channels,
    };
    Ok(Step::Ask(question, finish))
}

/// A slice of the names that live on this lane.
pub fn list(core: &Core, kind: Kind, pattern: Option<&Vec<u8>>, until: usize) -> Answer {
    let wanted = pattern.map(Vec::as_slice);
    let (names, rest) = core.pubsub.registry.borrow().list(kind, wanted, until, NAMES_A_SLICE);
    let question = |until| Box::new(Question::Channels { kind, pattern: pattern.cloned(), until });
    Answer::Names { names, rest: rest.map(question) }
}

fn finish_channels(_: &mut Core, answers: Answers<'_>, reply: &mut RespReply<'_>) {
    write_names(names_of(answers.answers), reply);
}

/// Of those names that somebody listens to, those that a connection of this lane listens to.
fn finish_lane_channels(core: &mut Core, answers: Answers<'_>, reply: &mut RespReply<'_>) {
    let mut names = names_of(answers.answers);
    names.retain(|name| core.pubsub.audience.count(Kind::Channel, name) > 0);
    write_names(names, reply);
}

fn finish_lane_shard_channels(core: &mut Core, answers: Answers<'_>, reply: &mut RespReply<'_>) {
    let mut names = names_of(answers.answers);
    names.retain(|name| core.pubsub.audience.count(Kind::Shard, name) > 0);
    write_names(names, reply);
}

fn names_of(answers: Vec<Answer>) -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = answers.into_iter().flat_map(Answer::names).collect();
    // Between two slices a name may have taken another's place and been told again.
    names.sort_unstable();
    names.dedup();
    names
}

fn write_names(names: Vec<Vec<u8>>, reply: &mut RespReply<'_>) {
    reply.array(names.len());
    for name in names {
        reply.bulk(&name);
    }
}

/// `PUBSUB NUMPAT`.
fn patterns(core: &mut Core, id: ConnectionId, _: Args<'_>) -> Outcome {
    let count = if is_told_of_lane(core, id) {
        core.pubsub.audience.names(Kind::Pattern).count()
    } else {
        core.pubsub.registry.borrow().patterns()
    };
    done(core, id, |reply| reply.integer(count as i64))
}

/// `PUBSUB NUMSUB [channel …]`, `PUBSUB SHARDNUMSUB [shardchannel …]`.
fn counts(core: &mut Core, id: ConnectionId, kind: Kind, args: Args<'_>) -> Outcome {
    if is_told_of_lane(core, id) {
        let audience = &core.pubsub.audience;
        let counts = args.from(2).iter().map(|name| audience.count(kind, name) as u64).collect();
        return done(core, id, |reply| write_counts(args.from(2), counts, reply));
    }
    let names = args.from(2).iter().map(|name| name.to_vec()).collect();
    Ok(Step::Ask(Question::Listeners { kind, names }, finish_counts))
}

/// How many listen to each of these names, as far as they live on this lane.
pub fn listeners(core: &Core, kind: Kind, names: &[Vec<u8>]) -> Answer {
    let count = |name: &Vec<u8>| u64::from(core.pubsub.registry.borrow().count(kind, name));
    Answer::Counts(names.iter().map(count).collect())
}

fn finish_counts(_: &mut Core, answers: Answers<'_>, reply: &mut RespReply<'_>) {
    let names = answers.args.get(2..).unwrap_or_default();
    let mut sums = vec![0; names.len()];
    for counts in answers.answers.into_iter().map(Answer::counts) {
        sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }
    write_counts(names, sums, reply);
}

fn write_counts<N: AsRef<[u8]>>(names: &[N], counts: Vec<u64>, reply: &mut RespReply<'_>) {
    reply.array(names.len() * 2);
    for (name, count) in names.iter().zip(counts) {
        reply.bulk(name.as_ref());
        reply.integer(count as i64);
    }
}
