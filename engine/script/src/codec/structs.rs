//! struct: values packed as C lays them out, as the Lua library of that name does.
//! <https://www.inf.puc-rio.br/~roberto/struct/>

use super::{Desk, Fault, Look, STEPS_A_LOOK};
use crate::number;
use crate::tape::Item;

/// The widest integer, in bytes.
const INTEGER_BYTES_MAX: usize = 32;
/// The alignment of `!` without a number.
const ALIGNMENT_DEFAULT: usize = 8;

/// How what follows is laid out.
struct Layout<'a> {
    format: &'a [u8],
    at: usize,
    little: bool,
    alignment: usize,
    look: Look<'a>,
    /// Letters of the format that were read.
    steps: usize,
}

/// One thing to pack or unpack.
#[derive(Clone, Copy)]
struct Piece {
    kind: u8,
    size: usize,
}

/// What is wrong with a format.
enum Wrong {
    /// Said of argument 1.
    Option(String),
    Said(String),
    /// Nothing: the script is overdue.
    Overdue,
}

impl Wrong {
    fn fault(self, desk: &mut Desk) -> Fault {
        match self {
            Self::Option(text) => desk.bad_argument(1, text),
            Self::Said(text) => desk.failed(text),
            Self::Overdue => Fault::Stopped,
        }
    }
}

impl<'a> Layout<'a> {
    fn new(format: &'a [u8], look: Look<'a>) -> Self {
        Self { format, at: 0, little: true, alignment: 1, look, steps: 0 }
    }

    fn number(&mut self, default: usize) -> Result<usize, Wrong> {
        let rest = &self.format[self.at..];
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return Ok(default);
        }
        self.at += digits;
        let text = std::str::from_utf8(&rest[..digits]).expect("digits are ASCII");
        match text.parse::<i32>() {
            Ok(value) => Ok(value as usize),
            Err(_) => Err(Wrong::Said("integral size overflow".into())),
        }
    }

    /// The next piece; what only changes the layout is done on the way.
    fn next(&mut self) -> Result<Option<Piece>, Wrong> {
        while let Some(&kind) = self.format.get(self.at) {
            self.at += 1;
            self.steps += 1;
            if self.steps.is_multiple_of(STEPS_A_LOOK) && (self.look)(STEPS_A_LOOK) {
                return Err(Wrong::Overdue);
            }
            let size = match kind {
                b'b' | b'B' | b'x' => 1,
                b'h' | b'H' => 2,
                b'l' | b'L' | b'T' | b'd' => 8,
                b'f' => 4,
                b's' => 0,
                b'c' => self.number(1)?,
                b'i' | b'I' => {
                    let size = self.number(4)?;
                    if size > INTEGER_BYTES_MAX {
                        return Err(Wrong::Said(format!(
                            "integral size {size} is larger than limit of {INTEGER_BYTES_MAX}"
                        )));
                    }
                    size
                }
                b' ' => continue,
                b'<' | b'>' => {
                    self.little = kind == b'<';
                    continue;
                }
                b'!' => {
                    let alignment = self.number(ALIGNMENT_DEFAULT)?;
                    if !alignment.is_power_of_two() {
                        return Err(Wrong::Said(format!(
                            "alignment {alignment} is not a power of 2"
                        )));
                    }
                    self.alignment = alignment;
                    continue;
                }
                _ => {
                    let text = format!("invalid format option '{}'", kind as char);
                    return Err(Wrong::Option(text));
                }
            };
            return Ok(Some(Piece { kind, size }));
        }
        Ok(None)
    }

    /// How many bytes lie before a piece that begins at `at` or after.
    fn padding(&self, piece: Piece, at: usize) -> usize {
        let size = piece.size.min(self.alignment);
        if size == 0 || piece.kind == b'c' || !size.is_power_of_two() {
            return 0;
        }
        (size - (at & (size - 1))) & (size - 1)
    }

    /// The bytes of a number, lowest first, in the order that the layout wants.
    fn order(&self, bytes: &mut [u8]) {
        if !self.little {
            bytes.reverse();
        }
    }
}

fn format_of(desk: &Desk) -> Vec<u8> {
    desk.input.text_of(desk.input.items[0]).unwrap_or_default().to_vec()
}

/// `struct.pack(format, value, ...)`.
pub fn pack(desk: &mut Desk, look: Look<'_>) -> Result<(), Fault> {
    let format = format_of(desk);
    // The library puts a nil behind the arguments: that is what a missing one is said to be.
    desk.types.push("nil");
    let mut layout = Layout::new(&format, look);
    let mut out = Vec::new();
    let mut argument = 2;
    loop {
        let piece = match layout.next() {
            Ok(Some(piece)) => piece,
            Ok(None) => break,
            Err(wrong) => return Err(wrong.fault(desk)),
        };
        out.resize(out.len() + layout.padding(piece, out.len()), 0);
        match piece.kind {
            b'x' => out.push(0),
            b's' | b'c' => {
                argument += 1;
                pack_text(desk, piece, argument, &mut out)?;
            }
            b'f' => {
                let mut bytes = (desk.number_argument(argument)? as f32).to_le_bytes();
                layout.order(&mut bytes);
                out.extend_from_slice(&bytes);
                argument += 1;
            }
            b'd' => {
                let mut bytes = desk.number_argument(argument)?.to_le_bytes();
                layout.order(&mut bytes);
                out.extend_from_slice(&bytes);
                argument += 1;
            }
            _ => {
                let value = desk.number_argument(argument)?;
                let bits =
                    if value < 0.0 { number::cast_integer(value) as u64 } else { value as u64 };
                let mut bytes = [0; INTEGER_BYTES_MAX];
                bytes[..8].copy_from_slice(&bits.to_le_bytes());
                let bytes = &mut bytes[..piece.size];
                layout.order(bytes);
                out.extend_from_slice(bytes);
                argument += 1;
            }
        }
    }
    desk.output.push_text(&out);
    desk.results = 1;
    Ok(())
}

/// A string, with a zero byte behind it (`s`) or cut to a size (`c`). `next` is the number of the
/// argument after it, which is what the library's refusals name.
fn pack_text(desk: &mut Desk, piece: Piece, next: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
    let item = desk.input.items.get(next - 2).copied().unwrap_or(Item::Nil);
    let spelled;
    let text = match item {
        Item::Number(value) => {
            let mut text = Vec::new();
            number::write_general(&mut text, value, 14);
            spelled = text;
            &spelled[..]
        }
        item => {
            let Some(text) = desk.input.text_of(item) else {
                return Err(desk.unexpected(next - 1, "string"));
            };
            text
        }
    };
    let size = if piece.size == 0 { text.len() } else { piece.size };
    if text.len() < size {
        return Err(desk.bad_argument(next, "string too short"));
    }
    out.extend_from_slice(&text[..size]);
    if piece.kind == b's' {
        out.push(0);
    }
    Ok(())
}

const TOO_SHORT: &str = "data string too short";

/// `struct.unpack(format, text[, position])`: the values, and the position after them.
pub fn unpack(desk: &mut Desk, look: Look<'_>) -> Result<(), Fault> {
    let format = format_of(desk);
    let text = desk.input.text_of(desk.input.items[1]).unwrap_or_default().to_vec();
    let position = desk.optional_number(3)?.unwrap_or(1.0);
    if position < 1.0 {
        return Err(desk.bad_argument(3, "offset must be 1 or greater"));
    }
    let mut at = position as usize - 1;
    let mut layout = Layout::new(&format, look);
    loop {
        let piece = match layout.next() {
            Ok(Some(piece)) => piece,
            Ok(None) => break,
            Err(wrong) => return Err(wrong.fault(desk)),
        };
        at = at.saturating_add(layout.padding(piece, at));
        let Some(bytes) = text.get(at..).and_then(|rest| rest.get(..piece.size)) else {
            return Err(desk.bad_argument(2, TOO_SHORT));
        };
        at += unpack_piece(desk, &layout, piece, bytes, &text[at..])?;
    }
    desk.output.push(Item::Integer(at as i64 + 1));
    desk.results = desk.output.items.len();
    Ok(())
}

/// Unpacks one piece from its `bytes`, or from the `rest` of the text; how long it was.
fn unpack_piece(
    desk: &mut Desk,
    layout: &Layout<'_>,
    piece: Piece,
    bytes: &[u8],
    rest: &[u8],
) -> Result<usize, Fault> {
    match piece.kind {
        b'x' => {}
        b'c' if piece.size == 0 => {
            let size = match desk.output.items.pop() {
                Some(Item::Integer(size)) => usize::try_from(size).unwrap_or(usize::MAX),
                Some(Item::Number(size)) if size >= 0.0 => size as usize,
                Some(_) | None => {
                    return Err(desk.failed("format 'c0' needs a previous size"));
                }
            };
            let Some(text) = rest.get(..size) else {
                return Err(desk.bad_argument(2, TOO_SHORT));
            };
            desk.output.push_text(text);
            return Ok(size);
        }
        b'c' => desk.output.push_text(bytes),
        b's' => {
            let Some(end) = rest.iter().position(|byte| *byte == 0) else {
                return Err(desk.failed("unfinished string in data"));
            };
            desk.output.push_text(&rest[..end]);
            return Ok(end + 1);
        }
        b'f' => {
            let mut four = [0; 4];
            four.copy_from_slice(bytes);
            layout.order(&mut four);
            desk.output.push(Item::Number(f64::from(f32::from_le_bytes(four))));
        }
        b'd' => {
            let mut eight = [0; 8];
            eight.copy_from_slice(bytes);
            layout.order(&mut eight);
            desk.output.push(Item::Number(f64::from_le_bytes(eight)));
        }
        kind => desk.output.push(integer(kind, layout, bytes)),
    }
    Ok(piece.size)
}

/// The integer in these bytes, of which the lowest eight count.
fn integer(kind: u8, layout: &Layout<'_>, bytes: &[u8]) -> Item {
    let mut ordered = [0; INTEGER_BYTES_MAX];
    let ordered = &mut ordered[..bytes.len()];
    ordered.copy_from_slice(bytes);
    layout.order(ordered);
    let mut low = [0; 8];
    let size = ordered.len().min(8);
    low[..size].copy_from_slice(&ordered[..size]);
    let bits = u64::from_le_bytes(low);
    if kind.is_ascii_uppercase() {
        return Item::Number(bits as f64);
    }
    let unused = 64 - 8 * size as u32;
    let value = if unused == 64 { 0 } else { (bits << unused) as i64 >> unused };
    Item::Integer(value)
}

/// `struct.size(format)`.
pub fn size(desk: &mut Desk, look: Look<'_>) -> Result<(), Fault> {
    let format = format_of(desk);
    let mut layout = Layout::new(&format, look);
    let mut at = 0;
    loop {
        let piece = match layout.next() {
            Ok(Some(piece)) => piece,
            Ok(None) => break,
            Err(wrong) => return Err(wrong.fault(desk)),
        };
        if piece.size == 0 && matches!(piece.kind, b's' | b'c') {
            let option = if piece.kind == b's' { "s" } else { "c0" };
            return Err(desk.bad_argument(1, format!("option '{option}' has no fixed size")));
        }
        at += layout.padding(piece, at) + piece.size;
    }
    desk.output.push(Item::Integer(at as i64));
    desk.results = 1;
    Ok(())
}
