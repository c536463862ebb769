//! Bitmaps.

commands! { BITMAPS from super::streams::STREAMS_END, up to BITMAPS_END;
}
