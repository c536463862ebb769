//! The request parser: the same bytes, whole and in pieces, are heard as the same commands and the
//! same error; arguments lie where they are said to lie; nothing passes its bounds.
//!
//! input: | limits 1 | pieces 1 | what a client sends |
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use ringlane_resp::{Arg, BLOB_BYTES_MIN, Limits, Parser, ProtocolError, Step};

/// What comes after an argument's bytes, and room for headers in the parser's own account.
const PENDING_SLACK_BYTES: usize = 64 << 10;

type Heard = (Vec<Vec<Vec<u8>>>, Option<ProtocolError>);

fn limits(choice: u8) -> Limits {
    let plain = Limits::authenticated(512 << 20);
    match choice % 4 {
        0 => plain,
        1 => Limits::unauthenticated(),
        2 => Limits { command_bytes_max: 64, ..plain },
        _ => Limits { args_max: 3, bulk_bytes_max: 20_000, inline_bytes_max: 30, ..plain },
    }
}

/// One connection that receives these pieces one after another.
fn hear<'a>(limits: &Limits, pieces: impl Iterator<Item = &'a [u8]>) -> Heard {
    let mut parser = Parser::new();
    let (mut buffer, mut received) = (Vec::new(), 0);
    let mut heard = (Vec::new(), None);
    for piece in pieces {
        buffer.extend_from_slice(piece);
        received += piece.len();
        let mut start = 0;
        loop {
            let input: &[u8] = &buffer[start..];
            let (mut args, mut blobs) = (Vec::new(), Vec::new());
            match parser.parse(input, limits, &mut args, &mut blobs) {
                Ok(Step::Command { consumed }) => {
                    heard.0.push(command(&input[..consumed], limits, &args, &blobs));
                    assert!(consumed > 0 && parser.is_idle() && parser.pending_bytes() == 0);
                    start += consumed;
                }
                Ok(Step::Empty { consumed }) => {
                    assert!(consumed > 0 && parser.is_idle() && args.is_empty());
                    start += consumed;
                }
                Ok(Step::Incomplete { consumed }) => {
                    assert!(args.is_empty() && blobs.is_empty());
                    start += consumed;
                    break;
                }
                Err(error) => {
                    assert!(parser.is_idle() && !error.to_string().contains(['\r', '\n']));
                    heard.1 = Some(error);
                    return heard;
                }
            }
        }
        buffer.drain(..start);
        assert!(buffer.len() <= limits.command_bytes_max);
        // An argument takes six bytes on the way and twelve here; a vector doubles.
        assert!(parser.pending_bytes() <= 8 * received + PENDING_SLACK_BYTES);
    }
    heard
}

fn command(input: &[u8], limits: &Limits, args: &[Arg], blobs: &[Bytes]) -> Vec<Vec<u8>> {
    assert!(!args.is_empty() && args.len() <= limits.args_max);
    args.iter()
        .map(|arg| {
            let bytes = arg.resolve(input, blobs);
            assert!(bytes.len() <= limits.bulk_bytes_max.max(limits.inline_bytes_max));
            assert!(!matches!(arg, Arg::Blob(_)) || bytes.len() >= BLOB_BYTES_MIN);
            bytes.to_vec()
        })
        .collect()
}

fuzz_target!(|data: &[u8]| {
    let [limit_choice, piece_choice, input @ ..] = data else { return };
    let limits = limits(*limit_choice);
    let whole = hear(&limits, std::iter::once(input));
    let piece = usize::from(*piece_choice) % 64 + 1;
    assert_eq!(hear(&limits, input.chunks(piece)), whole);
    // Small pieces often end inside a number; two halves often inside an argument.
    let (head, tail) = input.split_at(input.len() / 2);
    assert_eq!(hear(&limits, [head, tail].into_iter()), whole);
});
