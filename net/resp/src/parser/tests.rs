//! The parser as a connection uses it: inputs whole, cut at every byte, and one byte at a time must
//! give the same commands and the same error.

use proptest::prelude::*;

use super::*;

/// What a whole input comes to: commands, then whether an error ended it.
type Heard = (Vec<Vec<Vec<u8>>>, Option<ProtocolError>);

/// A connection: a buffer that keeps what the parser leaves, as the network core does.
struct Connection {
    parser: Parser,
    limits: Limits,
    buffer: Vec<u8>,
    heard: Heard,
}

impl Connection {
    fn new(limits: Limits) -> Self {
        Self { parser: Parser::new(), limits, buffer: Vec::new(), heard: (Vec::new(), None) }
    }

    fn feed(&mut self, piece: &[u8]) {
        if self.heard.1.is_some() {
            return;
        }
        self.buffer.extend_from_slice(piece);
        // What lies there from other connections must stay.
        let mut args = vec![Arg::Blob(77)];
        let mut blobs = vec![Bytes::from_static(b"another's")];
        let mut start = 0;
        loop {
            let input = &self.buffer[start..];
            let (args_before, blobs_before) = (args.len(), blobs.len());
            match self.parser.parse(input, &self.limits, &mut args, &mut blobs) {
                Ok(Step::Command { consumed }) => {
                    assert!(self.parser.is_idle());
                    assert_eq!(self.parser.pending_bytes(), 0);
                    let own = &blobs[blobs_before..];
                    let command: Vec<_> = args[args_before..]
                        .iter()
                        .map(|arg| arg.resolve(&input[..consumed], own).to_vec())
                        .collect();
                    assert!(!command.is_empty());
                    for arg in &args[args_before..] {
                        if let Arg::Blob(index) = arg {
                            assert!(own[*index as usize].len() >= BLOB_BYTES_MIN);
                        }
                    }
                    self.heard.0.push(command);
                    start += consumed;
                }
                Ok(Step::Empty { consumed }) => {
                    assert!(self.parser.is_idle());
                    assert_eq!((args.len(), blobs.len()), (args_before, blobs_before));
                    assert!(consumed > 0);
                    start += consumed;
                }
                Ok(Step::Incomplete { consumed }) => {
                    assert_eq!((args.len(), blobs.len()), (args_before, blobs_before));
                    start += consumed;
                    break;
                }
                Err(error) => {
                    assert!(self.parser.is_idle());
                    assert_eq!(self.parser.pending_bytes(), 0);
                    self.heard.1 = Some(error);
                    break;
                }
            }
        }
        assert_eq!((args[0], &blobs[0][..]), (Arg::Blob(77), b"another's".as_slice()));
        self.buffer.drain(..start);
    }
}

fn hear<'a>(limits: Limits, pieces: impl IntoIterator<Item = &'a [u8]>) -> Heard {
    let mut connection = Connection::new(limits);
    for piece in pieces {
        connection.feed(piece);
    }
    connection.heard
}

fn plain_limits() -> Limits {
    Limits::authenticated(512 << 20)
}

/// Whole, cut in two at every byte, byte by byte. A long input is cut at some bytes only.
fn check(limits: Limits, input: &[u8], commands: &[&[&[u8]]], error: Option<ProtocolError>) {
    let commands = commands.iter().map(|args| args.iter().map(|arg| arg.to_vec()).collect());
    let expected: Heard = (commands.collect(), error);
    let shown = String::from_utf8_lossy(&input[..input.len().min(80)]);
    assert_eq!(hear(limits, [input]), expected, "whole: {shown:?}");
    for cut in (0..input.len()).step_by(1.max(input.len() / 500)) {
        let (head, tail) = input.split_at(cut);
        assert_eq!(hear(limits, [head, tail]), expected, "cut at {cut}: {shown:?}");
    }
    assert_eq!(hear(limits, input.chunks(1)), expected, "by bytes: {shown:?}");
}

#[test]
fn well_formed_commands() {
    type Row = (&'static [u8], &'static [&'static [&'static [u8]]]);
    let table: &[Row] = &[
        (b"", &[]),
        (b"*1\r\n$4\r\nPING\r\n", &[&[b"PING"]]),
        (b"*2\r\n$3\r\nGET\r\n$0\r\n\r\n", &[&[b"GET", b""]]),
        (b"*1\r\n$6\r\na\r\nb\r\n\r\n", &[&[b"a\r\nb\r\n"]]),
        (
            b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$12\r\nhello, world\r\n*1\r\n$4\r\nPING\r\n",
            &[&[b"SET", b"k", b"hello, world"], &[b"PING"]],
        ),
        (b"*0\r\n*-1\r\n*-7\r\n*1\r\n$1\r\nx\r\n", &[&[b"x"]]),
        // An unfinished command says nothing yet.
        (b"*2\r\n$3\r\nGET\r\n$1\r\n", &[]),
        (b"PING\r\n", &[&[b"PING"]]),
        (b"PING\n", &[&[b"PING"]]),
        (b"\r\n\n  \t \r\nPING\r\n", &[&[b"PING"]]),
        (b"  SET \t k  v \r\n*1\r\n$1\r\nx\r\n", &[&[b"SET", b"k", b"v"], &[b"x"]]),
        (
            b"SET k \"a b\\x41\\n\\r\\t\\b\\a\\\"\\\\\\q\\xz\"\n",
            &[&[b"SET", b"k", b"a bA\n\r\t\x08\x07\"\\qxz"]],
        ),
        (b"SET 'it\\'s \\n' \"\" ''\n", &[&[b"SET", b"it's \\n", b"", b""]]),
        (b"ECHO foo\"bar baz\"\n", &[&[b"ECHO", b"foobar baz"]]),
        (b"ECHO \xff\x00\n", &[&[b"ECHO", b"\xff\x00"]]),
    ];
    for (input, commands) in table {
        check(plain_limits(), input, commands, None);
    }
}

#[test]
fn hostile_inputs_get_one_clear_error() {
    use ProtocolError as E;
    let table: &[(&[u8], ProtocolError)] = &[
        (b"*\r\n", E::InvalidMultibulkLength),
        (b"*x\r\n", E::InvalidMultibulkLength),
        (b"*1x\r\n", E::InvalidMultibulkLength),
        (b"*+1\r\n", E::InvalidMultibulkLength),
        (b"*-\r\n", E::InvalidMultibulkLength),
        (b"*-0\r\n", E::InvalidMultibulkLength),
        (b"*01\r\n", E::InvalidMultibulkLength),
        (b"* 1\r\n", E::InvalidMultibulkLength),
        (b"*1\n", E::InvalidMultibulkLength),
        (b"*1\rx", E::InvalidMultibulkLength),
        (b"*1-\r\n", E::InvalidMultibulkLength),
        (b"*1048577\r\n", E::InvalidMultibulkLength),
        (b"*2147483648\r\n", E::InvalidMultibulkLength),
        (b"*18446744073709551617\r\n", E::InvalidMultibulkLength),
        (b"*99999999999999999999999999999999", E::TooBigMultibulkCount),
        (b"*1\r\n:1\r\n", E::ExpectedDollar(b':')),
        (b"*1\r\n*1\r\n$1\r\nx\r\n", E::ExpectedDollar(b'*')),
        (b"*2\r\n$1\r\nx\r\n\r\n", E::ExpectedDollar(b'\r')),
        (b"*1\r\n$\r\n", E::InvalidBulkLength),
        (b"*1\r\n$-1\r\n", E::InvalidBulkLength),
        (b"*1\r\n$x\r\n", E::InvalidBulkLength),
        (b"*1\r\n$00\r\n", E::InvalidBulkLength),
        (b"*1\r\n$536870913\r\n", E::InvalidBulkLength),
        (b"*1\r\n$18446744073709551615\r\n", E::InvalidBulkLength),
        (b"*1\r\n$18446744073709551616\r\n", E::InvalidBulkLength),
        (b"*1\r\n$11111111111111111111111111111111", E::TooBigBulkCount),
        (b"*1\r\n$1\r\nxy\r\n", E::ExpectedLineEnd),
        (b"*1\r\n$1\r\nx\r\r", E::ExpectedLineEnd),
        (b"*1\r\n$1\r\nx\n\n", E::ExpectedLineEnd),
        (b"SET \"k\r\n", E::UnbalancedQuotes),
        (b"SET 'k\r\n", E::UnbalancedQuotes),
        (b"SET \"a\"b\r\n", E::UnbalancedQuotes),
        (b"SET 'a'b\r\n", E::UnbalancedQuotes),
        (b"SET \"a\\\r\n", E::UnbalancedQuotes),
    ];
    for (input, error) in table {
        check(plain_limits(), input, &[], Some(*error));
        // A command before it is heard all the same.
        let after = [b"*1\r\n$4\r\nPING\r\n", *input].concat();
        check(plain_limits(), &after, &[&[b"PING"]], Some(*error));
    }
}

#[test]
fn an_endless_line_is_refused_at_its_bound() {
    for bytes in [INLINE_MAX, INLINE_MAX + 1] {
        let line = vec![b'a'; bytes];
        let expected = (bytes > INLINE_MAX).then_some(ProtocolError::TooBigInline);
        assert_eq!(hear(plain_limits(), line.chunks(1000)), (vec![], expected));
        let ended = [&line[..], b"\n"].concat();
        let heard = hear(plain_limits(), [&ended[..]]);
        assert_eq!((heard.0.len(), heard.1), (usize::from(expected.is_none()), expected));
    }
}

const INLINE_MAX: usize = limits::INLINE_BYTES_MAX;

#[test]
fn a_client_without_password_has_small_bounds() {
    use ProtocolError as E;
    let limits = Limits::unauthenticated();
    let word = b"$1\r\nx\r\n".as_slice();
    let ten = [b"*10\r\n".as_slice(), &word.repeat(10)].concat();
    check(limits, &ten, &[&[b"x".as_slice(); 10]], None);
    check(limits, b"*11\r\n", &[], Some(E::UnauthenticatedMultibulkLength));
    check(limits, b"*9999999\r\n", &[], Some(E::InvalidMultibulkLength));
    check(limits, b"a b c d e f g h i j k\r\n", &[], Some(E::UnauthenticatedMultibulkLength));
    let longest = vec![b'v'; 16 << 10];
    let input = [b"*1\r\n$16384\r\n", &longest[..], b"\r\n"].concat();
    check(limits, &input, &[&[&longest]], None);
    check(limits, b"*1\r\n$16385\r\n", &[], Some(E::UnauthenticatedBulkLength));
    let line = vec![b'v'; (16 << 10) + 1];
    assert_eq!(hear(limits, [&line[..]]).1, Some(E::TooBigInline));
}

#[test]
fn a_command_is_bounded_as_a_whole() {
    let limits = Limits { command_bytes_max: 60, ..plain_limits() };
    let exactly = [b"*2\r\n".as_slice(), b"$20\r\n01234567890123456789\r\n", &{
        [b"$22\r\n".as_slice(), &[b'v'; 22], b"\r\n"].concat()
    }]
    .concat();
    assert_eq!(exactly.len(), 60);
    check(limits, &exactly, &[&[b"01234567890123456789", &[b'v'; 22]]], None);
    let error = Some(ProtocolError::TooBigCommand);
    check(
        limits,
        &exactly.iter().copied().chain(*b"*").collect::<Vec<_>>(),
        &[&[b"01234567890123456789", &[b'v'; 22]]],
        None,
    );
    check(Limits { command_bytes_max: 59, ..limits }, &exactly, &[], error);
    check(limits, b"*2\r\n$100\r\n", &[], error);
    let words = b"$1\r\nx\r\n".repeat(20);
    check(limits, &[b"*20\r\n", &words[..]].concat(), &[], error);
    // Blobs that have been taken out of the input count too.
    let limits = Limits { command_bytes_max: 50_000, ..plain_limits() };
    let blob = [b"$20000\r\n".as_slice(), &vec![b'b'; 20_000], b"\r\n"].concat();
    check(limits, &[b"*3\r\n".as_slice(), &blob, &blob, &blob].concat(), &[], error);
}

#[test]
fn large_arguments_anywhere_in_a_command() {
    let big = |byte: u8, length: usize| vec![byte; length];
    for lengths in [
        vec![3, 3, BLOB_BYTES_MIN],
        vec![3, BLOB_BYTES_MIN - 1, 2, 0],
        vec![3, BLOB_BYTES_MIN, 2, 2, BLOB_BYTES_MIN + 1, 1],
        vec![BLOB_BYTES_MIN, BLOB_BYTES_MIN],
        vec![3, 100_000, 0],
    ] {
        let args: Vec<_> = lengths.iter().zip(b'a'..).map(|(&n, byte)| big(byte, n)).collect();
        let args: Vec<_> = args.iter().map(Vec::as_slice).collect();
        let input = [encode(&args), encode(&[b"PING"])].concat();
        check(plain_limits(), &input, &[&args, &[b"PING"]], None);
    }
}

#[test]
fn a_missing_line_end_after_a_large_argument() {
    let mut input = encode(&[b"SET", b"k", &vec![b'v'; 20_000]]);
    let end = input.len();
    input[end - 2] = b'x';
    check(plain_limits(), &input, &[], Some(ProtocolError::ExpectedLineEnd));
}

fn encode(args: &[&[u8]]) -> Vec<u8> {
    let mut input = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        input.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        input.extend_from_slice(arg);
        input.extend_from_slice(b"\r\n");
    }
    input
}

#[test]
fn a_large_value_in_small_pieces_costs_linear_time_and_little_memory() {
    const VALUE_BYTES: usize = 64 << 20;
    let value = vec![b'v'; VALUE_BYTES];
    let input = encode(&[b"SET", b"key", &value, b"PX", b"1000"]);
    let mut parser = Parser::new();
    let (mut args, mut blobs) = (Vec::new(), Vec::new());
    let (mut buffer, mut buffer_bytes_max) = (Vec::new(), 0);
    probe::take();
    let mut seen = 0;
    for piece in input.chunks(4096) {
        seen += piece.len();
        buffer.extend_from_slice(piece);
        buffer_bytes_max = buffer_bytes_max.max(buffer.len());
        match parser.parse(&buffer, &plain_limits(), &mut args, &mut blobs).unwrap() {
            Step::Incomplete { consumed } => {
                buffer.drain(..consumed);
            }
            Step::Command { consumed } => assert_eq!(consumed, buffer.len()),
            Step::Empty { .. } => unreachable!("the command has arguments"),
        }
        // Doubling, from 64 KiB: what has come decides, not what was announced.
        assert!(parser.pending_bytes() <= 2 * seen + (64 << 10) + 1024);
    }
    assert!(probe::take() <= input.len() + 16);
    assert!(buffer_bytes_max <= 8192);
    assert_eq!(
        args,
        [
            Arg::Kept { start: 0, end: 3 },
            Arg::Kept { start: 3, end: 6 },
            Arg::Blob(0),
            args[3],
            args[4],
        ]
    );
    assert_eq!(blobs[0].len(), VALUE_BYTES);
    assert_eq!(args[3].resolve(&buffer, &blobs), b"PX");
    assert_eq!(args[4].resolve(&buffer, &blobs), b"1000");
}

#[test]
fn many_small_arguments_in_pieces_are_looked_at_once() {
    let args = vec![b"member".as_slice(); 100_000];
    let input = encode(&args);
    let mut parser = Parser::new();
    let (mut args, mut blobs) = (Vec::new(), Vec::new());
    probe::take();
    let mut end = 0;
    let step = loop {
        end = (end + 1500).min(input.len());
        match parser.parse(&input[..end], &plain_limits(), &mut args, &mut blobs).unwrap() {
            Step::Incomplete { consumed } => assert_eq!(consumed, 0),
            step => break step,
        }
    };
    assert_eq!(step, Step::Command { consumed: input.len() });
    assert_eq!(args.len(), 100_000);
    // A header that is cut is begun on the quick way and finished on the slow one.
    assert!(probe::take() <= input.len());
}

#[test]
fn an_inline_line_in_pieces_is_looked_at_once() {
    let line = [vec![b'a'; 60_000], b"\n".to_vec()].concat();
    let mut parser = Parser::new();
    let (mut args, mut blobs) = (Vec::new(), Vec::new());
    probe::take();
    for end in 1..=line.len() {
        parser.parse(&line[..end], &plain_limits(), &mut args, &mut blobs).unwrap();
    }
    assert_eq!(args, [Arg::Range { start: 0, end: 60_000 }]);
    assert_eq!(probe::take(), line.len());
}

#[test]
fn what_is_announced_is_not_reserved() {
    let mut parser = Parser::new();
    let (mut args, mut blobs) = (Vec::new(), Vec::new());
    let input = b"*1000000\r\n$3\r\nSET\r\n$536870912\r\nv";
    let step = parser.parse(input, &plain_limits(), &mut args, &mut blobs);
    assert_eq!(step, Ok(Step::Incomplete { consumed: input.len() }));
    assert!(parser.pending_bytes() < 70 << 10);
    assert!(args.capacity() < 64);
}

#[test]
fn an_idle_parser_is_small() {
    assert!(size_of::<Parser>() <= 64);
    let parser = Parser::new();
    assert!(parser.is_idle());
    assert_eq!(parser.pending_bytes(), 0);
}

#[test]
fn errors_read_as_redis_writes_them() {
    for (error, text) in [
        (ProtocolError::InvalidMultibulkLength, "invalid multibulk length"),
        (ProtocolError::ExpectedDollar(b'x'), "expected '$', got 'x'"),
        (ProtocolError::ExpectedDollar(b'\n'), "expected '$', got '?'"),
        (ProtocolError::UnbalancedQuotes, "unbalanced quotes in request"),
    ] {
        assert_eq!(error.to_string(), text);
    }
}

const PROTOCOL_WORDS: &[&[u8]] = &[
    b"*1\r\n",
    b"*2\r\n",
    b"$1\r\n",
    b"$3\r\n",
    b"16384\r\n",
    b"\r\n",
    b"\r",
    b"\n",
    b"a",
    b"GET",
    b"\"",
    b"'",
    b"\\",
    b" ",
    b"*",
    b"$",
    b"-1",
    b"0",
    b"\x00",
];

proptest! {
    #[test]
    fn any_commands_in_any_pieces_are_heard_as_sent(
        commands in prop::collection::vec(
            prop::collection::vec(
                prop_oneof![
                    4 => prop::collection::vec(any::<u8>(), 0..40),
                    1 => (0..40_000_usize).prop_map(|length| vec![b'v'; length]),
                ],
                1..8,
            ),
            0..6,
        ),
        cuts in prop::collection::vec(1..30_000_usize, 0..12),
    ) {
        let mut input = Vec::new();
        for command in &commands {
            input.extend(encode(&command.iter().map(Vec::as_slice).collect::<Vec<_>>()));
        }
        let mut pieces = Vec::new();
        let mut rest = &input[..];
        for cut in cuts {
            let (piece, tail) = rest.split_at(cut.min(rest.len()));
            pieces.push(piece);
            rest = tail;
        }
        pieces.push(rest);
        prop_assert_eq!(hear(plain_limits(), pieces), (commands, None));
    }

    /// Bytes that look like the protocol, and others.
    #[test]
    fn any_bytes_are_heard_the_same_in_any_pieces(
        words in prop::collection::vec(
            prop::sample::select(PROTOCOL_WORDS),
            0..30,
        ),
        piece in 1..10_usize,
    ) {
        let input = words.concat();
        let limits = Limits { command_bytes_max: 100, ..plain_limits() };
        prop_assert_eq!(hear(limits, input.chunks(piece)), hear(limits, [&input[..]]));
    }
}
