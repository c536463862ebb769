//! What a client can get wrong in the protocol itself. The texts are those Redis sends after
//! `ERR Protocol error: `, since people search for them.

use std::fmt;

/// A malformed request. The parser has forgotten the command it was in; the caller answers
/// `-ERR Protocol error: <this>` and closes the connection, since nothing says where the next
/// command begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// The number after `*` is no number, or passes `Limits::args_max`.
    InvalidMultibulkLength,
    /// The number after `$` is no number, is negative, or passes `Limits::bulk_bytes_max`.
    InvalidBulkLength,
    /// An argument does not begin with `$` but with this byte.
    ExpectedDollar(u8),
    /// No line break within `Limits::inline_bytes_max`.
    TooBigInline,
    /// No line break within `COUNT_LINE_BYTES_MAX` after `*`.
    TooBigMultibulkCount,
    /// No line break within `COUNT_LINE_BYTES_MAX` after `$`.
    TooBigBulkCount,
    /// A quote without its partner, or a closing quote followed by something other than a space.
    UnbalancedQuotes,
    /// More arguments than a client that has not authenticated may send.
    UnauthenticatedMultibulkLength,
    /// A longer argument than a client that has not authenticated may send.
    UnauthenticatedBulkLength,
    /// An argument is not followed by CR LF. (Redis does not look.)
    ExpectedLineEnd,
    /// The command passes `Limits::command_bytes_max`.
    TooBigCommand,
    /// There was no memory for an argument that had begun to arrive.
    OutOfMemory,
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::InvalidMultibulkLength => "invalid multibulk length",
            Self::InvalidBulkLength => "invalid bulk length",
            Self::ExpectedDollar(got) => {
                // What is no printable character would break the reply's line or the log's.
                let got = if (b' '..=b'~').contains(got) { char::from(*got) } else { '?' };
                return write!(formatter, "expected '$', got '{got}'");
            }
            Self::TooBigInline => "too big inline request",
            Self::TooBigMultibulkCount => "too big mbulk count string",
            Self::TooBigBulkCount => "too big bulk count string",
            Self::UnbalancedQuotes => "unbalanced quotes in request",
            Self::UnauthenticatedMultibulkLength => "unauthenticated multibulk length",
            Self::UnauthenticatedBulkLength => "unauthenticated bulk length",
            Self::ExpectedLineEnd => "expected CRLF after the argument",
            Self::TooBigCommand => "too big request",
            Self::OutOfMemory => "no memory for the request",
        })
    }
}

impl std::error::Error for ProtocolError {}
