//! Built in steps; see ARCHITECTURE.md.
