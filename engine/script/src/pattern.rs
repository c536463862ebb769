//! What it would cost to match a pattern of Lua. Lua's own matcher runs in one go, however long it
//! takes, and recurses with the pattern; so a pattern that may be slow is rehearsed here first, step
//! by step as Lua would take them, with a look at the clock every so often and a bound on the depth.
//! Returns nothing of the match: Lua does that. Faults of patterns are left to Lua to tell.
//! <https://www.lua.org/manual/5.1/manual.html#5.4.1>

/// Steps between two looks.
const STEPS_PER_LOOK: usize = 10_000;
/// A match that takes at most so many steps needs no rehearsal.
const STEPS_FREE: usize = 100_000;
/// Steps that no match may pass: so many, and so many for each byte that is searched. Lua's own
/// matcher cannot be paused, and takes some 100 ms for them.
const STEPS_MAX: usize = 1 << 25;
const STEPS_MAX_A_BYTE: usize = 16;

/// Calls within each other, as many as Lua 5.2 and later allow.
const DEPTH_MAX: u32 = 200;
/// Captures of one pattern, Lua's bound.
const CAPTURES_MAX: usize = 32;

/// Why a pattern is not matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal<Why> {
    /// It nests too deep for the stack, or would take too many steps.
    TooComplex,
    /// The look said so.
    Stopped(Why),
}

/// What will be done with a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// A plain text is searched.
    Plain,
    /// The first match, as in `find` and `match`.
    First,
    /// All matches from where the last one ended, `^` being no anchor, as in `gmatch`.
    Each,
    /// So many matches, as in `gsub`.
    Replace(usize),
}

/// Rehearses a match from byte `start` on. `look` is asked every 10,000 steps whether to stop.
pub fn rehearse<Why>(
    subject: &[u8],
    pattern: &[u8],
    start: usize,
    what: Use,
    look: &mut dyn FnMut() -> Option<Why>,
) -> Result<(), Refusal<Why>> {
    let start = start.min(subject.len());
    if is_cheap(subject.len() - start, pattern, what) {
        return Ok(());
    }
    // Where Lua 5.1 takes a pattern to end.
    let end = pattern.iter().position(|byte| *byte == 0).unwrap_or(pattern.len());
    let mut matcher = Matcher {
        subject,
        pattern: if what == Use::Plain { pattern } else { &pattern[..end] },
        captures: [Capture { start: 0, length: Length::Open }; CAPTURES_MAX],
        level: 0,
        steps: 0,
        left: STEPS_MAX + STEPS_MAX_A_BYTE * (subject.len() - start),
        look,
    };
    match matcher.rehearse(start, what) {
        Ok(()) | Err(Stop::Faulty) => Ok(()),
        Err(Stop::Complex) => Err(Refusal::TooComplex),
        Err(Stop::Told(why)) => Err(Refusal::Stopped(why)),
    }
}

/// Whether no match of this pattern in so long a text can be slow or deep.
fn is_cheap(subject: usize, pattern: &[u8], what: Use) -> bool {
    let mut cost = (subject + 1).saturating_mul(pattern.len() + 1);
    if what != Use::Plain {
        let loops = pattern.iter().filter(|byte| b"*+-?(b".contains(byte)).count();
        for _ in 0..loops.min(STEPS_FREE.ilog2() as usize) {
            cost = cost.saturating_mul((subject + 1).max(2));
        }
    }
    cost <= STEPS_FREE
}

#[derive(Clone, Copy)]
struct Capture {
    start: usize,
    length: Length,
}

#[derive(Clone, Copy)]
enum Length {
    Open,
    /// It captures where it stands.
    Position,
    Bytes(usize),
}

enum Stop<Why> {
    Faulty,
    Complex,
    Told(Why),
}

struct Matcher<'a, Why> {
    subject: &'a [u8],
    pattern: &'a [u8],
    captures: [Capture; CAPTURES_MAX],
    level: usize,
    steps: usize,
    /// Steps that it may still take.
    left: usize,
    look: &'a mut dyn FnMut() -> Option<Why>,
}

impl<Why> Matcher<'_, Why> {
    fn rehearse(&mut self, start: usize, what: Use) -> Result<(), Stop<Why>> {
        let (first, matches_max) = match what {
            Use::Plain => return self.search(start),
            Use::First => (true, 1),
            Use::Each => (false, usize::MAX),
            Use::Replace(matches_max) => (true, matches_max),
        };
        let anchored = first && self.pattern.first() == Some(&b'^');
        let (mut at, mut matches) = (start, 0);
        while matches < matches_max && at <= self.subject.len() {
            self.level = 0;
            let end = self.run(at, usize::from(anchored), 0)?;
            matches += usize::from(end.is_some());
            at = end.filter(|end| *end > at).unwrap_or(at + 1);
            if anchored {
                break;
            }
        }
        Ok(())
    }

    fn search(&mut self, start: usize) -> Result<(), Stop<Why>> {
        for at in start..self.subject.len() {
            let pairs = self.subject[at..].iter().zip(self.pattern);
            let same = pairs.take_while(|(one, other)| one == other).count();
            // Lua compares whole words at a time.
            self.charge(1 + same / 8)?;
            if same == self.pattern.len() {
                break;
            }
        }
        Ok(())
    }

    fn charge(&mut self, steps: usize) -> Result<(), Stop<Why>> {
        self.steps += steps;
        if self.steps >= STEPS_PER_LOOK {
            let Some(left) = self.left.checked_sub(self.steps) else { return Err(Stop::Complex) };
            self.left = left;
            self.steps = 0;
            if let Some(why) = (self.look)() {
                return Err(Stop::Told(why));
            }
        }
        Ok(())
    }

    /// Where the match of the pattern from `item` on ends that begins at `at`.
    fn run(&mut self, mut at: usize, mut item: usize, depth: u32) -> Matched<Why> {
        if depth > DEPTH_MAX {
            return Err(Stop::Complex);
        }
        loop {
            self.charge(1)?;
            let next = self.pattern.get(item + 1).copied();
            match (self.pattern.get(item), next) {
                (None, _) => return Ok(Some(at)),
                (Some(b'('), Some(b')')) => {
                    return self.open(at, item + 2, Length::Position, depth);
                }
                (Some(b'('), _) => return self.open(at, item + 1, Length::Open, depth),
                (Some(b')'), _) => return self.close(at, item + 1, depth),
                (Some(b'$'), None) => return Ok((at == self.subject.len()).then_some(at)),
                (Some(b'%'), Some(b'b')) => {
                    let Some(end) = self.balanced(at, item + 2)? else { return Ok(None) };
                    (at, item) = (end, item + 4);
                }
                (Some(b'%'), Some(b'f')) => {
                    let Some(end) = self.frontier(at, item + 2)? else { return Ok(None) };
                    item = end;
                }
                (Some(b'%'), Some(digit)) if digit.is_ascii_digit() => {
                    let Some(end) = self.again(at, digit)? else { return Ok(None) };
                    (at, item) = (end, item + 2);
                }
                (Some(_), _) => {
                    let end = self.item_end(item)?;
                    let fits = self.fits(at, item, end)?;
                    match self.pattern.get(end) {
                        Some(b'?') => {
                            if fits && let Some(end) = self.run(at + 1, end + 1, depth + 1)? {
                                return Ok(Some(end));
                            }
                            item = end + 1;
                        }
                        Some(b'*') => return self.longest(at, item, end, depth),
                        Some(b'+') if fits => return self.longest(at + 1, item, end, depth),
                        Some(b'-') => return self.shortest(at, item, end, depth),
                        Some(_) | None if !fits => return Ok(None),
                        Some(_) | None => (at, item) = (at + 1, end),
                    }
                }
            }
        }
    }

    fn open(&mut self, at: usize, item: usize, length: Length, depth: u32) -> Matched<Why> {
        let level = self.level;
        *self.captures.get_mut(level).ok_or(Stop::Faulty)? = Capture { start: at, length };
        self.level = level + 1;
        let end = self.run(at, item, depth + 1)?;
        if end.is_none() {
            self.level -= 1;
        }
        Ok(end)
    }

    fn close(&mut self, at: usize, item: usize, depth: u32) -> Matched<Why> {
        let open = self.captures[..self.level]
            .iter()
            .rposition(|capture| matches!(capture.length, Length::Open))
            .ok_or(Stop::Faulty)?;
        self.captures[open].length = Length::Bytes(at - self.captures[open].start);
        let end = self.run(at, item, depth + 1)?;
        if end.is_none() {
            self.captures[open].length = Length::Open;
        }
        Ok(end)
    }

    /// As many as there are, then fewer.
    fn longest(&mut self, at: usize, item: usize, end: usize, depth: u32) -> Matched<Why> {
        let mut count = 0;
        while self.fits(at + count, item, end)? {
            count += 1;
        }
        loop {
            if let Some(end) = self.run(at + count, end + 1, depth + 1)? {
                return Ok(Some(end));
            }
            if count == 0 {
                return Ok(None);
            }
            count -= 1;
        }
    }

    /// As few as will do.
    fn shortest(&mut self, mut at: usize, item: usize, end: usize, depth: u32) -> Matched<Why> {
        loop {
            if let Some(end) = self.run(at, end + 1, depth + 1)? {
                return Ok(Some(end));
            }
            if !self.fits(at, item, end)? {
                return Ok(None);
            }
            at += 1;
        }
    }

    fn balanced(&mut self, at: usize, pair: usize) -> Matched<Why> {
        let &[open, close] = self.pattern.get(pair..pair + 2).ok_or(Stop::Faulty)? else {
            return Err(Stop::Faulty);
        };
        if self.subject.get(at) != Some(&open) {
            return Ok(None);
        }
        let mut depth = 1_usize;
        for end in at + 1..self.subject.len() {
            self.charge(1)?;
            if self.subject[end] == close {
                depth -= 1;
                if depth == 0 {
                    return Ok(Some(end + 1));
                }
            } else if self.subject[end] == open {
                depth += 1;
            }
        }
        Ok(None)
    }

    /// The item behind the set of a frontier that lies at `at`.
    fn frontier(&mut self, at: usize, set: usize) -> Matched<Why> {
        if self.pattern.get(set) != Some(&b'[') {
            return Err(Stop::Faulty);
        }
        let end = self.item_end(set)?;
        self.charge(end - set)?;
        let before = at.checked_sub(1).map_or(0, |before| self.subject[before]);
        let here = self.subject.get(at).copied().unwrap_or(0);
        let crossed = !self.in_set(before, set, end) && self.in_set(here, set, end);
        Ok(crossed.then_some(end))
    }

    /// Where the text of an earlier capture ends that is here again.
    fn again(&mut self, at: usize, digit: u8) -> Matched<Why> {
        let number = usize::from(digit).checked_sub(usize::from(b'1')).ok_or(Stop::Faulty)?;
        let capture = self.captures[..self.level].get(number).ok_or(Stop::Faulty)?;
        let (start, length) = match capture.length {
            Length::Open => return Err(Stop::Faulty),
            Length::Position => return Ok(None),
            Length::Bytes(length) => (capture.start, length),
        };
        self.charge(1 + length / 8)?;
        let same = self.subject[at..].starts_with(&self.subject[start..start + length]);
        Ok(same.then_some(at + length))
    }

    /// Where the item ends that begins at `item`, without what says how often.
    fn item_end(&self, item: usize) -> Result<usize, Stop<Why>> {
        let byte = |at: usize| self.pattern.get(at).copied();
        match byte(item) {
            Some(b'%') => byte(item + 1).map(|_| item + 2).ok_or(Stop::Faulty),
            Some(b'[') => {
                let mut at = item + 1 + usize::from(byte(item + 1) == Some(b'^'));
                loop {
                    at += match byte(at).ok_or(Stop::Faulty)? {
                        b'%' => 2,
                        _ => 1,
                    };
                    if byte(at) == Some(b']') {
                        return Ok(at + 1);
                    }
                }
            }
            Some(_) | None => Ok(item + 1),
        }
    }

    /// Whether the byte at `at` is one that the item means.
    fn fits(&mut self, at: usize, item: usize, end: usize) -> Result<bool, Stop<Why>> {
        self.charge(end - item)?;
        let Some(&byte) = self.subject.get(at) else { return Ok(false) };
        Ok(match self.pattern[item] {
            b'.' => true,
            b'%' => in_class(byte, self.pattern[item + 1]),
            b'[' => self.in_set(byte, item, end),
            own => own == byte,
        })
    }

    /// Whether the set from `[` at `set` to its `]` before `end` has the byte.
    fn in_set(&self, byte: u8, set: usize, end: usize) -> bool {
        let last = end - 1;
        let inverted = self.pattern[set + 1] == b'^';
        let mut at = set + 1 + usize::from(inverted);
        while at < last {
            let own = self.pattern[at];
            let (found, width) = if own == b'%' {
                (in_class(byte, self.pattern[at + 1]), 2)
            } else if self.pattern[at + 1] == b'-' && at + 2 < last {
                ((own..=self.pattern[at + 2]).contains(&byte), 3)
            } else {
                (own == byte, 1)
            };
            if found {
                return !inverted;
            }
            at += width;
        }
        inverted
    }
}

type Matched<Why> = Result<Option<usize>, Stop<Why>>;

/// Whether the class `%letter` has the byte; a capital means all others.
fn in_class(byte: u8, letter: u8) -> bool {
    let found = match letter.to_ascii_lowercase() {
        b'a' => byte.is_ascii_alphabetic(),
        b'c' => byte.is_ascii_control(),
        b'd' => byte.is_ascii_digit(),
        b'l' => byte.is_ascii_lowercase(),
        b'p' => byte.is_ascii_punctuation(),
        b's' => byte == b' ' || (b'\t'..=b'\r').contains(&byte),
        b'u' => byte.is_ascii_uppercase(),
        b'w' => byte.is_ascii_alphanumeric(),
        b'x' => byte.is_ascii_hexdigit(),
        b'z' => byte == 0,
        _ => return letter == byte,
    };
    found != letter.is_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a rehearsal says that is stopped at its tenth look.
    fn tenth(subject: &str, pattern: &str, what: Use) -> Result<(), Refusal<()>> {
        let mut looks = 0;
        let look = &mut || {
            looks += 1;
            (looks == 10).then_some(())
        };
        rehearse(subject.as_bytes(), pattern.as_bytes(), 0, what, look)
    }

    #[test]
    fn what_would_take_long_is_stopped() {
        let text = "a".repeat(100_000);
        let stars = "a*".repeat(50) + "b";
        for (pattern, what) in [
            (stars.as_str(), Use::First),
            (stars.as_str(), Use::Each),
            (stars.as_str(), Use::Replace(1)),
            ("a*b", Use::First),
            ("a-b", Use::Replace(usize::MAX)),
            ("%ba(", Use::First),
            ("[%d%a]*%d", Use::First),
        ] {
            assert_eq!(tenth(&text, pattern, what), Err(Refusal::Stopped(())), "{pattern}");
        }
        let half = "a".repeat(50_000) + "b";
        assert_eq!(tenth(&text, &half, Use::Plain), Err(Refusal::Stopped(())));
    }

    #[test]
    fn what_would_go_deep_is_refused() {
        let text = "a".repeat(1000);
        for item in ["a?", "a-", "a*"] {
            let pattern = item.repeat(1000);
            let said = tenth(&text, &pattern, Use::First);
            assert_eq!(said, Err(Refusal::TooComplex), "{item}");
        }
    }

    #[test]
    fn ordinary_patterns_pass() {
        let text = "key=value; ".repeat(500);
        for pattern in ["(%w+)=(%w+)", "^%s*(.-)%s*$", "%f[%w]%w+", "[^;]+", "(k)(e)y=%1?", "%b=;"]
        {
            for what in [Use::First, Use::Each, Use::Replace(usize::MAX)] {
                assert_eq!(tenth(&text, pattern, what), Ok(()), "{pattern}");
            }
        }
        for faulty in ["%", "[a", "(", ")", "%1", "%b", "%f", "a*[^", "[%"] {
            let said = tenth(&"a".repeat(200_000), faulty, Use::First);
            assert!(said != Err(Refusal::TooComplex), "{faulty}: Lua tells what is wrong");
        }
    }
}
