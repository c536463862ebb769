//! LOLWUT: a picture, different each time, and the version.

use crate::{CommandError, Context};

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Rows and columns of the picture, in characters.
const ROWS: i32 = 13;
const COLUMNS: i32 = 41;

/// `LOLWUT [VERSION version] […]`: the lanes of a ring and the parcels between them, one picture
/// whatever the version.
pub fn lolwut(context: &mut Context<'_>) -> Result<(), CommandError> {
    let mut dice = context.store.fork_dice();
    let mut text = String::new();
    for row in 0..ROWS {
        for column in 0..COLUMNS {
            let (x, y) = (f64::from(column - COLUMNS / 2) / 2.0, f64::from(row - ROWS / 2));
            let distance = x.hypot(y);
            text.push(if (5.0..6.4).contains(&distance) {
                'o'
            } else if distance < 5.0 && dice.u8(..) < 24 {
                '-'
            } else {
                ' '
            });
        }
        text.truncate(text.trim_end_matches(' ').len());
        text.push('\n');
    }
    text.push_str("Ringlane ver. ");
    text.push_str(VERSION);
    text.push('\n');
    context.reply.verbatim(&text);
    Ok(())
}
