//! Which workload an entry means: by executable, systemd unit, user, container and cgroup.
//!
//! *Invariants*: every key that is given must fit. What is not known about a process neither fits nor
//! fails: the answer is `None`, and each caller takes the side that is safe for it.

use std::fmt;

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

/// A container, by the beginning of its id or by its image.
#[derive(Clone, Debug, PartialEq)]
pub enum ContainerPattern {
    /// The first digits of the id; engines show twelve.
    Id(String),
    /// A glob of the image's name.
    Image(Pattern),
}

impl ContainerPattern {
    /// The pattern that `text` spells: an id if it is twelve hex digits or more.
    ///
    /// # Errors
    /// As [`Pattern::new`].
    pub fn new(text: &str) -> Result<Self, String> {
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() >= SHORT_ID_DIGITS && text.bytes().all(is_hex) {
            return Ok(Self::Id(text.to_owned()));
        }
        // A slash is part of an image's name, so `*` does not stop there.
        let glob = GlobBuilder::new(text).build();
        let glob = glob.map_err(|error| format!("{text:?} is not a glob: {}", error.kind()))?;
        Ok(Self::Image(Pattern { text: text.to_owned(), glob: glob.compile_matcher() }))
    }

    fn fits(&self, process: Option<&ProcessFacts>) -> Option<bool> {
        let process = process?;
        match (&process.container, self) {
            (None, _) => process.cgroup.is_some().then_some(false),
            (Some(id), Self::Id(start)) => Some(id.starts_with(start)),
            (Some(_), Self::Image(image)) => process.image.as_ref().map(|name| image.fits(name)),
        }
    }
}

/// Digits of a container's id that engines show.
const SHORT_ID_DIGITS: usize = 12;

/// A set of conditions on a process, at least one of them given.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matcher {
    /// Path of the executable.
    pub exe: Option<Pattern>,
    /// systemd unit.
    pub unit: Option<Pattern>,
    /// User name, or user id in decimal; no glob.
    pub user: Option<String>,
    /// Container.
    pub container: Option<ContainerPattern>,
    /// Path of the cgroup, from the root of its tree.
    pub cgroup: Option<Pattern>,
}

impl Matcher {
    /// Whether `process` is meant; `None` when too little is known about it to say.
    pub fn fits(&self, process: Option<&ProcessFacts>) -> Option<bool> {
        let exe = process.and_then(|it| it.exe.as_deref());
        let cgroup = process.and_then(|it| it.cgroup.as_deref());
        let answers = [
            condition(self.exe.as_ref(), exe),
            self.fits_unit(process),
            self.fits_user(process),
            self.container.as_ref().map_or(Some(true), |container| container.fits(process)),
            condition(self.cgroup.as_ref(), cgroup),
        ];
        if answers.contains(&Some(false)) { Some(false) } else { (!answers.contains(&None)).then_some(true) }
    }

    /// A process whose cgroup is known and has no unit is in none.
    fn fits_unit(&self, process: Option<&ProcessFacts>) -> Option<bool> {
        let unit = process.and_then(|it| it.unit.as_deref());
        let in_none = unit.is_none() && process.is_some_and(|it| it.cgroup.is_some());
        if in_none { Some(self.unit.is_none()) } else { condition(self.unit.as_ref(), unit) }
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

impl fmt::Display for ContainerPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => f.pad(id),
            Self::Image(pattern) => f.pad(pattern.as_str()),
        }
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pattern = |pattern: &Option<Pattern>| pattern.as_ref().map(|it| it.as_str().to_owned());
        let conditions = [
            ("exe", pattern(&self.exe)),
            ("unit", pattern(&self.unit)),
            ("user", self.user.clone()),
            ("container", self.container.as_ref().map(ToString::to_string)),
            ("cgroup", pattern(&self.cgroup)),
        ];
        let given = conditions.iter().filter_map(|(key, value)| Some(format!("{key} {}", value.as_ref()?)));
        f.pad(&given.collect::<Vec<_>>().join(", "))
    }
}

/// A condition that is not given holds; one on something unknown is unknown.
fn condition(pattern: Option<&Pattern>, name: Option<&str>) -> Option<bool> {
    match (pattern, name) {
        (None, _) => Some(true),
        (Some(_), None) => None,
        (Some(pattern), Some(name)) => Some(pattern.fits(name)),
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
        Matcher {
            exe: exe.map(pattern),
            unit: unit.map(pattern),
            user: user.map(str::to_owned),
            ..Matcher::default()
        }
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

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn containers_and_cgroups() {
        let bare = |cgroup: Option<&str>| ProcessFacts {
            cgroup: cgroup.map(str::to_owned),
            ..ProcessFacts::of_pid(7)
        };
        let inside = |image: Option<&str>| ProcessFacts {
            container: Some(ID.to_owned()),
            image: image.map(str::to_owned),
            ..bare(Some("/system.slice/docker-x.scope"))
        };
        let container = |text: &str| Matcher {
            container: Some(ContainerPattern::new(text).unwrap()),
            ..Matcher::default()
        };
        let cgroup = |text: &str| Matcher { cgroup: Some(Pattern::new(text).unwrap()), ..Matcher::default() };
        let cases = [
            (container(ID), inside(None), Some(true)),
            (container(&ID[..12]), inside(None), Some(true)),
            (container("0123456789ac"), inside(None), Some(false)),
            (
                container("registry.example/tastselv:*"),
                inside(Some("registry.example/tastselv:7")),
                Some(true),
            ),
            (container("*tastselv*"), inside(Some("registry.example/tastselv:7")), Some(true)),
            (container("registry.example/other:*"), inside(Some("registry.example/tastselv:7")), Some(false)),
            (container("tastselv"), inside(None), None),
            (container("0123456789a"), inside(Some("0123456789a")), Some(true)),
            (container(ID), bare(Some("/system.slice/ssh.service")), Some(false)),
            (container(ID), bare(None), None),
            (cgroup("/system.slice/*"), inside(None), Some(true)),
            (cgroup("/system.slice/*"), bare(Some("/user.slice/x")), Some(false)),
            (cgroup("/system.slice/*"), bare(Some("/system.slice/a/b")), Some(false)),
            (cgroup("/system.slice/**"), bare(Some("/system.slice/a/b")), Some(true)),
            (cgroup("/system.slice/*"), bare(None), None),
            (matcher(None, Some("a.service"), None), bare(Some("/")), Some(false)),
        ];
        for (matcher, process, expected) in cases {
            assert_eq!(matcher.fits(Some(&process)), expected, "{matcher:?} on {process:?}");
        }
    }

    #[test]
    fn a_broken_glob_is_told() {
        assert!(Pattern::new("/usr/[sbin").unwrap_err().starts_with("\"/usr/[sbin\" is not a glob: "));
    }
}
