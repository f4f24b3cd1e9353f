//! What the parameters of a statement are, as its text tells: `cpr = $1`, `INSERT INTO t (cpr) VALUES ($1)`.
//!
//! Tolerant: what it does not understand has no name. *Limits*: one pass over the text.

use crate::plain::Plain;
use crate::postgres::{NAME_BYTES_MAX, PARAMETERS_MAX};
use crate::token::{Encoding, name_of};

/// Words that may stand between a column and its parameter.
const BETWEEN: &[&str] = &["like", "ilike", "in", "is", "not", "any"];

/// A word or sign of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    Parameter(usize),
    Sign(u8),
}

/// The names of the first [`PARAMETERS_MAX`] parameters, where they are not too long.
pub(super) fn parameters(text: &[u8]) -> Vec<Option<Plain>> {
    let Ok(text) = std::str::from_utf8(text) else { return Vec::new() };
    let mut names: Vec<Option<Plain>> = Vec::new();
    let mut last_word = None;
    let mut columns = Columns::default();
    for token in tokens(text) {
        if let Token::Parameter(number) = token
            && (1..=PARAMETERS_MAX).contains(&number)
            && let Some(name) = columns.current().or(last_word).filter(|name| name.len() <= NAME_BYTES_MAX)
        {
            names.resize_with(names.len().max(number), || None);
            names[number - 1].get_or_insert_with(|| name_of(name.as_bytes(), Encoding::None));
        }
        columns.see(token);
        last_word = match token {
            Token::Word(word) if BETWEEN.iter().any(|it| word.eq_ignore_ascii_case(it)) => last_word,
            Token::Word(word) => Some(word),
            Token::Sign(b'=' | b'<' | b'>' | b'(' | b'!' | b'~') => last_word,
            Token::Sign(_) | Token::Parameter(_) => None,
        };
    }
    names
}

/// The columns of an INSERT, and at which of them its values are.
#[derive(Default)]
struct Columns<'a> {
    names: Vec<&'a str>,
    state: Insert,
    depth: usize,
    at: usize,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Insert {
    #[default]
    No,
    Into,
    Names,
    Named,
    Values,
}

impl<'a> Columns<'a> {
    fn current(&self) -> Option<&'a str> {
        (self.state == Insert::Values && self.depth > 0).then(|| self.names.get(self.at).copied()).flatten()
    }

    fn see(&mut self, token: Token<'a>) {
        match (self.state, token) {
            (Insert::No, Token::Word(word)) if word.eq_ignore_ascii_case("into") => self.state = Insert::Into,
            (Insert::Into, Token::Sign(b'(')) => self.state = Insert::Names,
            (Insert::Names, Token::Word(word)) => self.names.push(word),
            (Insert::Names, Token::Sign(b')')) => self.state = Insert::Named,
            (Insert::Named, Token::Word(word)) if word.eq_ignore_ascii_case("values") => {
                self.state = Insert::Values;
            }
            (Insert::Values, Token::Sign(b'(')) => {
                self.depth += 1;
                self.at = if self.depth == 1 { 0 } else { self.at };
            }
            (Insert::Values, Token::Sign(b')')) => self.depth = self.depth.saturating_sub(1),
            (Insert::Values, Token::Sign(b',')) if self.depth == 1 => self.at += 1,
            _ => {}
        }
    }
}

fn tokens(text: &str) -> impl Iterator<Item = Token<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start();
        let first = rest.chars().next()?;
        let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
        let len = match first {
            '\'' => rest[1..].find('\'').map_or(rest.len(), |end| end + 2),
            '$' => 1 + rest[1..].find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len() - 1),
            _ if is_word(first) => rest.find(|letter| !is_word(letter)).unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        let (token, behind) = rest.split_at(len);
        rest = behind;
        Some(match first {
            '$' => token[1..].parse().map_or(Token::Sign(b'$'), Token::Parameter),
            // The quotes of a name say nothing.
            '"' => Token::Sign(b'~'),
            _ if is_word(first) => Token::Word(token),
            _ => Token::Sign(u8::try_from(first).unwrap_or(b'?')),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let cases: &[(&str, &[&str])] = &[
            ("SELECT * FROM p WHERE cpr = $1 AND p.name like $2", &["cpr", "name"]),
            ("SELECT $1::int", &["SELECT"]),
            ("INSERT INTO p (name, cpr) VALUES ($1, $2), ($3, lower($4))", &["name", "cpr", "name", "cpr"]),
            ("UPDATE p SET \"cpr\" = $2 WHERE id IN ($1)", &["id", "cpr"]),
            ("SELECT f('cpr = $1', 2, $1)", &[]),
            ("SELECT 1", &[]),
            ("SELECT a = $99", &[]),
        ];
        for (text, expected) in cases {
            let found = parameters(text.as_bytes());
            let found: Vec<_> =
                found.iter().map(|name| name.as_ref().and_then(Plain::as_str).unwrap_or("-")).collect();
            assert_eq!(found, *expected, "{text}");
        }
    }
}
