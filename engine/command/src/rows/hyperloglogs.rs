//! Estimates of how many different elements there were (`HyperLogLog`).

commands! { HYPERLOGLOGS from super::bitmaps::BITMAPS_END, up to HYPERLOGLOGS_END;
}
