//! Estimates of how many different elements there were (`HyperLogLog`).

use crate::hyperloglog;

commands! { HYPERLOGLOGS from super::bitmaps::BITMAPS_END, up to HYPERLOGLOGS_END;
    "pfadd" AtLeast(2) Write First Single => Store(hyperloglog::pfadd), "key [element [element ...]]"
        [DENYOOM FAST] [HYPERLOGLOG] ["RW insert"] []
        HyperLogLog "2.8.9" "O(1) an element" "Counts elements, each once, about.";
    "pfcount" AtLeast(2) Read All Together => Store(hyperloglog::pfcount), "key [key ...]"
        [MAY_REPLICATE] [HYPERLOGLOG] ["RW access"] []
        HyperLogLog "2.8.9" "O(1) if remembered, else O(N) in the keys"
        "Estimates how many different elements were counted.";
    "pfmerge" AtLeast(2) Write All Together => Store(hyperloglog::pfmerge),
        "destkey [sourcekey [sourcekey ...]]"
        [DENYOOM] [HYPERLOGLOG] ["RW access insert", "RO access"] []
        HyperLogLog "2.8.9" "O(N) in the keys" "Makes one estimate of several.";
}
