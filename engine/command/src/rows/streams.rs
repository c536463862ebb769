//! Streams.

commands! { STREAMS from super::sorted_sets::SORTED_SETS_END, up to STREAMS_END;
}
