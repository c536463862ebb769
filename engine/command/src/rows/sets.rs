//! Sets.

use crate::{set, set_algebra};

commands! { SETS from super::lists::LISTS_END, up to SETS_END;
    "sadd" AtLeast(3) Write First Single => Store(set::sadd), "key member [member ...]"
        [DENYOOM FAST] [SET] ["RW insert"] []
        Set "1.0.0" "O(1) a member" "Adds members to a set.";
    "scard" Exactly(2) Read First Single => Store(set::scard), "key"
        [FAST] [SET] ["RO"] []
        Set "1.0.0" "O(1)" "How many members there are.";
    "sdiff" AtLeast(2) Read All Together => Store(set_algebra::sdiff), "key [key ...]"
        [] [SET] ["RO access"] [UNORDERED]
        Set "1.0.0" "O(N) in the members of all sets" "Gives the members of the first set that no other has.";
    "sdiffstore" AtLeast(3) Write All Together => Store(set_algebra::sdiffstore),
        "destination key [key ...]"
        [DENYOOM] [SET] ["OW update", "RO access"] []
        Set "1.0.0" "O(N) in the members of all sets" "Stores the members of the first set that no other has.";
    "sinter" AtLeast(2) Read All Together => Store(set_algebra::sinter), "key [key ...]"
        [] [SET] ["RO access"] [UNORDERED]
        Set "1.0.0" "O(N*M) in the members of the smallest set and the sets" "Gives the members that are in all sets.";
    "sintercard" AtLeast(3) Read Counted(1) Together => Store(set_algebra::sintercard),
        "numkeys key [key ...] [LIMIT limit]"
        [] [SET] ["RO access"] []
        Set "7.0.0" "O(N*M) in the members of the smallest set and the sets" "How many members are in all sets.";
    "sinterstore" AtLeast(3) Write All Together => Store(set_algebra::sinterstore),
        "destination key [key ...]"
        [DENYOOM] [SET] ["OW update", "RO access"] []
        Set "1.0.0" "O(N*M) in the members of the smallest set and the sets" "Stores the members that are in all sets.";
    "sismember" Exactly(3) Read First Single => Store(set::sismember), "key member"
        [FAST] [SET] ["RO"] []
        Set "1.0.0" "O(1)" "Whether a member is there.";
    "smembers" Exactly(2) Read First Single => Store(set::smembers), "key"
        [] [SET] ["RO access"] [UNORDERED]
        Set "1.0.0" "O(N) in the members" "Gives all members.";
    "smismember" AtLeast(3) Read First Single => Store(set::smismember), "key member [member ...]"
        [FAST] [SET] ["RO access"] []
        Set "6.2.0" "O(1) a member" "Whether members are there.";
    "smove" Exactly(4) Write FirstTwo Together => Store(set::smove), "source destination member"
        [FAST] [SET] ["RW access delete", "RW insert"] []
        Set "1.0.0" "O(1)" "Moves a member from one set to another.";
    "spop" AtLeast(2) Write First Single => Store(set::spop), "key [count]"
        [FAST] [SET] ["RW access delete"] [VARIES]
        Set "1.0.0" "O(N) in the members taken" "Takes members by chance.";
    "srandmember" AtLeast(2) Read First Single => Store(set::srandmember), "key [count]"
        [] [SET] ["RO access"] [VARIES]
        Set "1.0.0" "O(N) in the members returned" "Gives members by chance.";
    "srem" AtLeast(3) Write First Single => Store(set::srem), "key member [member ...]"
        [FAST] [SET] ["RW delete"] []
        Set "1.0.0" "O(1) a member" "Removes members from a set.";
    "sscan" AtLeast(3) Read First Single => Store(set::sscan), "key cursor [MATCH pattern] [COUNT count]"
        [] [SET] ["RO access"] [VARIES]
        Set "2.8.0" "O(1) a call" "Walks through the members.";
    "sunion" AtLeast(2) Read All Together => Store(set_algebra::sunion), "key [key ...]"
        [] [SET] ["RO access"] [UNORDERED]
        Set "1.0.0" "O(N) in the members of all sets" "Gives the members of all sets.";
    "sunionstore" AtLeast(3) Write All Together => Store(set_algebra::sunionstore),
        "destination key [key ...]"
        [DENYOOM] [SET] ["OW update", "RO access"] []
        Set "1.0.0" "O(N) in the members of all sets" "Stores the members of all sets.";
}
