//! Reading TOML tables key by key, keeping the place of everything and collecting every problem.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::Problem;

/// A place in the file; line and column count from 1.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Place {
    /// Line.
    pub line: u32,
    /// Column, in characters.
    pub column: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// The text under reading, and what was found wrong with it so far.
pub struct Document<'i> {
    text: &'i str,
    problems: RefCell<Vec<Problem>>,
}

impl<'i> Document<'i> {
    /// What `read` makes of the root table of `text`.
    ///
    /// # Errors
    /// Every problem that was found on the way, in the order of the text.
    pub fn read<T>(
        text: &str,
        read: impl FnOnce(&Document<'_>, &Table<'_, '_>) -> T,
    ) -> Result<T, Vec<Problem>> {
        let document = Document::new(text);
        let value = document.parse().map(|root| read(&document, &Table::root(&document, &root)));
        match (value, document.into_problems()) {
            (Some(value), problems) if problems.is_empty() => Ok(value),
            (_, problems) => Err(problems),
        }
    }

    /// A document over `text`.
    pub fn new(text: &'i str) -> Self {
        Self { text, problems: RefCell::default() }
    }

    /// The text as a table; `None`, and a problem, when it is no TOML.
    pub fn parse(&self) -> Option<Spanned<DeTable<'i>>> {
        DeTable::parse(self.text)
            .map_err(|error| {
                let end = self.text.len()..self.text.len();
                self.problem(error.span().unwrap_or(end), error.message().trim_end());
            })
            .ok()
    }

    /// Notes what is wrong at `span`, in bytes.
    pub fn problem(&self, span: Range<usize>, what: impl Into<String>) {
        self.problem_at(self.place(span.start), what);
    }

    /// Notes what is wrong at a place.
    pub fn problem_at(&self, at: Place, what: impl Into<String>) {
        self.problems.borrow_mut().push(Problem { at, what: what.into() });
    }

    /// The place of a byte.
    pub fn place(&self, byte: usize) -> Place {
        let before = &self.text.as_bytes()[..byte.min(self.text.len())];
        let before = String::from_utf8_lossy(before);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Place { line: saturated(line), column: saturated(column) }
    }

    /// Every problem, in the order of the text.
    pub fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|problem| problem.at);
        problems
    }
}

fn saturated(count: usize) -> u32 {
    count.try_into().unwrap_or(u32::MAX)
}

/// A value and where it stands.
pub type Value<'a, 'i> = &'a Spanned<DeValue<'i>>;

/// A table, the name that people know it by, and the keys that it may have.
pub struct Table<'a, 'i> {
    document: &'a Document<'i>,
    name: &'static str,
    span: Range<usize>,
    entries: &'a DeTable<'i>,
}

impl<'a, 'i> Table<'a, 'i> {
    /// The root table.
    pub fn root(document: &'a Document<'i>, root: &'a Spanned<DeTable<'i>>) -> Self {
        Self { document, name: "the file", span: root.span(), entries: root.get_ref() }
    }

    /// Tells each key that is not among `valid`, with the nearest one that is.
    pub fn expect_keys(&self, valid: &[&str]) -> &Self {
        for key in self.entries.keys().filter(|key| !valid.contains(&key.get_ref().as_ref())) {
            let wrong = key.get_ref();
            let hint = match nearest(wrong, valid) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("valid keys: {}", valid.join(", ")),
            };
            self.document.problem(key.span(), format!("unknown key {wrong:?} in {}; {hint}", self.name));
        }
        self
    }

    /// Where the table begins.
    pub fn place(&self) -> Place {
        self.document.place(self.span.start)
    }

    /// Tells a problem with the table as a whole.
    pub fn problem(&self, what: impl fmt::Display) {
        self.document.problem(self.span.clone(), format!("{} {what}", self.name));
    }

    /// Tells a problem with a value of this table.
    pub fn problem_with(&self, value: Value<'_, '_>, what: impl Into<String>) {
        self.document.problem(value.span(), what);
    }

    /// The value of `key`.
    pub fn value(&self, key: &str) -> Option<Value<'a, 'i>> {
        self.entries.get(key)
    }

    /// The value of `key`; a problem when there is none.
    pub fn value_required(&self, key: &str) -> Option<Value<'a, 'i>> {
        let value = self.value(key);
        if value.is_none() {
            self.problem(format_args!("needs \"{key}\""));
        }
        value
    }

    /// Where `key` itself stands.
    pub fn place_of_key(&self, key: &str) -> Option<Place> {
        let (key, _) = self.entries.get_key_value(key)?;
        Some(self.document.place(key.span().start))
    }

    /// The text of `key`; a problem when it is no text, or blank.
    pub fn text(&self, key: &str) -> Option<&'a str> {
        self.text_of(key, self.value(key)?)
    }

    /// The text of `key`; a problem also when there is none.
    pub fn text_required(&self, key: &str) -> Option<&'a str> {
        self.text_of(key, self.value_required(key)?)
    }

    /// The text in `value`; a problem when it is none, or blank.
    pub fn text_of(&self, key: &str, value: Value<'a, 'i>) -> Option<&'a str> {
        let Some(text) = value.get_ref().as_str() else {
            self.wrong_type(key, value, "a string");
            return None;
        };
        if text.trim().is_empty() {
            self.problem_with(value, format!("{key} is empty"));
            return None;
        }
        Some(text)
    }

    /// The items of the list `key`; empty when absent.
    pub fn list(&self, key: &str) -> impl Iterator<Item = Value<'a, 'i>> + use<'a, 'i> {
        let list = self.value(key).and_then(|value| {
            let list = value.get_ref().as_array();
            if list.is_none() {
                self.wrong_type(key, value, "a list");
            }
            list
        });
        list.into_iter().flat_map(|list| list.iter())
    }

    /// The table `key`, known to people as `name`.
    pub fn table(&self, key: &str, name: &'static str) -> Option<Table<'a, 'i>> {
        self.table_in(key, name, self.value(key)?)
    }

    /// The tables of the list `key`, each known to people as `name`.
    pub fn tables(&self, key: &'static str, name: &'static str) -> Vec<Table<'a, 'i>> {
        match self.value(key).map(|value| (value, value.get_ref())) {
            None => vec![],
            Some((_, DeValue::Array(list))) => {
                list.iter().filter_map(|value| self.table_in(key, name, value)).collect()
            }
            Some((value, _)) => {
                self.problem_with(value, format!("{key} is a list of tables: write {name}"));
                vec![]
            }
        }
    }

    fn table_in(&self, key: &str, name: &'static str, value: Value<'a, 'i>) -> Option<Table<'a, 'i>> {
        let Some(entries) = value.get_ref().as_table() else {
            self.wrong_type(key, value, "a table");
            return None;
        };
        Some(Table { document: self.document, name, span: value.span(), entries })
    }

    /// Notes that a value is of the wrong type.
    pub fn wrong_type(&self, key: &str, value: Value<'_, '_>, wanted: &str) {
        let found = value.get_ref().type_str();
        self.problem_with(value, format!("{key} must be {wanted}, not {found}"));
    }
}

/// The valid word that a slip of the hand most likely meant: at most a third of its letters away.
pub fn nearest<'v>(wrong: &str, valid: &[&'v str]) -> Option<&'v str> {
    let wrong = wrong.to_lowercase();
    let distance = |word: &&str| strsim::damerau_levenshtein(&wrong, word);
    let near = valid.iter().copied().min_by_key(distance)?;
    (distance(&near) <= (near.len() / 3).max(1)).then_some(near)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_word_or_none() {
        let valid = ["to", "ports", "from", "because", "waives"];
        let cases = [
            ("becuase", Some("because")),
            ("port", Some("ports")),
            ("Waives", Some("waives")),
            ("form", Some("from")),
            ("too", Some("to")),
            ("reason", None),
            ("", None),
        ];
        for (wrong, expected) in cases {
            assert_eq!(nearest(wrong, &valid), expected, "{wrong}");
        }
    }

    #[test]
    fn columns_count_characters() {
        let document = Document::new("a = 1\nvendør = \"æøå\" x\n");
        assert_eq!(document.place(0), Place { line: 1, column: 1 });
        let byte = "a = 1\nvendør = ".len();
        assert_eq!(document.place(byte), Place { line: 2, column: 10 });
        assert_eq!(document.place(usize::MAX), Place { line: 3, column: 1 });
    }
}
