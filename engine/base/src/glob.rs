//! Glob patterns as `KEYS` and `SCAN MATCH` take them: `*`, `?`, `[a-c]`, `[^x]`, `\` escapes.
//! Linear in pattern times text: a star falls back only to the last star, never recursively.

/// Whether `pattern` matches all of `text`.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to resume when what follows the last star fails: (pattern after it, text it has eaten).
    let mut star: Option<(usize, usize)> = None;
    loop {
        if p < pattern.len() && pattern[p] == b'*' {
            p += 1;
            star = Some((p, t));
            continue;
        }
        if t == text.len() {
            return p == pattern.len();
        }
        let step = (p < pattern.len()).then(|| match_one(&pattern[p..], text[t]));
        match (step, star) {
            (Some((true, length)), _) => {
                p += length;
                t += 1;
            }
            (Some((false, _)) | None, Some((after, eaten))) => {
                star = Some((after, eaten + 1));
                p = after;
                t = eaten + 1;
            }
            (Some((false, _)) | None, None) => return false,
        }
    }
}

/// Whether the first element of `pattern` (not a star) matches `byte`, and how long that element is.
fn match_one(pattern: &[u8], byte: u8) -> (bool, usize) {
    match pattern {
        [b'?', ..] => (true, 1),
        [b'[', class @ ..] => {
            let (hit, length) = match_class(class, byte);
            (hit, 1 + length)
        }
        [b'\\', escaped, ..] => (*escaped == byte, 2),
        [literal, ..] => (*literal == byte, 1),
        [] => (false, 0),
    }
}

/// A class after its `[`. An unclosed class reaches to the end of the pattern, as in Redis.
fn match_class(class: &[u8], byte: u8) -> (bool, usize) {
    let negated = class.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut hit = false;
    loop {
        match &class[at..] {
            [] => break,
            [b']', ..] => {
                at += 1;
                break;
            }
            [b'\\', escaped, ..] => {
                hit |= *escaped == byte;
                at += 2;
            }
            [low, b'-', high, ..] => {
                let (low, high) = (low.min(high), low.max(high));
                hit |= (*low..=*high).contains(&byte);
                at += 3;
            }
            [literal, ..] => {
                hit |= *literal == byte;
                at += 1;
            }
        }
    }
    (hit != negated, at)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_match_as_in_redis() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("h?llo", "hello", true),
            ("h*llo", "heeeello", true),
            ("h[ae]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[a-b]llo", "hbllo", true),
            ("h[b-a]llo", "hallo", true),
            ("h\\*llo", "h*llo", true),
            ("h\\*llo", "hello", false),
            ("*foo*bar*", "xxfooyybarzz", true),
            ("a*b", "ab", true),
            ("a*b", "abc", false),
            ("[abc", "c", true),
            ("[]", "a", false),
            ("a\\", "a\\", true),
            ("?", "", false),
            ("**a", "bba", true),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), text.as_bytes()),
                expected,
                "{pattern:?} {text:?}"
            );
        }
    }

    #[test]
    fn many_stars_stay_quick() {
        let pattern = "a*".repeat(500) + "b";
        assert!(!matches(pattern.as_bytes(), "a".repeat(5000).as_bytes()));
    }
}
