//! Random commands after the table's own description of their arguments, so that a command or an option
//! that is new there is tried without a word here.

use crate::words::Words;
use ringlane_command::spec::{CommandSpec, Keys};

/// A part of the description of a command's arguments: `key [NX | XX] [field value ...]`.
#[derive(Debug)]
pub enum Node {
    /// Stands as it is, in any case: an option.
    Word(String),
    /// Stands for a value of this name.
    Value(String),
    Choice(Vec<Vec<Node>>),
    Optional {
        choices: Vec<Vec<Node>>,
        repeats: bool,
    },
}

/// The description as a tree.
pub fn parse(description: &str) -> Vec<Node> {
    let spaced: String = description
        .chars()
        .flat_map(|letter| match letter {
            '[' | ']' | '<' | '>' | '|' => vec![' ', letter, ' '],
            _ => vec![letter],
        })
        .collect();
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let (mut choices, _) = choices(&mut tokens.iter().copied());
    match choices.len() {
        1 => choices.remove(0),
        _ => vec![Node::Choice(choices)],
    }
}

/// What stands up to the closing bracket or the end: the alternatives, and whether they may repeat.
fn choices<'a>(tokens: &mut impl Iterator<Item = &'a str>) -> (Vec<Vec<Node>>, bool) {
    let mut all = vec![Vec::new()];
    let mut repeats = false;
    while let Some(token) = tokens.next() {
        let node = match token {
            "]" | ">" => break,
            "|" => {
                all.push(Vec::new());
                continue;
            }
            "..." => {
                repeats = true;
                continue;
            }
            "[" => {
                let (choices, repeats) = choices(tokens);
                Node::Optional { choices, repeats }
            }
            "<" => Node::Choice(choices(tokens).0),
            _ if token.starts_with(|letter: char| letter.is_ascii_lowercase()) => {
                Node::Value(token.to_owned())
            }
            _ => Node::Word(token.to_owned()),
        };
        all.last_mut().expect("never empty").push(node);
    }
    (all, repeats)
}

/// A command in the making.
struct Draft<'a> {
    spec: &'a CommandSpec,
    words: Vec<Vec<u8>>,
    /// Where the number of keys goes, and how many keys came so far.
    count_at: Option<usize>,
    keys: usize,
}

/// A command of this kind: mostly well-formed, sometimes not.
pub fn command(spec: &CommandSpec, nodes: &[Node], words: &mut Words) -> Vec<Vec<u8>> {
    let name = spec.name.split('|').map(|part| words.any_case(part)).collect();
    let mut draft = Draft { spec, words: name, count_at: None, keys: 0 };
    draft.sequence(nodes, words);
    if let Some(at) = draft.count_at
        && words.random.u8(..30) > 0
    {
        draft.words[at] = draft.keys.to_string().into_bytes();
    }
    if words.random.u8(..14) == 0 {
        words.spoil(&mut draft.words, spec.name.split('|').count());
    }
    draft.words
}

impl Draft<'_> {
    fn sequence(&mut self, nodes: &[Node], words: &mut Words) {
        for node in nodes {
            match node {
                Node::Word(word) => self.words.push(words.any_case(word)),
                Node::Value(name) => self.value(name, words),
                Node::Choice(choices) => self.one_of(choices, words),
                Node::Optional { choices, repeats } => self.optional(choices, *repeats, words),
            }
        }
    }

    fn one_of(&mut self, choices: &[Vec<Node>], words: &mut Words) {
        let chosen = words.random.usize(..choices.len());
        self.sequence(&choices[chosen], words);
    }

    fn optional(&mut self, choices: &[Vec<Node>], repeats: bool, words: &mut Words) {
        // As many ids or weights as keys.
        let as_keys = match &choices[0][..] {
            [Node::Value(name)] => {
                name == "weight" || name == "id" && self.spec.keys == Keys::Streams
            }
            _ => false,
        };
        let times = match (as_keys, repeats) {
            (true, _) if words.random.u8(..20) > 0 => self.keys.saturating_sub(1),
            (_, false) => usize::from(words.random.u8(..5) < 2),
            (_, true) => [0, 0, 1, 1, 2, 3][words.random.usize(..6)],
        };
        for _ in 0..times {
            self.one_of(choices, words);
        }
    }

    fn value(&mut self, name: &str, words: &mut Words) {
        match name {
            "numkeys" => {
                self.count_at = Some(self.words.len());
                self.keys = 0;
            }
            "key" => self.keys += 1,
            _ => {}
        }
        let value = words.value(name, self.spec);
        self.words.push(value);
    }
}

/// Some of a command's words as text, for those that look for options.
pub fn has_word(words: &[Vec<u8>], wanted: &[&str]) -> bool {
    words.iter().any(|word| wanted.iter().any(|it| word.eq_ignore_ascii_case(it.as_bytes())))
}
