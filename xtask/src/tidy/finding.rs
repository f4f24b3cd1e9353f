//! What a rule reports.

use std::fmt;

/// A rule: its name, why it is there, and what to do when it is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    pub name: &'static str,
    pub why: &'static str,
    pub fix: &'static str,
}

/// A rule broken somewhere. They sort by place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    path: String,
    line: usize,
    what: String,
    rule: Rule,
}

impl Finding {
    /// `line` counts from 1; `what` names the thing.
    pub fn new(path: &str, line: usize, rule: Rule, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into(), rule }
    }

    /// The rule's name.
    #[cfg(test)]
    pub fn rule(&self) -> &'static str {
        self.rule.name
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, what, rule } = self;
        write!(f, "{path}:{line}: {}: {what}. {}. To do: {}.", rule.name, rule.why, rule.fix)
    }
}
