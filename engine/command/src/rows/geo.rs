//! Geographic indices.

commands! { GEO from super::hyperloglogs::HYPERLOGLOGS_END, up to GEO_END;
}
