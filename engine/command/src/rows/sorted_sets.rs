//! Sorted sets.

commands! { SORTED_SETS from super::sets::SETS_END, up to SORTED_SETS_END;
}
