//! Scripts and functions.

commands! { SCRIPTING from super::geo::GEO_END, up to SCRIPTING_END;
}
