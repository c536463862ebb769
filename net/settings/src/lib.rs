//! Every setting of Ringlane, in one table, and the values they have now. Reads no socket, no clock
//! and no environment of its own: what the machine offers and what the command line, the variables
//! and the file say are arguments.
//!
//! ```text
//! table ──▶ defaults ◀ file ◀ RINGLANE_* ◀ command line      (each overrides the one before)
//!                 │
//!             Settings ──▶ CONFIG GET / SET / REWRITE, docs/settings.md, --help
//!                 └──────▶ Arc<LiveSettings> + version: what a lane reads in its turns
//! ```

mod file;
mod kind;
mod live;
mod reference;
mod settings;
mod sources;
mod table;
mod units;

pub use file::RewriteError;
pub use kind::{BindAddress, BufferLimit, BufferLimits, Invalid, Kind, Value, format_cores};
pub use live::{Advertise, Bound, LiveSettings, LogLevel, Secret, StartSettings};
pub use reference::reference;
pub use settings::{SetError, Settings};
pub use sources::{Origin, SourceError, Sources, VARIABLE_PREFIX, variable};
pub use table::{ALIASES, Group, Id, Machine, Preset, ROWS, Row, When, names_of, row_named};
