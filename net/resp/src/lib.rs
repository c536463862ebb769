//! RESP2 and RESP3: a resumable parser of requests, a writer of replies, a reader of replies.
//! Holds no socket, reads no clock, imports nothing of ours.

pub mod error;
pub mod limits;
pub mod parser;

pub mod reply;
pub mod writer;

mod inline;

pub use error::ProtocolError;
pub use limits::{BLOB_BYTES_MIN, BLOB_RESERVE_BYTES, Limits};
pub use parser::{Arg, Parser, Step};
pub use reply::{MalformedReply, ReplyEnd, Value, skip};
pub use writer::{Version, Writer, write_double};
