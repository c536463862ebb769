//! Functions: `FCALL`, and the `FUNCTION` commands. Libraries are the server's (`registry.rs`); a lane
//! runs a library's text once, to have its functions, when it first calls one of a new version.

use std::collections::HashMap;
use std::sync::Arc;

use ringlane_base::glob;
use ringlane_command::{CommandError, Context, Reply, parse};

use crate::flags::{self, FLAG_NAMES, ScriptFlags};
use crate::host::LaneScripts;
use crate::library::{self, FunctionEntry, Library};
use crate::vm::{Function, Registered, Style};

/// What a lane has of the libraries.
#[derive(Default)]
pub struct LaneFunctions {
    /// `Registry::libraries_version` of what is here.
    version: u64,
    libraries: Vec<LoadedLibrary>,
    /// By name in small letters, since Redis finds them in any case.
    functions: HashMap<Vec<u8>, LoadedFunction>,
}

struct LoadedLibrary {
    library: Arc<Library>,
    callbacks: Vec<Function>,
}

#[derive(Clone)]
struct LoadedFunction {
    callback: Function,
    flags: ScriptFlags,
    name: String,
}

const NOT_FOUND: CommandError = CommandError::Fixed("ERR Function not found");

/// Libraries and functions there may be, and bytes of a library's text: bounds of one server.
const LIBRARIES_MAX: usize = 10_000;

impl LaneScripts {
    /// `FCALL` and `FCALL_RO`.
    pub(crate) fn call_function(
        &mut self,
        context: &mut Context<'_>,
        read_only: bool,
    ) -> Result<(), CommandError> {
        self.refresh_functions()?;
        let name = context.args[1].to_ascii_lowercase();
        let function = self.interpreter.functions.functions.get(&name).cloned().ok_or(NOT_FOUND)?;
        let callback = (function.callback, Style::Function);
        self.run(context, callback, &function.name, function.flags, read_only)
    }

    /// Loads what has come, forgets what has gone.
    fn refresh_functions(&mut self) -> Result<(), CommandError> {
        if self.registry.libraries_version() == self.interpreter.functions.version {
            return Ok(());
        }
        let (version, libraries) = self.registry.libraries();
        let mut kept = Vec::new();
        for loaded in std::mem::take(&mut self.interpreter.functions.libraries) {
            if libraries.iter().any(|library| Arc::ptr_eq(library, &loaded.library)) {
                kept.push(loaded);
            } else {
                for callback in loaded.callbacks {
                    self.vm().release(callback);
                }
            }
        }
        for library in libraries {
            if !kept.iter().any(|loaded| Arc::ptr_eq(&loaded.library, &library)) {
                let callbacks =
                    self.run_library(&library.text)?.iter().map(|one| one.callback).collect();
                kept.push(LoadedLibrary { library, callbacks });
            }
        }
        self.interpreter.functions.functions = kept
            .iter()
            .flat_map(|loaded| loaded.library.functions.iter().zip(&loaded.callbacks))
            .map(|(entry, callback)| {
                let function = LoadedFunction {
                    callback: *callback,
                    flags: ScriptFlags::of(entry.flags.iter().map(Vec::as_slice)),
                    name: String::from_utf8_lossy(&entry.name).into_owned(),
                };
                (entry.name.to_ascii_lowercase(), function)
            })
            .collect();
        self.interpreter.functions.libraries = kept;
        self.interpreter.functions.version = version;
        Ok(())
    }

    /// Runs a library's text; its functions, in the order of their names.
    fn run_library(&mut self, text: &[u8]) -> Result<Vec<Registered>, CommandError> {
        let (_, start) = flags::of_library(text)?;
        let vm = self.vm();
        let chunk =
            vm.compile(&text[start..], c"@user_function", Style::Library).map_err(|failure| {
                CommandError::Text(format!("ERR Error compiling function: {}", failure.text))
            })?;
        let registered = vm.load_library(chunk);
        vm.release(chunk);
        let mut registered = registered.map_err(|failure| {
            CommandError::Text(format!("ERR Error registering functions: {}", failure.text))
        })?;
        registered.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(registered)
    }

    /// Runs a library's text to learn what is in it.
    fn examine(&mut self, text: &[u8]) -> Result<Library, CommandError> {
        let (name, _) = flags::of_library(text)?;
        let registered = self.run_library(text)?;
        for function in &registered {
            self.vm().release(function.callback);
        }
        if registered.is_empty() {
            return Err(CommandError::Fixed("ERR No functions registered"));
        }
        Ok(Library {
            name: name.to_vec(),
            text: text.to_vec(),
            functions: registered.iter().map(FunctionEntry::from).collect(),
        })
    }

    /// `FUNCTION LOAD [REPLACE] code`.
    pub(crate) fn load_library(&mut self, context: &mut Context<'_>) -> Result<(), CommandError> {
        let (replace, text) = match context.args.from(2) {
            [text] => (false, *text),
            [word, text] if parse::is(word, "replace") => (true, *text),
            [word, ..] => {
                let word = parse::printable(word, 128);
                return Err(CommandError::Text(format!("ERR Unknown option given: {word}")));
            }
            [] => return Err(CommandError::WrongArity("function|load")),
        };
        let (name, _) = flags::of_library(text)?;
        let exists = |libraries: &[Arc<Library>]| libraries.iter().any(|one| one.name == name);
        if !replace && exists(&self.registry.libraries().1) {
            return Err(already_there(name));
        }
        let library = Arc::new(self.examine(text)?);
        self.registry.change_libraries(|libraries| add(libraries, library, replace))?;
        context.reply.bulk(name);
        Ok(())
    }

    /// `FUNCTION DELETE library`.
    pub(crate) fn delete_library(&mut self, context: &mut Context<'_>) -> Result<(), CommandError> {
        let name = context.args.get(2).expect("arity was checked");
        self.registry.change_libraries(|libraries| {
            let before = libraries.len();
            libraries.retain(|library| library.name != name);
            if libraries.len() == before {
                return Err(CommandError::Fixed("ERR Library not found"));
            }
            Ok(())
        })?;
        context.reply.simple("OK");
        Ok(())
    }

    /// `FUNCTION FLUSH [ASYNC | SYNC]`.
    pub(crate) fn flush_libraries(&self, context: &mut Context<'_>) -> Result<(), CommandError> {
        match context.args.from(2) {
            [] => {}
            [how] if parse::is(how, "async") || parse::is(how, "sync") => {}
            [_] => {
                let text = "ERR FUNCTION FLUSH only supports SYNC|ASYNC option";
                return Err(CommandError::Fixed(text));
            }
            _ => {
                let text = "ERR unknown subcommand or wrong number of arguments for 'FLUSH'. Try FUNCTION HELP.";
                return Err(CommandError::Fixed(text));
            }
        }
        self.registry.change_libraries(|libraries| {
            libraries.clear();
            Ok::<(), CommandError>(())
        })?;
        context.reply.simple("OK");
        Ok(())
    }

    /// `FUNCTION LIST [LIBRARYNAME pattern] [WITHCODE]`.
    pub(crate) fn list_libraries(&self, context: &mut Context<'_>) -> Result<(), CommandError> {
        let mut pattern = None;
        let mut with_code = false;
        let mut words = context.args.from(2).iter();
        while let Some(word) = words.next() {
            if !with_code && parse::is(word, "withcode") {
                with_code = true;
            } else if pattern.is_none() && parse::is(word, "libraryname") {
                let text = "ERR library name argument was not given";
                pattern = Some(*words.next().ok_or(CommandError::Fixed(text))?);
            } else {
                let word = parse::printable(word, 128);
                return Err(CommandError::Text(format!("ERR Unknown argument {word}")));
            }
        }
        let (_, mut libraries) = self.registry.libraries();
        libraries.retain(|library| {
            pattern.is_none_or(|pattern| {
                glob::matches(&pattern.to_ascii_lowercase(), &library.name.to_ascii_lowercase())
            })
        });
        context.reply.array(libraries.len());
        for library in &libraries {
            tell(library, with_code, context.reply);
        }
        Ok(())
    }

    /// `FUNCTION DUMP`.
    pub(crate) fn dump_libraries(&self, context: &mut Context<'_>) {
        let (_, libraries) = self.registry.libraries();
        context.reply.bulk(&library::dump(&libraries));
    }

    /// `FUNCTION RESTORE payload [FLUSH | APPEND | REPLACE]`.
    pub(crate) fn restore_libraries(
        &mut self,
        context: &mut Context<'_>,
    ) -> Result<(), CommandError> {
        let (flush, replace) = match context.args.from(3) {
            [] => (false, false),
            [policy] if parse::is(policy, "append") => (false, false),
            [policy] if parse::is(policy, "flush") => (true, false),
            [policy] if parse::is(policy, "replace") => (false, true),
            [_] => {
                return Err(CommandError::Fixed(
                    "ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.",
                ));
            }
            _ => {
                let text = "ERR unknown subcommand or wrong number of arguments for 'RESTORE'. Try FUNCTION HELP.";
                return Err(CommandError::Fixed(text));
            }
        };
        let texts = library::restore(&context.args[2])?;
        let mut restored = Vec::new();
        for text in texts {
            restored.push(Arc::new(self.examine(&text)?));
        }
        self.registry.change_libraries(|libraries| {
            if flush {
                libraries.clear();
            }
            restored.into_iter().try_for_each(|library| add(libraries, library, replace))
        })?;
        context.reply.simple("OK");
        Ok(())
    }
}

fn already_there(name: &[u8]) -> CommandError {
    CommandError::Text(format!("ERR Library '{}' already exists", String::from_utf8_lossy(name)))
}

/// Adds a library unless its name, or that of one of its functions, is taken.
fn add(
    libraries: &mut Vec<Arc<Library>>,
    library: Arc<Library>,
    replace: bool,
) -> Result<(), CommandError> {
    let there = libraries.iter().position(|one| one.name == library.name);
    match there {
        Some(_) if !replace => {
            // RESTORE says it without the quotes of LOAD.
            let name = String::from_utf8_lossy(&library.name);
            return Err(CommandError::Text(format!("ERR Library {name} already exists")));
        }
        Some(index) => {
            libraries.remove(index);
        }
        None if libraries.len() >= LIBRARIES_MAX => {
            return Err(CommandError::Fixed("ERR too many libraries"));
        }
        None => {}
    }
    let taken = |entry: &&FunctionEntry| {
        libraries.iter().flat_map(|one| &one.functions).any(|one| one.name == entry.name)
    };
    if let Some(entry) = library.functions.iter().find(taken) {
        let name = String::from_utf8_lossy(&entry.name);
        return Err(CommandError::Text(format!("ERR Function {name} already exists")));
    }
    libraries.push(library);
    Ok(())
}

fn tell(library: &Library, with_code: bool, reply: &mut dyn Reply) {
    reply.map(3 + usize::from(with_code));
    reply.bulk(b"library_name");
    reply.bulk(&library.name);
    reply.bulk(b"engine");
    reply.bulk(b"LUA");
    reply.bulk(b"functions");
    reply.array(library.functions.len());
    for entry in &library.functions {
        reply.map(3);
        reply.bulk(b"name");
        reply.bulk(&entry.name);
        reply.bulk(b"description");
        match &entry.description {
            Some(text) => reply.bulk(text),
            None => reply.null(),
        }
        reply.bulk(b"flags");
        let flags: Vec<_> = FLAG_NAMES
            .iter()
            .filter(|name| entry.flags.iter().any(|flag| flag == name.as_bytes()))
            .collect();
        reply.set(flags.len());
        for flag in flags {
            reply.simple(flag);
        }
    }
    if with_code {
        reply.bulk(b"library_code");
        reply.bulk(&library.text);
    }
}
