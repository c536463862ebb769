//! Runs handlers on a store, whichever thread has it: what they are given, and what came of it. Knows
//! of no connection and no other lane.

use ringlane_base::Database;
use ringlane_command::script::Scripts;
use ringlane_command::spec::Handler;
use ringlane_command::{
    Args, CommandError, CommandSpec, Context, HandlerLimits, Lookups, Merge, RoutedKey, Run,
    Waiting,
};
use ringlane_resp::Version;
use ringlane_store::Store;
use smallvec::SmallVec;

use crate::reply::{RespReply, SumReply};
use crate::reply_buffer::ReplyBuffer;
use crate::tracking::Mark;

/// Arguments of one command; more than these go to the heap.
pub type Slices<'a> = SmallVec<[&'a [u8]; 8]>;

/// How a handler is to run.
#[derive(Clone, Copy)]
pub struct Manner {
    pub database: Database,
    pub version: Version,
    pub no_touch: bool,
    /// Of a client that tracks.
    pub mark: Option<Mark>,
    pub limits: HandlerLimits,
}

/// What came of running a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ran {
    Fine,
    /// It answered an error.
    Failed,
    /// It would take too long here: nothing has happened, and nothing is answered.
    Aside,
}

/// Runs a handler on a store and writes its reply.
#[inline]
pub fn run_handler(
    store: &mut Store,
    handler: Handler,
    args: Args<'_>,
    routed: Option<RoutedKey>,
    manner: Manner,
    scripts: Scripts<'_>,
    out: &mut ReplyBuffer,
) -> Ran {
    let before = out.mark();
    let mut reply = RespReply::new(out, manner.version);
    let mut context = Context {
        store,
        args,
        routed,
        database: manner.database,
        limits: manner.limits,
        waiting: Waiting::Never,
        scripts,
        lookups: None,
        reply: &mut reply,
    };
    match handler(&mut context) {
        Ok(()) => Ran::Fine,
        Err(error) => {
            out.truncate(before);
            if error == CommandError::Aside {
                return Ran::Aside;
            }
            RespReply::new(out, manner.version).error_line(&error);
            Ran::Failed
        }
    }
}

/// Runs a command that names keys by patterns. None: it has to know what these hold; nothing has happened.
pub fn run_looking_up(
    store: &mut Store,
    spec: &CommandSpec,
    args: Args<'_>,
    manner: Manner,
    lookups: &mut Lookups,
    out: &mut ReplyBuffer,
) -> Option<Ran> {
    let Run::Store(handler) = spec.run else {
        unreachable!("only commands on data run on a store");
    };
    let before = out.mark();
    let mut reply = RespReply::new(out, manner.version);
    let mut context = Context {
        store,
        args,
        routed: None,
        database: manner.database,
        limits: manner.limits,
        waiting: Waiting::Never,
        scripts: None,
        lookups: Some(lookups),
        reply: &mut reply,
    };
    let Err(error) = handler(&mut context) else { return Some(Ran::Fine) };
    out.truncate(before);
    match error {
        CommandError::LooksUp => None,
        CommandError::Aside => Some(Ran::Aside),
        error => {
            RespReply::new(out, manner.version).error_line(&error);
            Some(Ran::Failed)
        }
    }
}

/// Runs a command whose keys are all here; commands of many keys call their handler once a key.
#[inline]
pub fn run_here(
    store: &mut Store,
    spec: &CommandSpec,
    args: Args<'_>,
    routed: Option<RoutedKey>,
    manner: Manner,
    scripts: Scripts<'_>,
    out: &mut ReplyBuffer,
) -> Ran {
    let Run::Store(handler) = spec.run else {
        unreachable!("only commands on data run on a store");
    };
    match spec.merge {
        Merge::Ordered => {
            RespReply::new(out, manner.version).array_header(args.len() - 1);
            let (mut ran, mut routed) = (Ran::Fine, routed);
            for key in args.from(1) {
                let one = [&args[0], *key];
                // Of the first key, which is the first argument there too.
                let (one, routed) = (Args::new(&one, &[]), routed.take());
                if run_handler(store, handler, one, routed, manner, None, out) != Ran::Fine {
                    ran = Ran::Failed;
                }
            }
            ran
        }
        Merge::Sum => {
            let (mut sum, mut routed) = (SumReply::default(), routed);
            for key in args.from(1) {
                let one = [&args[0], *key];
                let mut context = Context {
                    store,
                    args: Args::new(&one, &[]),
                    routed: routed.take(),
                    database: manner.database,
                    limits: manner.limits,
                    waiting: Waiting::Never,
                    scripts: None,
                    lookups: None,
                    reply: &mut sum,
                };
                if let Err(error) = handler(&mut context) {
                    RespReply::new(out, manner.version).error_line(&error);
                    return Ran::Failed;
                }
            }
            RespReply::new(out, manner.version).integer_line(sum.total);
            Ran::Fine
        }
        Merge::Single | Merge::Together if spec.is_given_much(args, manner.limits) => Ran::Aside,
        Merge::Single
        | Merge::Together
        | Merge::SpreadSum
        | Merge::SpreadOk
        | Merge::SpreadJoin
        | Merge::Cursor
        | Merge::Pick => run_handler(store, handler, args, routed, manner, scripts, out),
    }
}
