//! Inline commands: a line of words, as typed into telnet. The quoting rules are those of Redis's
//! `sdssplitargs`.

use bytes::Bytes;

use crate::parser::Arg;
use crate::{Limits, ProtocolError};

/// Splits `line` (without its end, at the very start of the caller's input) into arguments.
/// Words without quotes are ranges of the line; others are unquoted into one allocation, which
/// becomes the command's only blob (`Arg::Kept`). Returns how many there are; on an error some may have been pushed.
pub(crate) fn split(
    line: &[u8],
    limits: &Limits,
    args: &mut Vec<Arg>,
    blobs: &mut Vec<Bytes>,
) -> Result<usize, ProtocolError> {
    let mut unquoted = Vec::new();
    let mut quoted = false;
    let mut position = 0;
    let mut count = 0;
    loop {
        position += line[position..].iter().take_while(|&&byte| is_space(byte)).count();
        if position == line.len() {
            break;
        }
        count += 1;
        if count > limits.args_max {
            return Err(if limits.authenticated {
                ProtocolError::InvalidMultibulkLength
            } else {
                ProtocolError::UnauthenticatedMultibulkLength
            });
        }
        let rest = &line[position..];
        let plain = rest.iter().take_while(|&&byte| !ends_plain_word(byte)).count();
        if rest.get(plain).is_none_or(|&byte| is_space(byte)) {
            args.push(Arg::range(position, position + plain));
            position += plain;
        } else {
            let start = unquoted.len();
            position += word(rest, &mut unquoted)?;
            quoted = true;
            args.push(Arg::kept(start, unquoted.len()));
        }
    }
    if quoted {
        blobs.push(Bytes::from(unquoted));
    }
    Ok(count)
}

/// C's `isspace`.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

fn ends_plain_word(byte: u8) -> bool {
    is_space(byte) || byte == b'"' || byte == b'\''
}

/// Appends the word at the start of `text`, unquoted; returns how many bytes it took.
fn word(text: &[u8], unquoted: &mut Vec<u8>) -> Result<usize, ProtocolError> {
    let mut position = 0;
    while let Some(&byte) = text.get(position) {
        position += match byte {
            b'"' => {
                let taken = double_quoted(&text[position..], unquoted)?;
                return closed(text, position + taken);
            }
            b'\'' => {
                let taken = single_quoted(&text[position..], unquoted)?;
                return closed(text, position + taken);
            }
            byte if is_space(byte) => break,
            byte => {
                unquoted.push(byte);
                1
            }
        };
    }
    Ok(position)
}

/// After a closing quote only a space or the end of the line may follow.
fn closed(text: &[u8], position: usize) -> Result<usize, ProtocolError> {
    if text.get(position).is_none_or(|&byte| is_space(byte)) {
        Ok(position)
    } else {
        Err(ProtocolError::UnbalancedQuotes)
    }
}

/// `text` begins with the opening quote. Returns the bytes taken, both quotes included.
fn double_quoted(text: &[u8], unquoted: &mut Vec<u8>) -> Result<usize, ProtocolError> {
    let mut position = 1;
    loop {
        match text.get(position..).unwrap_or_default() {
            [] => return Err(ProtocolError::UnbalancedQuotes),
            [b'\\', b'x', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                unquoted.push(hex(*high) << 4 | hex(*low));
                position += 4;
            }
            [b'\\', escaped, ..] => {
                unquoted.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 0x08,
                    b'a' => 0x07,
                    other => *other,
                });
                position += 2;
            }
            [b'"', ..] => return Ok(position + 1),
            [byte, ..] => {
                unquoted.push(*byte);
                position += 1;
            }
        }
    }
}

/// `text` begins with the opening quote. Returns the bytes taken, both quotes included.
fn single_quoted(text: &[u8], unquoted: &mut Vec<u8>) -> Result<usize, ProtocolError> {
    let mut position = 1;
    loop {
        match text.get(position..).unwrap_or_default() {
            [] => return Err(ProtocolError::UnbalancedQuotes),
            [b'\\', b'\'', ..] => {
                unquoted.push(b'\'');
                position += 2;
            }
            [b'\'', ..] => return Ok(position + 1),
            [byte, ..] => {
                unquoted.push(*byte);
                position += 1;
            }
        }
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        digit => (digit | 0x20) - b'a' + 10,
    }
}
