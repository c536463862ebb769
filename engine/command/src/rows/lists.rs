//! Lists.

commands! { LISTS from super::hashes::HASHES_END, up to LISTS_END;
}
