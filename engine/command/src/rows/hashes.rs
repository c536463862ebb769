//! Hashes.

commands! { HASHES from super::keys::KEYS_END, up to HASHES_END;
}
