//! Sorted sets.

use crate::{sorted, sorted_algebra, sorted_pop, sorted_range};

commands! { SORTED_SETS from super::sets::SETS_END, up to SORTED_SETS_END;
    "bzmpop" AtLeast(5) Write Counted(2) Together => Store(sorted_pop::bzmpop),
        "timeout numkeys key [key ...] <MIN | MAX> [COUNT count]"
        [BLOCKING] [SORTEDSET] ["RW access delete"] []
        SortedSet "7.0.0" "O(K+M*log N) in the keys, the members taken and those that are there"
        "Takes members from the first sorted set that has any, waiting for them if need be.";
    "bzpopmax" AtLeast(3) Write AllButLast Together => Store(sorted_pop::bzpopmax),
        "key [key ...] timeout"
        [BLOCKING FAST] [SORTEDSET] ["RW access delete"] []
        SortedSet "5.0.0" "O(log N)"
        "Takes the highest member of the first sorted set that has any, waiting if need be.";
    "bzpopmin" AtLeast(3) Write AllButLast Together => Store(sorted_pop::bzpopmin),
        "key [key ...] timeout"
        [BLOCKING FAST] [SORTEDSET] ["RW access delete"] []
        SortedSet "5.0.0" "O(log N)"
        "Takes the lowest member of the first sorted set that has any, waiting if need be.";
    "zadd" AtLeast(4) Write First Single => Store(sorted::zadd),
        "key [NX | XX] [GT | LT] [CH] [INCR] score member [score member ...]"
        [DENYOOM FAST] [SORTEDSET] ["RW update"] []
        SortedSet "1.2.0" "O(log N) a member" "Adds members, or gives them other scores.";
    "zcard" Exactly(2) Read First Single => Store(sorted::zcard), "key"
        [FAST] [SORTEDSET] ["RO"] []
        SortedSet "1.2.0" "O(1)" "Gives the number of members.";
    "zcount" Exactly(4) Read First Single => Store(sorted::zcount), "key min max"
        [FAST] [SORTEDSET] ["RO access"] []
        SortedSet "2.0.0" "O(log N)" "Counts the members within a range of scores.";
    "zdiff" AtLeast(3) Read Counted(1) Together => Store(sorted_algebra::zdiff),
        "numkeys key [key ...] [WITHSCORES]"
        [] [SORTEDSET] ["RO access"] []
        SortedSet "6.2.0" "O(L+N*K+R*log R) in the first set, its members times the sets, the result"
        "Gives the members of the first sorted set that are in none of the others.";
    "zdiffstore" AtLeast(4) Write ToCounted Together => Store(sorted_algebra::zdiffstore),
        "destination numkeys key [key ...]"
        [DENYOOM] [SORTEDSET] ["OW update", "RO access"] []
        SortedSet "6.2.0" "O(L+N*K+R*log R) in the first set, its members times the sets, the result"
        "Stores the members of the first sorted set that are in none of the others.";
    "zincrby" Exactly(4) Write First Single => Store(sorted::zincrby), "key increment member"
        [DENYOOM FAST] [SORTEDSET] ["RW access update"] []
        SortedSet "1.2.0" "O(log N)" "Adds to the score of a member.";
    "zinter" AtLeast(3) Read Counted(1) Together => Store(sorted_algebra::zinter),
        "numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX | COUNT>] [WITHSCORES]"
        [] [SORTEDSET] ["RO access"] []
        SortedSet "6.2.0" "O(N*K+R*log R) in the smallest set times the sets, and the result"
        "Gives the members that are in all sorted sets.";
    "zintercard" AtLeast(3) Read Counted(1) Together => Store(sorted_algebra::zintercard),
        "numkeys key [key ...] [LIMIT limit]"
        [] [SORTEDSET] ["RO access"] []
        SortedSet "7.0.0" "O(N*K) in the smallest set times the sets"
        "Counts the members that are in all sorted sets.";
    "zinterstore" AtLeast(4) Write ToCounted Together => Store(sorted_algebra::zinterstore),
        "destination numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX | COUNT>]"
        [DENYOOM] [SORTEDSET] ["OW update", "RO access"] []
        SortedSet "2.0.0" "O(N*K+R*log R) in the smallest set times the sets, and the result"
        "Stores the members that are in all sorted sets.";
    "zlexcount" Exactly(4) Read First Single => Store(sorted::zlexcount), "key min max"
        [FAST] [SORTEDSET] ["RO access"] []
        SortedSet "2.8.9" "O(log N)" "Counts the members between two, where all scores are equal.";
    "zmpop" AtLeast(4) Write Counted(1) Together => Store(sorted_pop::zmpop),
        "numkeys key [key ...] <MIN | MAX> [COUNT count]"
        [] [SORTEDSET] ["RW access delete"] []
        SortedSet "7.0.0" "O(K+M*log N) in the keys, the members taken and those that are there"
        "Takes members from the first sorted set that has any.";
    "zmscore" AtLeast(3) Read First Single => Store(sorted::zmscore), "key member [member ...]"
        [FAST] [SORTEDSET] ["RO access"] []
        SortedSet "6.2.0" "O(1) a member" "Gives the scores of members.";
    "zpopmax" AtLeast(2) Write First Single => Store(sorted_pop::zpopmax), "key [count]"
        [FAST] [SORTEDSET] ["RW access delete"] []
        SortedSet "5.0.0" "O(log N) a member" "Takes the members with the highest scores.";
    "zpopmin" AtLeast(2) Write First Single => Store(sorted_pop::zpopmin), "key [count]"
        [FAST] [SORTEDSET] ["RW access delete"] []
        SortedSet "5.0.0" "O(log N) a member" "Takes the members with the lowest scores.";
    "zrandmember" AtLeast(2) Read First Single => Store(sorted::zrandmember),
        "key [count [WITHSCORES]]"
        [] [SORTEDSET] ["RO access"] [VARIES]
        SortedSet "6.2.0" "O(log N) a member" "Gives members chosen by chance.";
    "zrange" AtLeast(4) Read First Single => Store(sorted_range::zrange),
        "key start stop [BYSCORE | BYLEX] [REV] [LIMIT offset count] [WITHSCORES]"
        [] [SORTEDSET] ["RO access"] []
        SortedSet "1.2.0" "O(log N+M) in the set and the members returned"
        "Gives the members within a range of ranks, scores or members.";
    "zrangebylex" AtLeast(4) Read First Single => Store(sorted_range::zrangebylex),
        "key min max [LIMIT offset count]"
        [] [SORTEDSET] ["RO access"] []
        SortedSet "2.8.9" "O(log N+M) in the set and the members returned"
        "Gives the members between two, where all scores are equal.", instead "6.2.0" "`ZRANGE` with `BYLEX`";
    "zrangebyscore" AtLeast(4) Read First Single => Store(sorted_range::zrangebyscore),
        "key min max [WITHSCORES] [LIMIT offset count]"
        [] [SORTEDSET] ["RO access"] []
        SortedSet "1.0.5" "O(log N+M) in the set and the members returned"
        "Gives the members within a range of scores.", instead "6.2.0" "`ZRANGE` with `BYSCORE`";
    "zrangestore" AtLeast(5) Write FirstTwo Together => Store(sorted_range::zrangestore),
        "destination source start stop [BYSCORE | BYLEX] [REV] [LIMIT offset count]"
        [DENYOOM] [SORTEDSET] ["OW update", "RO access"] []
        SortedSet "6.2.0" "O(log N+M*log M) in the set and the members stored"
        "Stores the members within a range of ranks, scores or members.";
    "zrank" AtLeast(3) Read First Single => Store(sorted::zrank), "key member [WITHSCORE]"
        [FAST] [SORTEDSET] ["RO access"] []
        SortedSet "2.0.0" "O(log N)" "Gives a member's rank from the lowest score on.";
    "zrem" AtLeast(3) Write First Single => Store(sorted::zrem), "key member [member ...]"
        [FAST] [SORTEDSET] ["RW delete"] []
        SortedSet "1.2.0" "O(log N) a member" "Removes members.";
    "zremrangebylex" Exactly(4) Write First Single => Store(sorted_range::zremrangebylex),
        "key min max"
        [] [SORTEDSET] ["RW delete"] []
        SortedSet "2.8.9" "O(M*log N) in the members removed and the set"
        "Removes the members between two, where all scores are equal.";
    "zremrangebyrank" Exactly(4) Write First Single => Store(sorted_range::zremrangebyrank),
        "key start stop"
        [] [SORTEDSET] ["RW delete"] []
        SortedSet "2.0.0" "O(M*log N) in the members removed and the set"
        "Removes the members within a range of ranks.";
    "zremrangebyscore" Exactly(4) Write First Single => Store(sorted_range::zremrangebyscore),
        "key min max"
        [] [SORTEDSET] ["RW delete"] []
        SortedSet "1.2.0" "O(M*log N) in the members removed and the set"
        "Removes the members within a range of scores.";
    "zrevrange" AtLeast(4) Read First Single => Store(sorted_range::zrevrange),
        "key start stop [WITHSCORES]"
        [] [SORTEDSET] ["RO access"] []
        SortedSet "1.2.0" "O(log N+M) in the set and the members returned"
        "Gives the members within a range of ranks, from the highest score down.", instead "6.2.0" "`ZRANGE` with `REV`";
    "zrevrangebylex" AtLeast(4) Read First Single => Store(sorted_range::zrevrangebylex),
        "key max min [LIMIT offset count]"
        [] [SORTEDSET] ["RO access"] []
        SortedSet "2.8.9" "O(log N+M) in the set and the members returned"
        "Gives the members between two downward, where all scores are equal.", instead "6.2.0" "`ZRANGE` with `BYLEX` and `REV`";
    "zrevrangebyscore" AtLeast(4) Read First Single => Store(sorted_range::zrevrangebyscore),
        "key max min [WITHSCORES] [LIMIT offset count]"
        [] [SORTEDSET] ["RO access"] []
        SortedSet "2.2.0" "O(log N+M) in the set and the members returned"
        "Gives the members within a range of scores, from the highest down.", instead "6.2.0" "`ZRANGE` with `BYSCORE` and `REV`";
    "zrevrank" AtLeast(3) Read First Single => Store(sorted::zrevrank), "key member [WITHSCORE]"
        [FAST] [SORTEDSET] ["RO access"] []
        SortedSet "2.0.0" "O(log N)" "Gives a member's rank from the highest score on.";
    "zscan" AtLeast(3) Read First Single => Store(sorted::zscan),
        "key cursor [MATCH pattern] [COUNT count] [NOSCORES]"
        [] [SORTEDSET] ["RO access"] [VARIES]
        SortedSet "2.8.0" "O(1) a call" "Walks over members and scores, some at a call.";
    "zscore" Exactly(3) Read First Single => Store(sorted::zscore), "key member"
        [FAST] [SORTEDSET] ["RO access"] []
        SortedSet "1.2.0" "O(1)" "Gives the score of a member.";
    "zunion" AtLeast(3) Read Counted(1) Together => Store(sorted_algebra::zunion),
        "numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX | COUNT>] [WITHSCORES]"
        [] [SORTEDSET] ["RO access"] []
        SortedSet "6.2.0" "O(N+R*log R) in the members of all sets and the result"
        "Gives the members that are in any of the sorted sets.";
    "zunionstore" AtLeast(4) Write ToCounted Together => Store(sorted_algebra::zunionstore),
        "destination numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX | COUNT>]"
        [DENYOOM] [SORTEDSET] ["OW update", "RO access"] []
        SortedSet "2.0.0" "O(N+R*log R) in the members of all sets and the result"
        "Stores the members that are in any of the sorted sets.";
}
