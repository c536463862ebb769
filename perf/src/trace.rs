//! Access traces: zstd-compressed CSV, header `op,key,size,ttl`, one request a line. `op` is `g` (a
//! read-through get: on a miss the caller stores the object) or `s` (a set); `key` a dense number;
//! `size` bytes of key and value (0 = unknown); `ttl` seconds (0 = none).

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

/// Longer traces are refused: they are held in memory, 16 bytes a request.
pub const REQUESTS_MAX: usize = 100_000_000;
/// Key numbers are dense, so an array over them is cheap; a sparse file would make it huge.
pub const KEYS_MAX: u32 = 100_000_000;

/// One request of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    pub is_set: bool,
    pub key: u32,
    /// Bytes of key and value; 0 = unknown.
    pub bytes: u32,
    /// Seconds; 0 = none.
    pub ttl_s: u32,
}

/// A whole trace.
#[derive(Clone, Debug)]
pub struct Trace {
    pub name: String,
    pub requests: Vec<Request>,
    /// How many different keys there are: numbers below this.
    pub keys: u32,
}

impl Trace {
    /// Reads a file, compressed (`.zst`) or plain.
    pub fn open(path: &Path) -> Result<Self> {
        let name =
            path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let name = name.split('.').next().unwrap_or_default().to_owned();
        let file = BufReader::new(File::open(path).with_context(|| path.display().to_string())?);
        let (requests, keys) = if path.extension().is_some_and(|extension| extension == "zst") {
            let decoder = ruzstd::decoding::StreamingDecoder::new(file)
                .map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
            parse(BufReader::with_capacity(1 << 20, decoder))
        } else {
            parse(file)
        }
        .with_context(|| path.display().to_string())?;
        Ok(Self { name, requests, keys })
    }

    /// Whether every request says its size.
    pub fn has_sizes(&self) -> bool {
        self.requests.iter().all(|request| request.bytes > 0)
    }

    pub fn has_ttls(&self) -> bool {
        self.requests.iter().any(|request| request.ttl_s > 0)
    }

    /// Bytes of all different objects, each at its largest; `unknown` bytes where a size is unknown.
    pub fn footprint_bytes(&self, unknown: u32) -> u64 {
        let mut largest = vec![0u32; self.keys as usize];
        for request in &self.requests {
            let bytes = if request.bytes == 0 { unknown } else { request.bytes };
            let known = &mut largest[request.key as usize];
            *known = (*known).max(bytes);
        }
        largest.iter().map(|&bytes| u64::from(bytes)).sum()
    }
}

/// The trace files of a folder in order of name; or the file itself.
pub fn files(path: &Path) -> Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = std::fs::read_dir(path).with_context(|| path.display().to_string())?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.to_string_lossy();
        if [".csv.zst", ".csv"].iter().any(|end| name.ends_with(end)) {
            found.push(path);
        }
    }
    if found.is_empty() {
        bail!("no *.csv.zst in {}", path.display());
    }
    found.sort();
    Ok(found)
}

fn parse(mut input: impl BufRead) -> Result<(Vec<Request>, u32)> {
    const LINE_BYTES_MAX: usize = 200;
    let mut line = String::new();
    input.read_line(&mut line)?;
    if line.trim_end() != "op,key,size,ttl" {
        bail!("the first line is not op,key,size,ttl");
    }
    let (mut requests, mut keys, mut number) = (Vec::new(), 0, 1u64);
    loop {
        line.clear();
        number += 1;
        if input.read_line(&mut line).with_context(|| format!("line {number}"))? == 0 {
            break;
        }
        if line.len() > LINE_BYTES_MAX || requests.len() >= REQUESTS_MAX {
            bail!("line {number}: too long, or more than {REQUESTS_MAX} requests");
        }
        let request = parse_line(line.trim_end())
            .with_context(|| format!("line {number}: {}", line.trim_end()))?;
        keys = keys.max(request.key + 1);
        requests.push(request);
    }
    if requests.is_empty() {
        bail!("no requests");
    }
    Ok((requests, keys))
}

fn parse_line(line: &str) -> Result<Request> {
    let mut fields = line.split(',');
    let mut field = |name: &'static str| fields.next().context(name);
    let is_set = match field("op")? {
        "g" => false,
        "s" => true,
        other => bail!("op {other:?} is neither g nor s"),
    };
    let key: u32 = field("key")?.parse().context("key")?;
    if key >= KEYS_MAX {
        bail!("key {key}: numbers run up to {KEYS_MAX}");
    }
    let bytes = field("size")?.parse().context("size")?;
    let ttl_s = field("ttl")?.parse().context("ttl")?;
    Ok(Request { is_set, key, bytes, ttl_s })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_trace_is_read_in_order() {
        let text = "op,key,size,ttl\ng,0,0,0\ns,1,120,60\ng,1,100,0\n";
        let (requests, keys) = parse(text.as_bytes()).unwrap();
        let request = |is_set, key, bytes, ttl_s| Request { is_set, key, bytes, ttl_s };
        assert_eq!(
            requests,
            [request(false, 0, 0, 0), request(true, 1, 120, 60), request(false, 1, 100, 0)]
        );
        assert_eq!(keys, 2);
        let trace = Trace { name: String::new(), requests, keys };
        assert_eq!(trace.footprint_bytes(30), 30 + 120);
        assert!(trace.has_ttls() && !trace.has_sizes());
    }

    #[test]
    fn compressed_and_plain_files_are_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let mut text = String::from("op,key,size,ttl\n");
        for number in 0..5000 {
            text.extend([
                "g,",
                &(number % 700).to_string(),
                ",",
                &(number % 90).to_string(),
                ",0\n",
            ]);
        }
        let (plain, packed) = (folder.path().join("a.csv"), folder.path().join("b.csv.zst"));
        std::fs::write(&plain, &text).unwrap();
        let bytes = ruzstd::encoding::compress_to_vec(
            text.as_bytes(),
            ruzstd::encoding::CompressionLevel::Fastest,
        );
        File::create(&packed).unwrap().write_all(&bytes).unwrap();
        let (a, b) = (Trace::open(&plain).unwrap(), Trace::open(&packed).unwrap());
        assert_eq!((a.requests.len(), a.keys), (5000, 700));
        assert_eq!(a.requests, b.requests);
        assert_eq!((a.name.as_str(), b.name.as_str()), ("a", "b"));
        assert_eq!(files(folder.path()).unwrap(), [plain, packed]);
    }

    #[test]
    fn bad_files_say_where() {
        for (text, expected) in [
            ("", "first line"),
            ("op,key\n", "first line"),
            ("op,key,size,ttl\n", "no requests"),
            ("op,key,size,ttl\ng,0,0,0\nx,1,1,1\n", "line 3"),
            ("op,key,size,ttl\ng,0,0\n", "ttl"),
            ("op,key,size,ttl\ng,-1,0,0\n", "key"),
            ("op,key,size,ttl\ng,4000000000,0,0\n", "numbers run up"),
        ] {
            let error = format!("{:#}", parse(text.as_bytes()).unwrap_err());
            assert!(error.contains(expected), "{text:?}: {error}");
        }
    }
}
