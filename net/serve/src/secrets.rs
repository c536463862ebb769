//! Which arguments of commands are nobody's business: what MONITOR and SLOWLOG show instead.

use ringlane_command::{CommandSpec, Run, ServeCommand, parse};

pub const REDACTED: &[u8] = b"(redacted)";

/// Whether an argument is a user's name or a password: of `AUTH`, `HELLO … AUTH` or
/// `CONFIG SET requirepass`.
pub fn is_secret(spec: &CommandSpec, args: &[&[u8]], index: usize) -> bool {
    let follows = |back: usize, word: &str| {
        index.checked_sub(back).is_some_and(|at| at > 0 && parse::is(args[at], word))
    };
    match spec.run {
        Run::Serve(ServeCommand::Auth) => index > 0,
        Run::Serve(ServeCommand::Hello) => follows(1, "auth") || follows(2, "auth"),
        Run::Serve(ServeCommand::Config) => follows(1, "requirepass"),
        Run::Serve(_) | Run::Store(_) => false,
    }
}
