//! Streams.

use super::subcommands::{XGROUP, XINFO};
use crate::{introspect, stream, stream_claim, stream_group, stream_read, stream_trim};

commands! { STREAMS from super::sorted_sets::SORTED_SETS_END, up to STREAMS_END;
    "xack" AtLeast(4) Write First Single => Store(stream_group::xack), "key group id [id ...]"
        [FAST] [STREAM] ["RW update"] []
        Stream "5.0.0" "O(log N) an id" "Acknowledges entries that a group has given out.";
    "xackdel" AtLeast(6) Write First Single => Store(stream_trim::xackdel),
        "key group [KEEPREF | DELREF | ACKED] IDS numids id [id ...]"
        [FAST] [STREAM] ["RW update delete"] []
        Stream "8.2.0" "O(log N) an id" "Acknowledges entries and deletes them.";
    "xadd" AtLeast(5) Write First Single => Store(stream::xadd),
        "key [NOMKSTREAM] [KEEPREF | DELREF | ACKED] [<MAXLEN | MINID> [= | ~] threshold \
         [LIMIT count]] <* | id> field value [field value ...]"
        [DENYOOM FAST] [STREAM] ["RW update"] [VARIES]
        Stream "5.0.0" "O(1), and O(N) in the entries trimmed" "Adds an entry to a stream.";
    "xautoclaim" AtLeast(6) Write First Single => Store(stream_claim::xautoclaim),
        "key group consumer min-idle-time start [COUNT count] [JUSTID]"
        [FAST] [STREAM] ["RW delete"] [VARIES]
        Stream "6.2.0" "O(COUNT)" "Takes over entries that others have had pending for long.";
    "xclaim" AtLeast(6) Write First Single => Store(stream_claim::xclaim),
        "key group consumer min-idle-time id [id ...] [IDLE ms] [TIME unix-time-milliseconds] \
         [RETRYCOUNT count] [FORCE] [JUSTID] [LASTID lastid]"
        [FAST] [STREAM] ["RW update"] [VARIES]
        Stream "5.0.0" "O(log N) an id" "Takes over entries that another has pending.";
    "xdel" AtLeast(3) Write First Single => Store(stream::xdel), "key id [id ...]"
        [FAST] [STREAM] ["RW delete"] []
        Stream "5.0.0" "O(log N) an id" "Deletes entries of a stream.";
    "xdelex" AtLeast(5) Write First Single => Store(stream_trim::xdelex),
        "key [KEEPREF | DELREF | ACKED] IDS numids id [id ...]"
        [FAST] [STREAM] ["RW delete"] []
        Stream "8.2.0" "O(log N) an id and group" "Deletes entries, minding who has them pending.";
    "xgroup" AtLeast(2) Neither None Single => Store(introspect::help), "subcommand [argument ...]"
        [] [] [] []
        Stream "5.0.0" "Depends on the subcommand" "Manages the groups of a stream." of XGROUP;
    "xinfo" AtLeast(2) Neither None Single => Store(introspect::help), "subcommand [argument ...]"
        [] [] [] []
        Stream "5.0.0" "Depends on the subcommand" "Looks into a stream." of XINFO;
    "xlen" Exactly(2) Read First Single => Store(stream::xlen), "key"
        [FAST] [STREAM] ["RO"] []
        Stream "5.0.0" "O(1)" "Counts the entries of a stream.";
    "xpending" AtLeast(3) Read First Single => Store(stream_group::xpending),
        "key group [[IDLE min-idle-time] start end count [consumer]]"
        [] [STREAM] ["RO access"] [VARIES]
        Stream "5.0.0" "O(N) in the entries shown or passed" "Lists what a group has pending.";
    "xrange" AtLeast(4) Read First Single => Store(stream::xrange), "key start end [COUNT count]"
        [] [STREAM] ["RO access"] []
        Stream "5.0.0" "O(log N), and O(M) in the entries returned" "Gives entries by their ids.";
    "xread" AtLeast(4) Read Streams Together => Store(stream_read::xread),
        "[COUNT count] [BLOCK milliseconds] STREAMS key [key ...] id [id ...]"
        [BLOCKING] [STREAM] ["RO access"] []
        Stream "5.0.0" "O(log N) a stream, and O(M) in the entries returned"
        "Gives new entries of streams, waiting for some if told to.";
    "xreadgroup" AtLeast(7) Write Streams Together => Store(stream_read::xreadgroup),
        "GROUP group consumer [COUNT count] [BLOCK milliseconds] [CLAIM min-idle-time] [NOACK] \
         STREAMS key [key ...] id [id ...]"
        [BLOCKING] [STREAM] ["RO access"] []
        Stream "5.0.0" "O(log N) a stream, and O(M) in the entries returned"
        "Gives entries of streams to a consumer of a group, each to one.";
    "xrevrange" AtLeast(4) Read First Single => Store(stream::xrevrange),
        "key end start [COUNT count]"
        [] [STREAM] ["RO access"] []
        Stream "5.0.0" "O(log N), and O(M) in the entries returned"
        "Gives entries by their ids, from the last to the first.";
    "xsetid" AtLeast(3) Write First Single => Store(stream::xsetid),
        "key last-id [ENTRIESADDED entries-added] [MAXDELETEDID max-deleted-id]"
        [DENYOOM FAST] [STREAM] ["RW update"] []
        Stream "5.0.0" "O(1)" "Sets the last id of a stream.";
    "xtrim" AtLeast(4) Write First Single => Store(stream_trim::xtrim),
        "key <MAXLEN | MINID> [= | ~] threshold [LIMIT count] [KEEPREF | DELREF | ACKED]"
        [] [STREAM] ["RW delete"] [VARIES]
        Stream "5.0.0" "O(N) in the entries trimmed" "Takes the oldest entries out of a stream.";
}
