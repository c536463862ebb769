//! HyperLogLogs.

commands! { HYPERLOGLOGS from super::bitmaps::BITMAPS_END, up to HYPERLOGLOGS_END;
}
