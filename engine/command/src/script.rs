//! Scripts and functions as commands: what is asked of the lane's interpreter, and the refusals that
//! need none. Holds no interpreter: `ScriptHost` is implemented elsewhere, above this crate.

use crate::{CommandError, Context, parse};

/// Where the text of a script is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScriptSource {
    /// Argument 1 is the text.
    Text,
    /// Argument 1 is the SHA-1 of a text that the server knows.
    Sha1,
    /// Argument 1 is the name of a function.
    Function,
}

/// What the interpreter is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScriptCommand {
    /// Argument 2 counts the keys that follow; the others are arguments of the script.
    Run {
        source: ScriptSource,
        read_only: bool,
    },
    ScriptExists,
    ScriptFlush,
    ScriptLoad,
    ScriptShow,
    FunctionDelete,
    FunctionDump,
    FunctionFlush,
    FunctionList,
    FunctionLoad,
    FunctionRestore,
}

/// A lane's interpreter.
pub trait ScriptHost {
    /// Runs one of its commands, whose arity and number of keys were checked.
    ///
    /// # Errors
    /// A refusal. What a script had written before it failed stays written, as in Redis.
    fn run(
        &mut self,
        context: &mut Context<'_>,
        command: ScriptCommand,
    ) -> Result<(), CommandError>;
}

/// A lane's interpreter, lent to one command.
pub type Scripts<'a> = Option<&'a mut (dyn ScriptHost + 'static)>;

fn ask(context: &mut Context<'_>, command: ScriptCommand) -> Result<(), CommandError> {
    const NONE_HERE: CommandError = CommandError::Fixed("ERR scripts cannot be run here");
    if let ScriptCommand::Run { source, .. } = command {
        check_keys(context, source)?;
    }
    let host = context.scripts.take().ok_or(NONE_HERE)?;
    host.run(context, command)
}

/// The number of keys, as far as the arguments can tell.
fn check_keys(context: &Context<'_>, source: ScriptSource) -> Result<(), CommandError> {
    let keys = parse::integer(&context.args[2]).map_err(|error| match source {
        ScriptSource::Text | ScriptSource::Sha1 => error,
        ScriptSource::Function => CommandError::Fixed("ERR Bad number of keys provided"),
    })?;
    if keys < 0 {
        return Err(CommandError::Fixed("ERR Number of keys can't be negative"));
    }
    if keys as usize > context.args.len() - 3 {
        let text = "ERR Number of keys can't be greater than number of args";
        return Err(CommandError::Fixed(text));
    }
    Ok(())
}

macro_rules! asked {
    ($($(#[$doc:meta])* $name:ident => $command:expr;)*) => {
        $($(#[$doc])* pub fn $name(context: &mut Context<'_>) -> Result<(), CommandError> {
            ask(context, $command)
        })*
    };
}

use ScriptSource::{Function, Sha1, Text};

asked! {
    /// `EVAL script numkeys [key ...] [arg ...]`.
    eval => ScriptCommand::Run { source: Text, read_only: false };
    /// `EVAL_RO`: EVAL without commands that write.
    eval_ro => ScriptCommand::Run { source: Text, read_only: true };
    /// `EVALSHA sha1 numkeys [key ...] [arg ...]`.
    evalsha => ScriptCommand::Run { source: Sha1, read_only: false };
    /// `EVALSHA_RO`: EVALSHA without commands that write.
    evalsha_ro => ScriptCommand::Run { source: Sha1, read_only: true };
    /// `FCALL function numkeys [key ...] [arg ...]`.
    fcall => ScriptCommand::Run { source: Function, read_only: false };
    /// `FCALL_RO`: FCALL of functions that write nothing.
    fcall_ro => ScriptCommand::Run { source: Function, read_only: true };
    /// `SCRIPT EXISTS sha1 [sha1 ...]`.
    script_exists => ScriptCommand::ScriptExists;
    /// `SCRIPT FLUSH [ASYNC | SYNC]`.
    script_flush => ScriptCommand::ScriptFlush;
    /// `SCRIPT LOAD script`.
    script_load => ScriptCommand::ScriptLoad;
    /// `SCRIPT SHOW sha1` (Valkey).
    script_show => ScriptCommand::ScriptShow;
    /// `FUNCTION DELETE library`.
    function_delete => ScriptCommand::FunctionDelete;
    /// `FUNCTION DUMP`.
    function_dump => ScriptCommand::FunctionDump;
    /// `FUNCTION FLUSH [ASYNC | SYNC]`.
    function_flush => ScriptCommand::FunctionFlush;
    /// `FUNCTION LIST [LIBRARYNAME pattern] [WITHCODE]`.
    function_list => ScriptCommand::FunctionList;
    /// `FUNCTION LOAD [REPLACE] code`.
    function_load => ScriptCommand::FunctionLoad;
    /// `FUNCTION RESTORE payload [FLUSH | APPEND | REPLACE]`.
    function_restore => ScriptCommand::FunctionRestore;
}
