//! THE command table: one row a command, one function a row, and the handlers by family.
//! Holds no socket, no thread, no clock: a handler gets its arguments, one lane's store and a reply.

pub mod context;
pub mod error;
pub mod reply;
pub mod spec;

pub use context::{Args, Context, RoutedKey};
pub use error::CommandError;
pub use reply::Reply;
pub use spec::{Access, Arity, CommandSpec, Flags, Group, Keys, Merge, Run, ServeCommand};
