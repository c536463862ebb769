//! Ids and units that every layer shares: slots, lanes, databases, times, the two hashes, numbers
//! as clients write them, and glob patterns. Holds no state, no clock, no I/O.

pub mod glob;
pub mod hash;
pub mod ids;
pub mod number;
pub mod slot;
pub mod time;

pub use hash::{HashSeed, KeyHash};
pub use ids::{Database, LaneId};
pub use slot::{SLOT_COUNT, Slot};
pub use time::{Clock, Due, Millis, Now, Soonest};
