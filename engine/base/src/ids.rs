//! Names of things: lanes and databases.

/// One lane (a pinned core) of this node, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LaneId(pub u16);

impl LaneId {
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// A logical database as `SELECT` counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Database(pub u8);

impl Database {
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}
