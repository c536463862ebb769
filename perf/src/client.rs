//! A plain blocking RESP client for what is not the load: INFO, CONFIG, CLUSTER SLOTS, probes.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context, Result, bail};

use crate::protocol::push_command;

/// A reply of any shape.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    Text(Vec<u8>),
    Integer(i64),
    Nil,
    Array(Vec<Reply>),
}

impl Reply {
    /// The text, where it is one.
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Text(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            Self::Integer(number) => Some(number.to_string()),
            Self::Nil | Self::Array(_) => None,
        }
    }
}

/// Bounds what a broken server can make this client allocate.
const BULK_BYTES_MAX: usize = 512 << 20;
const ELEMENTS_MAX: usize = 1 << 20;
const DEPTH_MAX: u32 = 16;

/// One connection.
pub struct Client {
    stream: BufReader<TcpStream>,
    request: Vec<u8>,
}

impl Client {
    /// Connects; every later read or write fails after `timeout` without progress.
    pub fn connect(address: SocketAddr, timeout: Duration) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&address, timeout)
            .with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(timeout))?;
        stream.set_write_timeout(Some(timeout))?;
        Ok(Self { stream: BufReader::new(stream), request: Vec::new() })
    }

    /// The connection itself, once nothing is awaited any more.
    pub fn into_stream(self) -> TcpStream {
        self.stream.into_inner()
    }

    /// Sends a command and waits for its reply; an error reply is an `Err`.
    pub fn call(&mut self, arguments: &[&[u8]]) -> Result<Reply> {
        self.request.clear();
        push_command(arguments, &mut self.request);
        let request = std::mem::take(&mut self.request);
        let result = self.send(&request).and_then(|()| self.read());
        self.request = request;
        result.with_context(|| {
            format!(
                "{}",
                String::from_utf8_lossy(
                    &arguments.join(&b' ').into_iter().take(80).collect::<Vec<_>>()
                )
            )
        })
    }

    /// `call` with words.
    pub fn command(&mut self, line: &str) -> Result<Reply> {
        let words: Vec<&[u8]> = line.split_whitespace().map(str::as_bytes).collect();
        self.call(&words)
    }

    /// Writes requests that are encoded already.
    pub fn send(&mut self, requests: &[u8]) -> Result<()> {
        Ok(self.stream.get_mut().write_all(requests)?)
    }

    /// Reads one reply.
    pub fn read(&mut self) -> Result<Reply> {
        self.read_nested(0)
    }

    /// Reads one reply of any size and forgets it; an error reply is an `Err`.
    pub fn skip(&mut self) -> Result<()> {
        let (mut line, mut left) = (Vec::new(), 1u64);
        while left > 0 {
            left -= 1;
            self.read_line_into(&mut line)?;
            let (kind, rest) = line.split_first().context("an empty reply")?;
            let text = std::str::from_utf8(rest).unwrap_or_default();
            match kind {
                b'-' => bail!("{text}"),
                b'$' | b'=' | b'*' | b'~' | b'>' | b'%' if text == "-1" => {}
                b'$' | b'=' => {
                    let bytes: u64 = text.parse().context("a bulk's length")?;
                    std::io::copy(&mut self.stream.by_ref().take(bytes + 2), &mut std::io::sink())?;
                }
                b'*' | b'~' | b'>' => left += text.parse::<u64>().context("an array's length")?,
                b'%' => left += 2 * text.parse::<u64>().context("a map's length")?,
                _ => {}
            }
        }
        Ok(())
    }

    /// The value of a field of `INFO`, as `name:value` in any section.
    pub fn info(&mut self, section: &str) -> Result<String> {
        self.command(&format!("INFO {section}"))?.text().context("INFO is no text")
    }

    fn read_line_into(&mut self, line: &mut Vec<u8>) -> Result<()> {
        const LINE_BYTES_MAX: u64 = 64 * 1024;
        line.clear();
        self.stream.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', line)?;
        if !line.ends_with(b"\r\n") {
            bail!("the server closed the connection");
        }
        line.truncate(line.len() - 2);
        Ok(())
    }

    fn read_nested(&mut self, depth: u32) -> Result<Reply> {
        let mut line = Vec::new();
        self.read_line_into(&mut line)?;
        let (kind, rest) = line.split_first().context("an empty reply")?;
        let text = std::str::from_utf8(rest).unwrap_or_default();
        match kind {
            b'+' | b',' | b'(' | b'#' => Ok(Reply::Text(rest.to_vec())),
            b'-' => bail!("{text}"),
            b':' => Ok(Reply::Integer(text.parse()?)),
            b'_' => Ok(Reply::Nil),
            b'$' | b'=' | b'*' | b'~' | b'%' if text == "-1" => Ok(Reply::Nil),
            b'$' | b'=' => {
                let size: usize = text.parse().context("a bulk's length")?;
                if size > BULK_BYTES_MAX {
                    bail!("a bulk of {size} bytes");
                }
                let mut bytes = vec![0; size + 2];
                self.stream.read_exact(&mut bytes)?;
                bytes.truncate(size);
                Ok(Reply::Text(bytes))
            }
            b'*' | b'~' | b'>' | b'%' => {
                let pairs = if *kind == b'%' { 2 } else { 1 };
                let count = text.parse::<usize>().context("an array's length")? * pairs;
                if count > ELEMENTS_MAX || depth >= DEPTH_MAX {
                    bail!("an array of {count} elements, {depth} deep");
                }
                (0..count)
                    .map(|_| self.read_nested(depth + 1))
                    .collect::<Result<_>>()
                    .map(Reply::Array)
            }
            _ => bail!("not a RESP reply: {:?}", String::from_utf8_lossy(&line)),
        }
    }
}

/// The value of the first `name:value` line of an INFO text.
pub fn info_field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// Every number that stands after a name which contains `part`, as `name:12` or `name=12`, with
/// its name and the line's own name before it: lanes report theirs in one line each.
pub fn info_numbers(info: &str, part: &str) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    for line in info.lines() {
        let owner = line.split([':', '=']).next().unwrap_or_default();
        for field in line.split([',', ' ']) {
            let Some((name, value)) = field.trim().rsplit_once(['=', ':']) else { continue };
            if !name.contains(part) {
                continue;
            }
            if let Ok(number) = value.parse::<f64>() {
                let name = name.rsplit_once(':').map_or(name, |(_, last)| last);
                let label = if name == owner { name.to_owned() } else { format!("{owner}.{name}") };
                found.push((label, number.round() as u64));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// A client whose PING is answered so.
    fn answered<R: Send>(
        reply: &'static str,
        ask: impl FnOnce(&mut Client) -> Result<R>,
    ) -> Result<R> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut peer, _) = listener.accept().unwrap();
            let mut request = [0; 14];
            peer.read_exact(&mut request).unwrap();
            assert_eq!(&request, b"*1\r\n$4\r\nPING\r\n");
            peer.write_all(reply.as_bytes()).unwrap();
        });
        let result = ask(&mut Client::connect(address, Duration::from_secs(10)).unwrap());
        server.join().unwrap();
        result
    }

    fn answer(reply: &'static str) -> Result<Reply> {
        answered(reply, |client| client.command("PING"))
    }

    #[test]
    fn a_reply_of_any_shape_is_skipped_to_its_end() {
        for wire in [
            "+a\r\n",
            "*-1\r\n",
            "*0\r\n",
            "$3\r\n\r\n*\r\n",
            "*2\r\n:1\r\n%1\r\n+a\r\n*1\r\n_\r\n",
        ] {
            let whole: &'static str = format!("{wire}:7\r\n").leak();
            let next = answered(whole, |client| {
                client.send(b"*1\r\n$4\r\nPING\r\n")?;
                client.skip()?;
                client.read()
            });
            assert_eq!(next.unwrap(), Reply::Integer(7), "{wire:?}");
        }
        for wire in ["-ERR no\r\n", "*2\r\n:1\r\n", "*1\r\n-ERR no\r\n"] {
            let skipped = answered(wire, |client| {
                client.send(b"*1\r\n$4\r\nPING\r\n")?;
                client.skip()
            });
            assert!(skipped.is_err(), "{wire:?}");
        }
    }

    #[test]
    fn replies_of_every_shape() {
        let text = |bytes: &str| Reply::Text(bytes.as_bytes().to_vec());
        for (wire, expected) in [
            ("+PONG\r\n", text("PONG")),
            (":-7\r\n", Reply::Integer(-7)),
            ("$-1\r\n", Reply::Nil),
            ("_\r\n", Reply::Nil),
            ("$2\r\na\n\r\n", text("a\n")),
            (
                "*2\r\n:1\r\n*1\r\n$1\r\nx\r\n",
                Reply::Array(vec![Reply::Integer(1), Reply::Array(vec![text("x")])]),
            ),
            ("%1\r\n+a\r\n:1\r\n", Reply::Array(vec![text("a"), Reply::Integer(1)])),
        ] {
            assert_eq!(answer(wire).unwrap(), expected, "{wire:?}");
        }
        for wire in ["-ERR no\r\n", "", "$5\r\nab", "?\r\n", "*9999999\r\n", "\r\n"] {
            assert!(answer(wire).is_err(), "{wire:?}");
        }
    }

    #[test]
    fn info_is_read_by_name() {
        let info = "# Lanes\r\nlane0:ops=5,longest_turn_us=123\r\nlongest_turn_us:200\r\nused_memory:77\r\n";
        assert_eq!(info_field(info, "used_memory"), Some("77"));
        assert_eq!(info_field(info, "memory"), None);
        assert_eq!(
            info_numbers(info, "longest_turn"),
            [("lane0.longest_turn_us".to_owned(), 123), ("longest_turn_us".to_owned(), 200)]
        );
    }
}
