//! Bitmaps.

use crate::{bitfield, bitmap, bitop};

commands! { BITMAPS from super::streams::STREAMS_END, up to BITMAPS_END;
    "bitcount" AtLeast(2) Read First Single => Store(bitmap::bitcount),
        "key [start [end [BYTE | BIT]]]"
        [] [BITMAP] ["RO access"] []
        Bitmap "2.6.0" "O(N) in the bytes" "Counts the ones in a string.";
    "bitfield" AtLeast(2) Write First Single => Store(bitfield::bitfield),
        "key [GET encoding offset | [OVERFLOW <WRAP | SAT | FAIL>] <SET encoding offset value | \
         INCRBY encoding offset increment> ...]"
        [DENYOOM] [BITMAP] ["RW access update variable_flags"] []
        Bitmap "3.2.0" "O(1) a field" "Reads and changes integers of any width within a string.",
        by bitfield::key_flags;
    "bitfield_ro" AtLeast(2) Read First Single => Store(bitfield::bitfield_ro),
        "key [GET encoding offset [GET encoding offset ...]]"
        [FAST] [BITMAP] ["RO access"] []
        Bitmap "6.0.0" "O(1) a field" "Reads integers of any width within a string.";
    "bitop" AtLeast(4) Write From(2) Together => Store(bitop::bitop),
        "<AND | OR | XOR | NOT | DIFF | DIFF1 | ANDOR | ONE> destkey key [key ...]"
        [DENYOOM] [BITMAP] ["OW update", "RO access"] []
        Bitmap "2.6.0" "O(N) in the bytes" "Combines strings bit by bit and stores the result.";
    "bitpos" AtLeast(3) Read First Single => Store(bitmap::bitpos),
        "key bit [start [end [BYTE | BIT]]]"
        [] [BITMAP] ["RO access"] []
        Bitmap "2.8.7" "O(N) in the bytes" "Finds the first one or zero in a string.";
    "getbit" Exactly(3) Read First Single => Store(bitmap::getbit), "key offset"
        [FAST] [BITMAP] ["RO access"] []
        Bitmap "2.2.0" "O(1)" "Gives one bit of a string.";
    "setbit" Exactly(4) Write First Single => Store(bitmap::setbit), "key offset value"
        [DENYOOM] [BITMAP] ["RW access update"] []
        Bitmap "2.2.0" "O(1)" "Sets one bit of a string, which grows if need be.";
}
