//! Rules on any text file: module docs, unfinished marks, and traces of one machine.

use super::finding::{Finding, Rule};

const DOCS: Rule = Rule {
    name: "module-docs",
    why: "Every Rust file opens with one sentence of responsibility",
    fix: "begin the file with `//! ...`",
};
const UNFINISHED: Rule = Rule {
    name: "unfinished",
    why: "A promise in a comment is kept by nobody",
    fix: "do it, or file an issue",
};
const MACHINE: Rule = Rule {
    name: "one-machine",
    why: "The project must build anywhere: no folder or package host of one machine",
    fix: "take it from the environment, or from the tool's own configuration",
};

/// Words that mark something as not done. Joined here, so that this file does not hold them.
const MARKS: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:")];
/// Folders of one machine, where they begin a path.
const FOLDERS: [&str; 2] = [concat!("/wo", "rk/"), concat!("/ro", "ot/")];
/// Words of hosts that packages came from once.
const HOSTS: [&str; 1] = [concat!("arti", "factory")];

/// All rules on text.
pub fn check(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    if path.ends_with(".rs") && !text.starts_with("//!") {
        findings.push(Finding::new(path, 1, DOCS, "the file does not open with `//!`"));
    }
    for (index, line) in text.lines().enumerate() {
        let mut find =
            |rule, what: &str| findings.push(Finding::new(path, index + 1, rule, format!("`{what}`")));
        MARKS.iter().filter(|mark| has_word(line, mark)).for_each(|mark| find(UNFINISHED, mark));
        FOLDERS.iter().filter(|folder| begins_path(line, folder)).for_each(|folder| find(MACHINE, folder));
        let lower = line.to_lowercase();
        HOSTS.iter().filter(|host| lower.contains(**host)).for_each(|host| find(MACHINE, host));
    }
    findings
}

/// Whether `word` stands in `line` and is not part of a longer word.
fn has_word(line: &str, word: &str) -> bool {
    let is_letter = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, _)| {
        !is_letter(line[..at].chars().next_back()) && !is_letter(line[at + word.len()..].chars().next())
    })
}

/// Whether `folder` stands in `line` as the beginning of a path: `/proc/1` followed by it is none.
fn begins_path(line: &str, folder: &str) -> bool {
    let inside = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || "}>]*._-/$~".contains(c));
    line.match_indices(folder).any(|(at, _)| !inside(line[..at].chars().next_back()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_rules(path: &str, text: &str, expected: &[&str]) {
        let rules: Vec<_> = check(path, text).iter().map(Finding::rule).collect();
        assert_eq!(rules, expected, "{text}");
    }

    #[test]
    fn a_file_without_docs_is_found() {
        check_rules("a.rs", "//! Flows.\n", &[]);
        check_rules("a.rs", "use std::fs;\n", &["module-docs"]);
        check_rules("a.toml", "x = 1\n", &[]);
    }

    #[test]
    fn unfinished_marks_are_found() {
        check_rules("a.md", &format!("{} later", MARKS[0]), &["unfinished"]);
        check_rules("a.md", &format!("{}LIST is a word", MARKS[0]), &[]);
    }

    #[test]
    fn traces_of_one_machine_are_found() {
        check_rules("a.md", &format!("see {}main", FOLDERS[0]), &["one-machine"]);
        check_rules("a.md", &format!("\"{}x\"", FOLDERS[1]), &["one-machine"]);
        check_rules("a.md", &format!("/proc/PID{}usr", FOLDERS[1]), &[]);
        check_rules("a.md", &format!("/proc/{{pid}}{}usr", FOLDERS[1]), &[]);
        check_rules("a.md", &format!("host {}.example", HOSTS[0].to_uppercase()), &["one-machine"]);
    }
}
