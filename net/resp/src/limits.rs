//! How much one connection may send. Every number a client names is held to one of these.

/// The most arguments of a command, as in Redis before 7 (1024 * 1024).
pub const ARGS_MAX: usize = 1_048_576;
/// Redis's `PROTO_INLINE_MAX_SIZE`.
pub const INLINE_BYTES_MAX: usize = 64 << 10;
/// Redis's `client-query-buffer-limit`, by default.
pub const COMMAND_BYTES_MAX: usize = 1 << 30;

/// An argument of at least this many bytes gets an allocation of its own (a blob).
pub const BLOB_BYTES_MIN: usize = 16 << 10;
/// What is reserved for a blob as a rule: fewer copies of what grows.
pub const BLOB_RESERVE_BYTES: usize = 64 << 10;

/// Bounds of what one connection may send; they may differ from call to call (AUTH raises them).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Arguments of one command, its name included.
    pub args_max: usize,
    /// Bytes of one argument (`proto-max-bulk-len`).
    pub bulk_bytes_max: usize,
    /// Bytes of an inline command's line, without its end.
    pub inline_bytes_max: usize,
    /// Bytes of one command in all, headers included (`client-query-buffer-limit`). Positions are
    /// `u32`: below 4 GiB.
    pub command_bytes_max: usize,
    /// Bytes reserved for a large argument when it begins, unless it is shorter or more has come.
    pub blob_reserve_bytes: usize,
    /// Only chooses the words of an error.
    pub authenticated: bool,
}

impl Limits {
    /// What a client may send that still owes its password: what HELLO and AUTH need, and no more.
    pub const fn unauthenticated() -> Self {
        Self {
            args_max: 10,
            bulk_bytes_max: 16 << 10,
            inline_bytes_max: 16 << 10,
            command_bytes_max: 1 << 20,
            blob_reserve_bytes: BLOB_BYTES_MIN,
            authenticated: false,
        }
    }

    /// `bulk_bytes_max`: the setting `proto-max-bulk-len`. All else as Redis has it by default.
    pub fn authenticated(bulk_bytes_max: usize) -> Self {
        Self {
            args_max: ARGS_MAX,
            bulk_bytes_max,
            inline_bytes_max: INLINE_BYTES_MAX,
            command_bytes_max: COMMAND_BYTES_MAX,
            blob_reserve_bytes: BLOB_RESERVE_BYTES,
            authenticated: true,
        }
    }
}
