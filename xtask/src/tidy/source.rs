//! A parsed Rust file, and which of its lines are tests.

use anyhow::Result;
use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::{Attribute, Item, Meta};

/// One file.
pub struct Source {
    /// From the workspace's folder.
    pub path: String,
    /// Its items.
    pub ast: syn::File,
    /// How many lines it has.
    pub lines: usize,
    /// First and last lines of its test modules, from 1.
    tests: Vec<(usize, usize)>,
}

impl Source {
    /// Parses `text`.
    ///
    /// # Errors
    /// When it is no Rust.
    pub fn parse(path: &str, text: &str) -> Result<Self> {
        let ast = syn::parse_file(text)?;
        let items = ast.items.iter().filter(|item| is_test_item(item));
        let tests = items.map(|item| (item.span().start().line, item.span().end().line)).collect();
        Ok(Self { path: path.to_owned(), lines: text.lines().count(), ast, tests })
    }

    /// Lines outside test modules.
    pub fn lines_without_tests(&self) -> usize {
        self.lines - self.tests.iter().map(|(first, last)| last - first + 1).sum::<usize>()
    }

    /// Whether the whole file is tests.
    pub fn is_test_file(&self) -> bool {
        let inside = ["tests/tests/", "/tests/", "/benches/"].iter().any(|folder| self.path.contains(folder));
        inside && !self.path.contains("/src/")
            || self.path.ends_with("_tests.rs")
            || self.path.ends_with("/tests.rs")
    }

    /// Whether `span` lies in tests.
    pub fn in_tests(&self, span: Span) -> bool {
        let line = span.start().line;
        self.is_test_file() || self.tests.iter().any(|(first, last)| (*first..=*last).contains(&line))
    }

    /// Whether this file is the root of a library or program.
    pub fn is_crate_root(&self) -> bool {
        let in_src = |file: &str| self.path.ends_with(&format!("/src/{file}"));
        in_src("lib.rs") || in_src("main.rs")
    }

    /// Whether it lies under one of these folders, or is one of these files.
    pub fn is_in(&self, places: &[&str]) -> bool {
        places.iter().any(|place| self.path.starts_with(place))
    }
}

/// The line where something stands.
pub fn line(thing: &impl Spanned) -> usize {
    thing.span().start().line
}

fn is_test_item(item: &Item) -> bool {
    let attributes: &[Attribute] = match item {
        Item::Mod(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        _ => return false,
    };
    attributes.iter().any(is_cfg_test)
}

fn is_cfg_test(attribute: &Attribute) -> bool {
    let Meta::List(list) = &attribute.meta else { return false };
    list.path.is_ident("cfg") && list.tokens.to_string() == "test"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_modules_do_not_count() {
        let text = "//! x\nfn a() {}\n\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n";
        let source = Source::parse("a/src/a.rs", text).unwrap();
        assert_eq!((source.lines, source.lines_without_tests()), (7, 3));
    }
}
