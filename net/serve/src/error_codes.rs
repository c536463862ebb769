//! How often errors were answered, by their code: the first word of the reply (`ERR`, `WRONGTYPE`).
//! Bounded, since a script can make up codes.

/// Codes that are told apart, as in Redis.
const CODES_MAX: usize = 128;
/// What later ones are counted under, in Redis's spelling.
const OVERFLOW: &str = "ERRORSTATS_OVERFLOW";
/// Bytes of a code that are kept.
const CODE_BYTES_MAX: usize = 64;

/// Counts by code, in the order in which they first came.
#[derive(Clone, Debug, Default)]
pub struct ErrorCodes(Vec<(String, u64)>);

impl ErrorCodes {
    /// Counts an error by its text or its reply line: `ERR no such key`, `-ERR no such key\r\n`.
    #[cold]
    pub fn note(&mut self, text: &[u8]) {
        let text = text.strip_prefix(b"-").unwrap_or(text);
        let code = text.split(u8::is_ascii_whitespace).next().unwrap_or_default();
        self.add(&String::from_utf8_lossy(&code[..code.len().min(CODE_BYTES_MAX)]), 1);
    }

    fn add(&mut self, code: &str, count: u64) {
        let full = self.0.len() >= CODES_MAX;
        let place = self.0.iter().position(|(known, _)| known == code);
        let code = if place.is_none() && full { OVERFLOW } else { code };
        match self.0.iter_mut().find(|(known, _)| known == code) {
            Some((_, sum)) => *sum += count,
            None => self.0.push((code.to_owned(), count)),
        }
    }

    /// Adds another lane's counts.
    pub fn merge(&mut self, other: &Self) {
        for (code, count) in &other.0 {
            self.add(code, *count);
        }
    }

    /// By code, ascending.
    pub fn sorted(mut self) -> Vec<(String, u64)> {
        self.0.sort_unstable();
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_counted_by_their_first_word_and_bounded() {
        let mut codes = ErrorCodes::default();
        codes.note(b"-ERR no such key\r\n");
        codes.note(b"WRONGTYPE Operation against a key");
        codes.note(b"ERR");
        let mut other = ErrorCodes::default();
        other.note(b"-ERR syntax error\r\n");
        codes.merge(&other);
        let expected = [("ERR".to_owned(), 3), ("WRONGTYPE".to_owned(), 1)];
        assert_eq!(codes.clone().sorted(), expected);
        for number in 0..1000 {
            codes.note(format!("CODE{number} text").as_bytes());
        }
        let all = codes.sorted();
        assert_eq!(all.len(), CODES_MAX + 1);
        assert!(all.contains(&(OVERFLOW.to_owned(), 1000 - (CODES_MAX as u64 - 2))));
    }
}
