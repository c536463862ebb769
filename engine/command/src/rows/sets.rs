//! Sets.

commands! { SETS from super::lists::LISTS_END, up to SETS_END;
}
