//! The mailbox between lanes, built alone for loom and the sanitizers. Nothing depends on this crate.

#[path = "../../src/mailbox.rs"]
pub mod mailbox;
