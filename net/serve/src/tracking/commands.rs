//! CLIENT TRACKING, CACHING, GETREDIR and TRACKINGINFO.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use indexmap::IndexSet;
use ringlane_base::LaneId;
use ringlane_command::{Args, CommandError, Reply, parse};

use super::{Mode, Redirect, Tracking};
use crate::admin::{Outcome, done, quoted};
use crate::ask::{Answer, Answers, Question, Step};
use crate::connection::Phase;
use crate::core::Core;
use crate::pubsub::Note;
use crate::reply::RespReply;
use crate::ring::ConnectionId;

/// Prefixes of one connection.
const PREFIXES_MAX: usize = 1024;
/// Of a prefix: every key that changes is compared with it.
const PREFIX_BYTES_MAX: usize = 4 << 10;

const NO_SUCH_CLIENT: CommandError =
    CommandError::Fixed("ERR The client ID you want redirect to does not exist");

/// What `CLIENT TRACKING ON` was asked for.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    mode: Mode,
    noloop: bool,
    redirect: Option<u64>,
    prefixes: Vec<Bytes>,
}

impl Wanted {
    /// Reads `ON [REDIRECT id] [PREFIX prefix …] [BCAST] [OPTIN] [OPTOUT] [NOLOOP]` from the third
    /// argument on; None for `OFF`.
    fn parse(args: Args<'_>) -> Result<Option<Self>, CommandError> {
        let (mut broadcast, mut opt_in, mut opt_out, mut noloop) = (false, false, false, false);
        let mut redirect = None;
        let mut prefixes: Vec<Bytes> = Vec::new();
        let mut rest = args.from(3).iter();
        while let Some(option) = rest.next() {
            if parse::is(option, "redirect") {
                let id = rest.next().ok_or(CommandError::Syntax)?;
                if redirect.is_some() {
                    let text = "ERR A client can only redirect to a single other client";
                    return Err(CommandError::Fixed(text));
                }
                // No client has a number that is not positive.
                redirect = Some(u64::try_from(parse::integer(id)?).unwrap_or(0));
            } else if parse::is(option, "prefix") {
                let prefix = rest.next().ok_or(CommandError::Syntax)?;
                prefixes.push(Bytes::copy_from_slice(prefix));
            } else if parse::is(option, "bcast") {
                broadcast = true;
            } else if parse::is(option, "optin") {
                opt_in = true;
            } else if parse::is(option, "optout") {
                opt_out = true;
            } else if parse::is(option, "noloop") {
                noloop = true;
            } else {
                return Err(CommandError::Syntax);
            }
        }
        if parse::is(&args[2], "off") {
            return Ok(None);
        }
        if !parse::is(&args[2], "on") {
            return Err(CommandError::Syntax);
        }
        if !broadcast && !prefixes.is_empty() {
            let text = "ERR PREFIX option requires BCAST mode to be enabled";
            return Err(CommandError::Fixed(text));
        }
        let mode = mode(broadcast, opt_in, opt_out)?;
        check_prefixes(&prefixes)?;
        if broadcast && prefixes.is_empty() {
            prefixes.push(Bytes::new());
        }
        Ok(Some(Self { mode, noloop, redirect, prefixes }))
    }

    /// Whether a client that tracks already may change to this.
    fn check_change(&self, tracking: &Tracking) -> Result<(), CommandError> {
        if (self.mode == Mode::Broadcast) != (tracking.mode == Mode::Broadcast) {
            return Err(CommandError::Fixed(
                "ERR You can't switch BCAST mode on/off before disabling tracking for this client, \
                 and then re-enabling it with a different mode.",
            ));
        }
        let opposite = (self.mode == Mode::OptIn && tracking.mode == Mode::OptOut)
            || (self.mode == Mode::OptOut && tracking.mode == Mode::OptIn);
        if opposite {
            return Err(CommandError::Fixed(
                "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, \
                 and then re-enabling it with a different mode.",
            ));
        }
        for given in &self.prefixes {
            if let Some(there) = tracking.prefixes.iter().find(|there| overlap(there, given))
                && there != given
            {
                return Err(CommandError::Text(format!(
                    "ERR Prefix '{}' overlaps with an existing prefix '{}'. Prefixes for a single \
                     client must not overlap.",
                    quoted(given),
                    quoted(there)
                )));
            }
        }
        if tracking.prefixes.len() + self.prefixes.len() > PREFIXES_MAX {
            return Err(too_many_prefixes());
        }
        Ok(())
    }
}

fn mode(broadcast: bool, opt_in: bool, opt_out: bool) -> Result<Mode, CommandError> {
    let refusal = match (broadcast, opt_in, opt_out) {
        (true, true, _) | (true, _, true) => "ERR OPTIN and OPTOUT are not compatible with BCAST",
        (false, true, true) => "ERR You can't specify both OPTIN mode and OPTOUT mode",
        (true, false, false) => return Ok(Mode::Broadcast),
        (false, true, false) => return Ok(Mode::OptIn),
        (false, false, true) => return Ok(Mode::OptOut),
        (false, false, false) => return Ok(Mode::Always),
    };
    Err(CommandError::Fixed(refusal))
}

fn too_many_prefixes() -> CommandError {
    CommandError::Text(format!("ERR too many prefixes on one connection (limit {PREFIXES_MAX})"))
}

fn overlap(one: &[u8], other: &[u8]) -> bool {
    one.starts_with(other) || other.starts_with(one)
}

/// Prefixes of one command must not overlap.
fn check_prefixes(prefixes: &[Bytes]) -> Result<(), CommandError> {
    if prefixes.len() > PREFIXES_MAX {
        return Err(too_many_prefixes());
    }
    for (index, one) in prefixes.iter().enumerate() {
        if one.len() > PREFIX_BYTES_MAX {
            let text = "ERR prefix exceeds the maximum allowed size of 4 KiB";
            return Err(CommandError::Fixed(text));
        }
        if let Some(other) = prefixes[index + 1..].iter().find(|other| overlap(one, other)) {
            return Err(CommandError::Text(format!(
                "ERR Prefix '{}' overlaps with another provided prefix '{}'. Prefixes for a single \
                 client must not overlap.",
                quoted(one),
                quoted(other)
            )));
        }
    }
    Ok(())
}

/// `CLIENT TRACKING ON|OFF …`. Answered once every lane knows its prefixes, and has said whether it
/// has the client that is redirected to.
pub fn tracking(core: &mut Core, id: ConnectionId, args: Args<'_>) -> Outcome {
    let Some(wanted) = Wanted::parse(args)? else {
        core.stop_tracking(id);
        return done(core, id, |reply| reply.simple("OK"));
    };
    let connection = core.connections.get(id).expect("its command is running");
    if let Some(tracking) = &connection.tracking {
        wanted.check_change(tracking)?;
    }
    if wanted.redirect.is_some() || !wanted.prefixes.is_empty() {
        // Begun before it is asked: who answers has heard of it, since notes keep their order.
        if wanted.redirect.is_none() {
            core.start_tracking(id, wanted, None);
            return Ok(Step::Ask(Question::FindClient(0), finish_ok));
        }
        let client = wanted.redirect.expect("just seen");
        core.announce_prefixes(wanted.prefixes.iter().map(|prefix| (prefix.clone(), true)));
        return Ok(Step::Ask(Question::FindClient(client), finish_redirected));
    }
    core.start_tracking(id, wanted, None);
    done(core, id, |reply| reply.simple("OK"))
}

fn finish_ok(_: &mut Core, _: Answers<'_>, reply: &mut RespReply<'_>) {
    reply.simple("OK");
}

fn finish_redirected(core: &mut Core, answers: Answers<'_>, reply: &mut RespReply<'_>) {
    let slices: Vec<&[u8]> = answers.args.iter().map(Vec::as_slice).collect();
    let wanted = Wanted::parse(Args::new(&slices, &[]));
    let wanted = wanted.ok().flatten().expect("read before");
    let mut found = None;
    // The answers come in the order of the lanes.
    for (lane, answer) in answers.answers.into_iter().enumerate() {
        if let Some(connection) = answer.client() {
            let client = wanted.redirect.unwrap_or(0);
            found = Some(Redirect { client, lane: LaneId(lane as u16), connection });
        }
    }
    // What was announced before is announced anew when it is begun.
    core.announce_prefixes(wanted.prefixes.iter().map(|prefix| (prefix.clone(), false)));
    if found.is_none() {
        return reply.error(&NO_SUCH_CLIENT);
    }
    core.start_tracking(answers.connection, wanted, found);
    reply.simple("OK");
}

/// The connection of a client, if this lane has it; it stays here from now on.
pub fn find_client(core: &mut Core, client: u64) -> Answer {
    let is_it =
        |it: &&crate::connection::Connection| it.session.id == client && it.phase == Phase::Open;
    let found = core.connections.iter().find(is_it).map(|it| it.id);
    if let Some(connection) = found.and_then(|id| core.connections.get(id)) {
        connection.pinned = true;
    }
    Answer::Client(found)
}

impl Core {
    fn start_tracking(&mut self, id: ConnectionId, wanted: Wanted, redirect: Option<Redirect>) {
        let Some(connection) = self.connections.get(id) else { return };
        let begins = connection.tracking.is_none();
        let tracking = connection.tracking.get_or_insert_with(|| {
            Box::new(Tracking {
                mode: wanted.mode,
                noloop: false,
                caching: false,
                redirect: None,
                broken: false,
                prefixes: IndexSet::new(),
            })
        });
        tracking.mode = wanted.mode;
        tracking.noloop = wanted.noloop;
        tracking.redirect = redirect;
        tracking.broken = false;
        let prefixes = wanted.prefixes.into_iter();
        let fresh: Vec<Bytes> =
            prefixes.filter(|prefix| tracking.prefixes.insert(prefix.clone())).collect();
        for prefix in &fresh {
            self.tracking.broadcasts.entry(prefix.clone()).or_default().insert(id);
        }
        if begins {
            self.tracking.clients.insert(id);
            self.shared.trackings.fetch_add(1, Ordering::Release);
        }
        self.announce_prefixes(fresh.into_iter().map(|prefix| (prefix, true)));
    }

    /// A connection tracks no more: it said so, was reset, or goes. What was remembered for it stays
    /// until it changes.
    pub fn stop_tracking(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get(id) else { return };
        let Some(tracking) = connection.tracking.take() else { return };
        self.tracking.clients.swap_remove(&id);
        if self.tracking.clients.is_empty() {
            self.tracking.clients.shrink_to_fit();
        }
        if connection.phase == Phase::Closing {
            self.tracking.table.leave(self.lane, id);
            for lane in (0..self.shared.lanes() as u16).map(LaneId) {
                if lane != self.lane {
                    self.post_note(lane, Note::TrackerGone(id));
                }
            }
        }
        self.shared.trackings.fetch_sub(1, Ordering::Release);
        for prefix in &tracking.prefixes {
            let ids = self.tracking.broadcasts.get_mut(prefix).expect("it wants this prefix");
            ids.swap_remove(&id);
            if ids.is_empty() {
                self.tracking.broadcasts.swap_remove(prefix);
            }
        }
        if self.tracking.broadcasts.is_empty() {
            self.tracking.broadcasts.shrink_to_fit();
        }
        self.announce_prefixes(tracking.prefixes.into_iter().map(|prefix| (prefix, false)));
    }

    /// Tells all lanes, this one included, which prefixes a client of this lane has begun or ceased
    /// to want.
    fn announce_prefixes(&mut self, changes: impl Iterator<Item = (Bytes, bool)>) {
        let changes: Vec<(Bytes, bool)> = changes.collect();
        if changes.is_empty() {
            return;
        }
        self.take_prefixes(self.lane, &changes);
        for lane in (0..self.shared.lanes() as u16).map(LaneId) {
            if lane != self.lane {
                self.post_note(lane, Note::Prefixes(changes.clone()));
            }
        }
    }
}

/// `CLIENT CACHING YES|NO`.
pub fn caching(core: &mut Core, id: ConnectionId, args: Args<'_>) -> Outcome {
    const NOT_TRACKING: &str = "ERR CLIENT CACHING can be called only when the client is in tracking \
        mode with OPTIN or OPTOUT mode enabled";
    let connection = core.connections.get(id).expect("its command is running");
    let Some(tracking) = connection.tracking.as_mut() else {
        return Err(CommandError::Fixed(NOT_TRACKING));
    };
    let refusal = match (tracking.mode, &args[2]) {
        (Mode::OptIn, word) if parse::is(word, "yes") => None,
        (Mode::OptOut, word) if parse::is(word, "no") => None,
        (_, word) if parse::is(word, "yes") => {
            Some("ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.")
        }
        (_, word) if parse::is(word, "no") => {
            Some("ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.")
        }
        _ => return Err(CommandError::Syntax),
    };
    if let Some(refusal) = refusal {
        return Err(CommandError::Fixed(refusal));
    }
    tracking.caching = true;
    done(core, id, |reply| reply.simple("OK"))
}

/// What GETREDIR and CLIENT LIST tell: a client, 0 for itself, -1 for none.
pub fn told_redirect(tracking: Option<&Tracking>) -> i64 {
    let redirect = tracking.map(|tracking| tracking.redirect.map_or(0, |it| it.client));
    redirect.map_or(-1, |client| client as i64)
}

/// `CLIENT GETREDIR`.
pub fn get_redirect(core: &mut Core, id: ConnectionId, _: Args<'_>) -> Outcome {
    let connection = core.connections.get(id).expect("its command is running");
    let redirect = told_redirect(connection.tracking.as_deref());
    done(core, id, |reply| reply.integer(redirect))
}

/// `CLIENT TRACKINGINFO`.
pub fn info(core: &mut Core, id: ConnectionId, _: Args<'_>) -> Outcome {
    let connection = core.connections.get(id).expect("its command is running");
    let tracking = connection.tracking.as_deref();
    let redirect = told_redirect(tracking);
    let mut flags = vec![if tracking.is_some() { "on" } else { "off" }];
    let mut prefixes = Vec::new();
    if let Some(tracking) = tracking {
        match (tracking.mode, tracking.caching) {
            (Mode::Always, _) => {}
            (Mode::Broadcast, _) => flags.push("bcast"),
            (Mode::OptIn, false) => flags.push("optin"),
            (Mode::OptIn, true) => flags.extend(["optin", "caching-yes"]),
            (Mode::OptOut, false) => flags.push("optout"),
            (Mode::OptOut, true) => flags.extend(["optout", "caching-no"]),
        }
        if tracking.noloop {
            flags.push("noloop");
        }
        if tracking.broken {
            flags.push("broken_redirect");
        }
        prefixes.extend(tracking.prefixes.iter().cloned());
    }
    // In the order of their bytes, as in Redis.
    prefixes.sort_unstable();
    done(core, id, |reply| {
        reply.map(3);
        reply.bulk(b"flags");
        reply.set(flags.len());
        for flag in flags {
            reply.bulk(flag.as_bytes());
        }
        reply.bulk(b"redirect");
        reply.integer(redirect);
        reply.bulk(b"prefixes");
        reply.array(prefixes.len());
        for prefix in &prefixes {
            reply.bulk(prefix);
        }
    })
}
