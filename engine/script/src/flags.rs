//! The first line of a script or library: which engine, and what the script promises.

use ringlane_command::CommandError;

/// What a script promises about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[allow(clippy::struct_excessive_bools, reason = "independent promises")]
pub struct ScriptFlags {
    /// Without a first line of promises, as scripts were before there were any.
    pub plain: bool,
    pub no_writes: bool,
    pub allow_oom: bool,
}

/// Every flag there is, in the order that `FUNCTION LIST` shows them. Those that this server has no
/// use for (it has no stale replicas, and no cluster that scripts must avoid) are accepted.
pub const FLAG_NAMES: [&str; 5] =
    ["no-writes", "allow-oom", "allow-stale", "no-cluster", "allow-cross-slot-keys"];

impl ScriptFlags {
    /// The promises that these names make.
    pub fn of<'a>(names: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut flags = Self::default();
        for name in names {
            match name {
                b"no-writes" => flags.no_writes = true,
                b"allow-oom" => flags.allow_oom = true,
                _ => {}
            }
        }
        flags
    }
}

fn shown(text: &[u8]) -> String {
    ringlane_command::parse::printable(text, 128)
}

/// The words of a first line, apart by blanks.
fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}

/// What stands before the first line break, and where that is; None: there is no line break.
fn first_line(text: &[u8]) -> Option<(&[u8], usize)> {
    let end = text.iter().position(|byte| *byte == b'\n')?;
    Some((&text[..end], end))
}

/// The promises of a script, and where its program begins: at the line break, so that lines keep
/// their numbers.
pub fn of_script(text: &[u8]) -> Result<(ScriptFlags, usize), CommandError> {
    if !text.starts_with(b"#!") {
        return Ok((ScriptFlags { plain: true, ..ScriptFlags::default() }, 0));
    }
    let (line, end) = first_line(text).ok_or(CommandError::Fixed("ERR Invalid script shebang"))?;
    let mut words = words(line);
    let engine = words.next().unwrap_or_default();
    if !engine.eq_ignore_ascii_case(b"#!lua") {
        let text = format!("ERR Unexpected engine in script shebang: {}", shown(engine));
        return Err(CommandError::Text(text));
    }
    let mut flags = ScriptFlags::default();
    for word in words {
        let Some(names) = word.strip_prefix(b"flags=") else {
            let text = format!("ERR Unknown lua shebang option: {}", shown(word));
            return Err(CommandError::Text(text));
        };
        let names = || names.split(|byte| *byte == b',').filter(|name| !name.is_empty());
        for name in names() {
            if !FLAG_NAMES.iter().any(|known| known.as_bytes() == name) {
                let text = format!("ERR Unexpected flag in script shebang: {}", shown(name));
                return Err(CommandError::Text(text));
            }
        }
        flags = ScriptFlags::of(names());
    }
    Ok((flags, end))
}

/// The name of a library, and where its program begins.
pub fn of_library(text: &[u8]) -> Result<(&[u8], usize), CommandError> {
    if !text.starts_with(b"#!") {
        return Err(CommandError::Fixed("ERR Missing library metadata"));
    }
    let (line, end) =
        first_line(text).ok_or(CommandError::Fixed("ERR Invalid library metadata"))?;
    let engine_end = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
    let engine = &line[2..engine_end];
    let mut name = None;
    for word in words(&line[engine_end..]) {
        let is_name = word.len() >= 5 && word[..5].eq_ignore_ascii_case(b"name=");
        if !is_name {
            let text = format!("ERR Invalid metadata value given: {}", shown(word));
            return Err(CommandError::Text(text));
        }
        if name.replace(&word[5..]).is_some() {
            let text = "ERR Invalid metadata value, name argument was given multiple times";
            return Err(CommandError::Fixed(text));
        }
    }
    let name = name.ok_or(CommandError::Fixed("ERR Library name was not given"))?;
    let is_fine = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    if name.is_empty() || !name.iter().all(is_fine) {
        return Err(CommandError::Fixed(
            "ERR Library names can only contain letters, numbers, or underscores(_) and must be at least one character long",
        ));
    }
    if !engine.eq_ignore_ascii_case(b"lua") {
        return Err(CommandError::Text(format!("ERR Engine '{}' not found", shown(engine))));
    }
    Ok((name, end))
}
