//! Which incident an occurrence belongs to: a hash of who answers, to whom it went, which rule, and where in
//! the message.
//!
//! *Invariants*: deterministic, so that collectors which never met agree. It holds nothing of a person.

use core::fmt;
use core::str::FromStr;
use std::borrow::Cow;
use std::net::IpAddr;

use cprvagt_report::{Destination, Direction, Part, Rule};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest as _, Sha256};

/// Keeps these hashes apart from others, and names their version.
const CONTEXT: &[u8] = b"cprvagt/incident/1\0";
/// What stands for a piece that differs from message to message.
const HOLE: &str = "{}";
/// The recipient site when neither name nor address is known.
pub const SITE_UNKNOWN: &str = "unknown";
/// The recipient site when this host is the server and the message names no host: its clients are the far end. No
/// name has parentheses.
pub const SITE_SERVER: &str = "(server)";

/// An incident: 16 bytes, 32 lowercase hex digits as text.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct IncidentId(pub(crate) [u8; 16]);

/// The text is not 32 lowercase hex digits.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("an incident id is 32 lowercase hex digits")]
pub struct BadIncidentId;

/// What occurrences of one incident have in common.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Subject {
    /// The data controller.
    pub controller: Option<String>,
    /// The system.
    pub system: Option<String>,
    /// The recipient: [`site`].
    pub site: String,
    /// The gravest rule broken.
    pub rule: Rule,
    /// The part of the message.
    pub part: Part,
    /// Name of the field: [`shape`].
    pub field: Option<String>,
    /// Path of the URL: [`shape`].
    pub path: Option<String>,
}

impl Subject {
    /// The incident's id: the first 16 bytes of SHA-256 over all of it, each text with its length.
    pub fn id(&self) -> IncidentId {
        let mut hash = Sha256::new_with_prefix(CONTEXT);
        let texts = [
            self.controller.as_deref(),
            self.system.as_deref(),
            Some(self.site.as_str()),
            Some(self.rule.as_str()),
            Some(self.part.as_str()),
            self.field.as_deref(),
            self.path.as_deref(),
        ];
        texts.into_iter().for_each(|text| add_text(&mut hash, text));
        IncidentId(*hash.finalize().first_chunk().expect("the hash has 32 bytes"))
    }
}

/// Hashes `text` so that no two lists of texts hash alike: present or not, length, bytes.
pub(crate) fn add_text(hash: &mut Sha256, text: Option<&str>) {
    match text {
        None => hash.update([0]),
        Some(text) => {
            hash.update([1]);
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        }
    }
}

/// The recipient site: the registrable domain of the name used, else the name, else the address.
///
/// Where this host answers, the far end is whoever asked: its address says nothing about a recipient, and
/// each client would be a site of its own.
pub fn site(destination: Option<&Destination>, host: Option<&str>, direction: Option<Direction>) -> String {
    if let Some(host) = host {
        return site_of_name(host.trim_end_matches('.').to_ascii_lowercase());
    }
    if matches!(direction, Some(Direction::Request | Direction::Response)) {
        return SITE_SERVER.to_owned();
    }
    let ip = destination.and_then(|destination| destination.ip);
    ip.map_or_else(|| SITE_UNKNOWN.to_owned(), |ip| ip.to_canonical().to_string())
}

fn site_of_name(name: String) -> String {
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return ip.to_canonical().to_string();
    }
    let domain = psl::domain_str(&name).map(str::to_owned);
    domain.unwrap_or(name)
}

/// `text` with all that differs from message to message replaced by `{}`: indexes and id-like pieces.
pub fn shape(text: &str) -> String {
    let mut shaped = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(is_boundary).unwrap_or(rest.len());
        let (piece, after) = rest.split_at(end);
        shaped.push_str(if is_id(piece) { HOLE } else { piece });
        let next = after.chars().next().map_or(0, char::len_utf8);
        shaped.push_str(&after[..next]);
        rest = &after[next..];
    }
    shaped
}

fn is_boundary(c: char) -> bool {
    matches!(c, '/' | '.' | '[' | ']' | '?' | '&' | '=' | ':' | ';' | ',' | ' ')
}

/// All digits, or long hex with a digit in it, as UUIDs and hashes are.
fn is_id(piece: &str) -> bool {
    let has_digit = piece.bytes().any(|byte| byte.is_ascii_digit());
    let is_number = has_digit && piece.bytes().all(|byte| byte.is_ascii_digit());
    let is_hex = piece.len() >= 16 && piece.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    is_number || (is_hex && has_digit)
}

impl fmt::Display for IncidentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl FromStr for IncidentId {
    type Err = BadIncidentId;

    fn from_str(text: &str) -> Result<Self, BadIncidentId> {
        let bytes = data_encoding::HEXLOWER.decode(text.as_bytes()).map_err(|_| BadIncidentId)?;
        bytes.try_into().map(Self).map_err(|_| BadIncidentId)
    }
}

impl Serialize for IncidentId {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for IncidentId {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(input)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use cprvagt_report::Proof;

    use super::*;

    fn subject() -> Subject {
        Subject {
            controller: Some("Myndighed X".into()),
            system: Some("TastSelv".into()),
            site: "stats.example".into(),
            rule: Rule::CprInUrl,
            part: Part::UrlQuery,
            field: Some("cpr".into()),
            path: Some("/borger/{}".into()),
        }
    }

    #[test]
    fn each_fact_and_its_place_counts() {
        let id = subject().id();
        let others = [
            Subject { controller: None, ..subject() },
            Subject { system: None, ..subject() },
            Subject { controller: Some("TastSelv".into()), system: Some("Myndighed X".into()), ..subject() },
            Subject { controller: Some("Myndighed XT".into()), system: Some("astSelv".into()), ..subject() },
            Subject { site: "other.example".into(), ..subject() },
            Subject { rule: Rule::NotAllowed, ..subject() },
            Subject { part: Part::Form, ..subject() },
            Subject { field: Some(String::new()), ..subject() },
            Subject { field: None, ..subject() },
            Subject { path: None, ..subject() },
        ];
        for other in others {
            assert_ne!(other.id(), id, "{other:?}");
        }
        assert_eq!(subject().id(), id);
    }

    #[test]
    fn the_id_never_changes() {
        assert_eq!(subject().id().to_string(), "3f60aae8e4d20ce91107a5db8abc2994");
        assert_eq!(subject().id().to_string().parse(), Ok(subject().id()));
        assert_eq!("x".parse::<IncidentId>(), Err(BadIncidentId));
    }

    #[test]
    fn sites() {
        let at = |ip: &str| Destination {
            ip: Some(ip.parse().unwrap()),
            port: Some(443),
            host: None,
            recipient: None,
            names: vec![],
            contradictory: false,
            via: None,
            proof: Proof::Proven,
        };
        let named = |host| site(Some(&at("192.0.2.1")), Some(host), Some(Direction::Egress));
        assert_eq!(named("www.google-analytics.com"), "google-analytics.com");
        assert_eq!(named("WWW.Example.co.uk."), "example.co.uk");
        assert_eq!(named("stats.firma.dk"), "firma.dk");
        assert_eq!(named("localhost"), "localhost");
        assert_eq!(named("198.51.100.7"), "198.51.100.7");
        assert_eq!(named("[2001:db8::1]"), "2001:db8::1");
        assert_eq!(named("dk"), "dk");
        assert_eq!(site(Some(&at("192.0.2.1")), None, Some(Direction::Egress)), "192.0.2.1");
        assert_eq!(site(Some(&at("::ffff:192.0.2.1")), None, Some(Direction::Egress)), "192.0.2.1");
        for direction in [Direction::Response, Direction::Request] {
            assert_eq!(site(Some(&at("192.0.2.1")), None, Some(direction)), SITE_SERVER);
            assert_eq!(site(None, None, Some(direction)), SITE_SERVER);
            assert_eq!(site(None, Some("www.a.example"), Some(direction)), "a.example");
        }
        assert_eq!(site(None, None, None), SITE_UNKNOWN);
    }

    #[test]
    fn shapes() {
        let cases = [
            ("", ""),
            ("cpr", "cpr"),
            ("persons[12].cpr", "persons[{}].cpr"),
            ("persons[].cpr", "persons[].cpr"),
            ("a.0.b", "a.{}.b"),
            ("/v1/borger/17/", "/v1/borger/{}/"),
            ("/x/0b54a54e-7a32-4c0b-a8a5-9d9a3c6b8a11", "/x/{}"),
            ("/deadbeef", "/deadbeef"),
            ("/æ/ø=3&å", "/æ/ø={}&å"),
            ("{}", "{}"),
        ];
        for (text, expected) in cases {
            assert_eq!(shape(text), expected, "{text}");
            assert_eq!(shape(expected), expected, "twice {text}");
        }
    }
}
