//! Which workload an entry means: by executable, systemd unit and user.
//!
//! *Invariants*: every key that is given must fit. What is not known about a process neither fits nor
//! fails: the answer is `None`, and each caller takes the side that is safe for it.

use globset::{GlobBuilder, GlobMatcher};

use crate::process::ProcessFacts;

/// A glob: `*` and `?` stop at `/`, `**` does not.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    glob: GlobMatcher,
}

impl Pattern {
    /// The pattern that `text` spells.
    ///
    /// # Errors
    /// What is wrong with the glob, for a person.
    pub fn new(text: &str) -> Result<Self, String> {
        let glob = GlobBuilder::new(text).literal_separator(true).build();
        let glob = glob.map_err(|error| format!("{text:?} is not a glob: {}", error.kind()))?;
        Ok(Self { text: text.to_owned(), glob: glob.compile_matcher() })
    }

    /// As written.
    #[cfg(test)]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn fits(&self, name: &str) -> bool {
        self.glob.is_match(name)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// A set of conditions on a process, at least one of them given.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matcher {
    /// Path of the executable.
    pub exe: Option<Pattern>,
    /// systemd unit.
    pub unit: Option<Pattern>,
    /// User name, or user id in decimal; no glob.
    pub user: Option<String>,
}

impl Matcher {
    /// Whether `process` is meant; `None` when too little is known about it to say.
    pub fn fits(&self, process: Option<&ProcessFacts>) -> Option<bool> {
        let exe = process.and_then(|it| it.exe.as_deref());
        let unit = process.and_then(|it| it.unit.as_deref());
        let answers = [
            condition(self.exe.as_ref(), exe, |pattern, name| pattern.fits(name)),
            condition(self.unit.as_ref(), unit, |pattern, name| pattern.fits(name)),
            self.fits_user(process),
        ];
        if answers.contains(&Some(false)) { Some(false) } else { (!answers.contains(&None)).then_some(true) }
    }

    fn fits_user(&self, process: Option<&ProcessFacts>) -> Option<bool> {
        let Some(wanted) = &self.user else { return Some(true) };
        let process = process?;
        let by_name = process.user.as_ref().map(|name| name == wanted);
        let by_id = process.uid.map(|uid| uid.to_string() == *wanted);
        match (by_name, by_id) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (None, None) => None,
            _ => Some(false),
        }
    }
}

/// A condition that is not given holds; one on something unknown is unknown.
fn condition<P>(pattern: Option<&P>, name: Option<&str>, fits: impl Fn(&P, &str) -> bool) -> Option<bool> {
    match (pattern, name) {
        (None, _) => Some(true),
        (Some(_), None) => None,
        (Some(pattern), Some(name)) => Some(fits(pattern, name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(exe: &str, unit: Option<&str>, user: Option<&str>) -> ProcessFacts {
        ProcessFacts {
            exe: Some(exe.to_owned()),
            unit: unit.map(str::to_owned),
            user: user.map(str::to_owned),
            uid: user.map(|_| 33),
            ..ProcessFacts::of_pid(7)
        }
    }

    fn matcher(exe: Option<&str>, unit: Option<&str>, user: Option<&str>) -> Matcher {
        let pattern = |text: &str| Pattern::new(text).unwrap();
        Matcher { exe: exe.map(pattern), unit: unit.map(pattern), user: user.map(str::to_owned) }
    }

    #[test]
    fn every_given_condition_must_hold() {
        let nginx = process("/usr/sbin/nginx", Some("nginx.service"), Some("www-data"));
        let bare = process("/usr/bin/curl", None, None);
        let cases = [
            (matcher(Some("/usr/sbin/nginx"), None, None), Some(&nginx), Some(true)),
            (matcher(Some("/usr/sbin/*"), None, None), Some(&nginx), Some(true)),
            (matcher(Some("/usr/*"), None, None), Some(&nginx), Some(false)),
            (matcher(Some("/usr/**"), None, None), Some(&nginx), Some(true)),
            (matcher(None, Some("ngin?.service"), None), Some(&nginx), Some(true)),
            (matcher(None, Some("apache*.service"), None), Some(&nginx), Some(false)),
            (matcher(None, None, Some("www-data")), Some(&nginx), Some(true)),
            (matcher(None, None, Some("33")), Some(&nginx), Some(true)),
            (matcher(None, None, Some("root")), Some(&nginx), Some(false)),
            (matcher(Some("/usr/sbin/nginx"), None, Some("root")), Some(&nginx), Some(false)),
            (matcher(None, Some("*.service"), None), Some(&bare), None),
            (matcher(Some("/opt/x"), Some("*.service"), None), Some(&bare), Some(false)),
            (matcher(None, None, Some("root")), Some(&bare), None),
            (matcher(Some("/usr/bin/curl"), None, None), None, None),
        ];
        for (matcher, process, expected) in cases {
            assert_eq!(matcher.fits(process), expected, "{matcher:?} on {process:?}");
        }
    }

    #[test]
    fn a_broken_glob_is_told() {
        assert!(Pattern::new("/usr/[sbin").unwrap_err().starts_with("\"/usr/[sbin\" is not a glob: "));
    }
}
