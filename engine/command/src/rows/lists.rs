//! Lists.

use crate::{list, list_move, list_search};

commands! { LISTS from super::hashes::HASHES_END, up to LISTS_END;
    "blmove" Exactly(6) Write FirstTwo Together => Store(list_move::blmove),
        "source destination <LEFT | RIGHT> <LEFT | RIGHT> timeout"
        [DENYOOM BLOCKING] [LIST] ["RW access delete", "RW insert"] []
        List "6.2.0" "O(1)" "Moves an element from one list to another, waiting for it if need be.";
    "blmpop" AtLeast(5) Write Counted(2) Together => Store(list_move::blmpop),
        "timeout numkeys key [key ...] <LEFT | RIGHT> [COUNT count]"
        [BLOCKING] [LIST] ["RW access delete"] []
        List "7.0.0" "O(N+M) in the keys and the elements"
        "Takes elements from the first list that has any, waiting for them if need be.";
    "blpop" AtLeast(3) Write AllButLast Together => Store(list_move::blpop),
        "key [key ...] timeout"
        [BLOCKING] [LIST] ["RW access delete"] []
        List "2.0.0" "O(N) in the keys"
        "Takes the first element of the first list that has any, waiting for it if need be.";
    "brpop" AtLeast(3) Write AllButLast Together => Store(list_move::brpop),
        "key [key ...] timeout"
        [BLOCKING] [LIST] ["RW access delete"] []
        List "2.0.0" "O(N) in the keys"
        "Takes the last element of the first list that has any, waiting for it if need be.";
    "brpoplpush" Exactly(4) Write FirstTwo Together => Store(list_move::brpoplpush),
        "source destination timeout"
        [DENYOOM BLOCKING] [LIST] ["RW access delete", "RW insert"] []
        List "2.2.0" "O(1)" "The old form of BLMOVE from the right to the left.", instead "6.2.0" "`BLMOVE` with `RIGHT` and `LEFT`";
    "lindex" Exactly(3) Read First Single => Store(list::lindex), "key index"
        [] [LIST] ["RO access"] []
        List "1.0.0" "O(N) in the chunks before it" "Gives the element at an index.";
    "linsert" Exactly(5) Write First Single => Store(list::linsert),
        "key <BEFORE | AFTER> pivot element"
        [DENYOOM] [LIST] ["RW insert"] []
        List "2.2.0" "O(N) in the elements before the pivot" "Puts an element beside another one.";
    "llen" Exactly(2) Read First Single => Store(list::llen), "key"
        [FAST] [LIST] ["RO"] []
        List "1.0.0" "O(1)" "Gives the length of a list.";
    "lmove" Exactly(5) Write FirstTwo Together => Store(list_move::lmove),
        "source destination <LEFT | RIGHT> <LEFT | RIGHT>"
        [DENYOOM] [LIST] ["RW access delete", "RW insert"] []
        List "6.2.0" "O(1)" "Moves an element from one list to another.";
    "lmpop" AtLeast(4) Write Counted(1) Together => Store(list_move::lmpop),
        "numkeys key [key ...] <LEFT | RIGHT> [COUNT count]"
        [] [LIST] ["RW access delete"] []
        List "7.0.0" "O(N+M) in the keys and the elements"
        "Takes elements from the first list that has any.";
    "lpop" AtLeast(2) Write First Single => Store(list::lpop), "key [count]"
        [FAST] [LIST] ["RW access delete"] []
        List "1.0.0" "O(N) in the elements" "Takes the first elements of a list.";
    "lpos" AtLeast(3) Read First Single => Store(list_search::lpos),
        "key element [RANK rank] [COUNT matches] [MAXLEN length]"
        [] [LIST] ["RO access"] []
        List "6.0.6" "O(N) in the elements" "Gives the indices of elements that are equal to one.";
    "lpush" AtLeast(3) Write First Single => Store(list::lpush), "key element [element ...]"
        [DENYOOM FAST] [LIST] ["RW insert"] []
        List "1.0.0" "O(1) an element" "Puts elements before the first one of a list.";
    "lpushx" AtLeast(3) Write First Single => Store(list::lpushx), "key element [element ...]"
        [DENYOOM FAST] [LIST] ["RW insert"] []
        List "2.2.0" "O(1) an element" "Puts elements before the first one, if there is a list.";
    "lrange" Exactly(4) Read First Single => Store(list::lrange), "key start stop"
        [] [LIST] ["RO access"] []
        List "1.0.0" "O(N) in the elements returned" "Gives the elements of a range.";
    "lrem" Exactly(4) Write First Single => Store(list_search::lrem), "key count element"
        [] [LIST] ["RW delete"] []
        List "1.0.0" "O(N) in the elements" "Removes elements that are equal to one.";
    "lset" Exactly(4) Write First Single => Store(list::lset), "key index element"
        [DENYOOM] [LIST] ["RW update"] []
        List "1.0.0" "O(N) in the chunks before it" "Replaces the element at an index.";
    "ltrim" Exactly(4) Write First Single => Store(list::ltrim), "key start stop"
        [] [LIST] ["RW delete"] []
        List "1.0.0" "O(N) in the chunks removed" "Removes what is outside a range.";
    "rpop" AtLeast(2) Write First Single => Store(list::rpop), "key [count]"
        [FAST] [LIST] ["RW access delete"] []
        List "1.0.0" "O(N) in the elements" "Takes the last elements of a list.";
    "rpoplpush" Exactly(3) Write FirstTwo Together => Store(list_move::rpoplpush),
        "source destination"
        [DENYOOM] [LIST] ["RW access delete", "RW insert"] []
        List "1.2.0" "O(1)" "The old form of LMOVE from the right to the left.", instead "6.2.0" "`LMOVE` with `RIGHT` and `LEFT`";
    "rpush" AtLeast(3) Write First Single => Store(list::rpush), "key element [element ...]"
        [DENYOOM FAST] [LIST] ["RW insert"] []
        List "1.0.0" "O(1) an element" "Puts elements behind the last one of a list.";
    "rpushx" AtLeast(3) Write First Single => Store(list::rpushx), "key element [element ...]"
        [DENYOOM FAST] [LIST] ["RW insert"] []
        List "2.2.0" "O(1) an element" "Puts elements behind the last one, if there is a list.";
}
