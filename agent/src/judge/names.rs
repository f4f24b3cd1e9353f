//! Host names in one spelling, and tables that find what was said of a name or of one above it.
//!
//! *Invariants*: a name is compared as DNS has it: ASCII (IDNA, UTS 46), lower case, without the dot at the end. An
//! address, a port and what is no name never become one. A pattern never covers a public suffix, below which anybody may
//! register.
//! *Limits*: names are as long as DNS allows, 253 bytes.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::fmt;

use idna::AsciiDenyList;
use psl::Type;

/// Longest name in text (RFC 1035, 2.3.4: 255 octets with the lengths and the root).
const NAME_BYTES_MAX: usize = 253;

/// A host name in its one spelling.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct HostName(String);

impl HostName {
    /// The name that `text` spells; `None` when it is an address or no name.
    pub fn parse(text: &str) -> Option<Self> {
        let ascii = idna::domain_to_ascii_cow(text.as_bytes(), AsciiDenyList::URL).ok()?;
        let name = ascii.strip_suffix('.').unwrap_or(&ascii);
        let is_label = |label: &str| (1..=63).contains(&label.len());
        let last = name.rsplit('.').next().unwrap_or_default();
        let is_address = last.bytes().all(|byte| byte.is_ascii_digit());
        (name.len() <= NAME_BYTES_MAX && name.split('.').all(is_label) && !is_address)
            .then(|| Self(name.to_owned()))
    }

    /// The name in a Host field or an authority (RFC 9110, 7.2): a port may follow.
    pub fn of_authority(text: &str) -> Option<Self> {
        let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
        let name = text.rsplit_once(':').filter(|(_, port)| is_port(port)).map_or(text, |(name, _)| name);
        Self::parse(name)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// It and the names above it, the longest first.
    pub(super) fn with_those_above(&self) -> impl Iterator<Item = &str> {
        let above = self.0.match_indices('.').map(|(dot, _)| &self.0[dot + 1..]);
        std::iter::once(self.as_str()).chain(above)
    }

    /// Whether it belongs to one owner: below a public suffix. A private network's own top name is nobody's suffix.
    fn is_owned(&self) -> bool {
        let suffix = psl::suffix(self.0.as_bytes());
        suffix.is_none_or(|suffix| !suffix.is_known() || suffix != self.0.as_str())
    }

    /// Whether it is a suffix that a registry sells names below; those that companies run for their own customers are
    /// not among them.
    pub fn is_registry_suffix(&self) -> bool {
        psl::suffix(self.0.as_bytes())
            .is_some_and(|suffix| suffix == self.0.as_str() && suffix.typ() == Some(Type::Icann))
    }
}

impl Borrow<str> for HostName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// One name, or all names below one.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum NamePattern {
    /// `name`
    Exact(HostName),
    /// `*.name`: names of any depth below it, not the name itself.
    Below(HostName),
}

impl NamePattern {
    /// The pattern that `text` spells.
    ///
    /// # Errors
    /// What is wrong with it, for a person.
    pub fn new(text: &str) -> Result<Self, String> {
        let (name, is_below) = text.strip_prefix("*.").map_or((text, false), |name| (name, true));
        if name.contains('*') {
            return Err(format!("{text:?}: \"*\" stands for whole names in front: \"*.name\""));
        }
        let name = HostName::parse(name)
            .ok_or_else(|| format!("{text:?} is neither an address or prefix nor a host name"))?;
        if is_below && !name.is_owned() {
            return Err(format!("{text:?}: anybody may have a name below the public suffix \"{name}\""));
        }
        Ok(if is_below { Self::Below(name) } else { Self::Exact(name) })
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.pad(name.as_str()),
            Self::Below(name) => write!(f, "*.{name}"),
        }
    }
}

/// What was said of names and of all names below one.
#[derive(Clone, Debug)]
pub struct NameTable<T> {
    exact: HashMap<HostName, Vec<T>>,
    below: HashMap<HostName, Vec<T>>,
}

impl<T> Default for NameTable<T> {
    fn default() -> Self {
        Self { exact: HashMap::new(), below: HashMap::new() }
    }
}

impl<T> NameTable<T> {
    /// Says `value` of what `pattern` covers.
    pub fn insert(&mut self, pattern: NamePattern, value: T) {
        match pattern {
            NamePattern::Exact(name) => self.exact.entry(name).or_default().push(value),
            NamePattern::Below(name) => self.below.entry(name).or_default().push(value),
        }
    }

    /// All that was said of `name`, the most specific first; one look-up for each label, however large the table.
    pub fn covering<'a>(&'a self, name: &'a HostName) -> impl Iterator<Item = &'a T> {
        let above = name.with_those_above().skip(1).filter_map(|above| self.below.get(above));
        self.exact.get(name).into_iter().chain(above).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling_for_each_name() {
        let cases = [
            ("api.skat.example", Some("api.skat.example")),
            ("API.Skat.Example.", Some("api.skat.example")),
            ("rødgrød.dk", Some("xn--rdgrd-vuad.dk")),
            ("XN--RDGRD-VUAD.dk", Some("xn--rdgrd-vuad.dk")),
            ("ｅxample.com", Some("example.com")),
            ("example。com", Some("example.com")),
            ("_dmarc.example.com", Some("_dmarc.example.com")),
            ("localhost", Some("localhost")),
            ("", None),
            (".", None),
            ("a..b", None),
            (".a.b", None),
            ("192.0.2.1", None),
            ("a.1", None),
            ("2001:db8::1", None),
            ("[2001:db8::1]", None),
            ("a b.example", None),
            ("a/b.example", None),
            ("x{}.example", Some("x{}.example")),
            ("xn--zzzzzzzzzz999.dk", None),
        ];
        for (text, expected) in cases {
            assert_eq!(HostName::parse(text).as_ref().map(HostName::as_str), expected, "{text}");
        }
        assert!(HostName::parse(&"a.".repeat(126).replace("a.", "aa.")).is_none(), "too long");
        assert!(HostName::parse(&format!("{}.dk", "a".repeat(64))).is_none(), "a label too long");
    }

    #[test]
    fn an_authority_may_have_a_port() {
        let cases = [
            ("a.example:8080", Some("a.example")),
            ("a.example:", Some("a.example")),
            ("a.example", Some("a.example")),
            ("192.0.2.1:80", None),
            ("[2001:db8::1]:80", None),
            ("a.example:x", None),
            ("user@a.example", None),
        ];
        for (text, expected) in cases {
            assert_eq!(HostName::of_authority(text).as_ref().map(HostName::as_str), expected, "{text}");
        }
    }

    #[test]
    fn patterns_are_aware_of_public_suffixes() {
        let cases = [
            ("skat.dk", Ok("skat.dk")),
            ("*.skat.dk", Ok("*.skat.dk")),
            ("*.Blåbær.dk", Ok("*.xn--blbr-roah.dk")),
            ("*.skat.example", Ok("*.skat.example")),
            ("*.internal", Ok("*.internal")),
            ("*.d1234.cloudfront.net", Ok("*.d1234.cloudfront.net")),
            ("cloudfront.net", Ok("cloudfront.net")),
            ("*.dk", Err("the public suffix \"dk\"")),
            ("*.co.uk", Err("the public suffix \"co.uk\"")),
            ("*.cloudfront.net", Err("the public suffix \"cloudfront.net\"")),
            ("*.github.io", Err("the public suffix \"github.io\"")),
            ("*", Err("\"*.name\"")),
            ("*.*.skat.dk", Err("\"*.name\"")),
            ("www.*.dk", Err("\"*.name\"")),
            ("a*.skat.dk", Err("\"*.name\"")),
            ("*.", Err("nor a host name")),
            ("a b", Err("nor a host name")),
            ("a.example:443", Err("nor a host name")),
        ];
        for (text, expected) in cases {
            let told = NamePattern::new(text).map(|pattern| pattern.to_string());
            match (&told, expected) {
                (Ok(told), Ok(expected)) => assert_eq!(told, expected),
                (Err(told), Err(expected)) => assert!(told.contains(expected), "{text}: {told}"),
                _ => panic!("{text}: {told:?}"),
            }
        }
    }

    #[test]
    fn the_most_specific_speaks_first() {
        let mut table = NameTable::default();
        let patterns = ["*.example.dk", "a.example.dk", "*.a.example.dk", "b.example.dk", "*.xample.dk"];
        for pattern in patterns {
            table.insert(NamePattern::new(pattern).unwrap(), pattern);
        }
        let cases: [(&str, &[&str]); 6] = [
            ("a.example.dk", &["a.example.dk", "*.example.dk"]),
            ("x.a.example.dk", &["*.a.example.dk", "*.example.dk"]),
            ("x.y.example.dk", &["*.example.dk"]),
            ("example.dk", &[]),
            ("badexample.dk", &[]),
            ("xexample.dk", &[]),
        ];
        for (name, expected) in cases {
            let name = HostName::parse(name).unwrap();
            assert_eq!(table.covering(&name).copied().collect::<Vec<_>>(), expected, "{name}");
        }
    }

    #[test]
    fn ten_thousand_names_take_a_look_up_for_each_label() {
        let mut table = NameTable::default();
        for n in 0..10_000 {
            table.insert(NamePattern::new(&format!("*.n{n}.example")).unwrap(), n);
        }
        let name = HostName::parse("a.b.n7777.example").unwrap();
        assert_eq!(table.covering(&name).collect::<Vec<_>>(), [&7777]);
    }
}
