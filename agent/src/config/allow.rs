//! `[[allow]]`: a destination that may receive numbers, and whose traffic, until when, and why.

use std::net::IpAddr;

use cprvagt_report::Rule;
use cprvagt_settings::{Place, Table, Value};
use ipnet::IpNet;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::Matcher;
use super::sections::{expect_some, integer, process_matcher, words};
use crate::judge::{NamePattern, Waives, address};

/// An entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Allow {
    /// Where to.
    pub to: Target,
    /// Inclusive ranges of ports; empty: every port.
    pub ports: Vec<(u16, u16)>,
    /// Whose traffic the entry covers; `None`: everybody's.
    pub from: Option<Matcher>,
    /// The reason, for people.
    pub because: String,
    /// The last day on which it holds, by UTC; `None`: it holds until it is taken out.
    pub expires: Option<Date>,
    /// The rules that it waives.
    pub waives: Waives,
    /// Where the entry stands in the file.
    pub at: Place,
}

/// What an entry allows.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// Addresses, with no host bits set; an IPv4 prefix is never written as a mapped IPv6 one.
    Net(IpNet),
    /// Names.
    Name(NamePattern),
}

impl Allow {
    /// The second since 1970 from which the entry holds no more.
    pub fn ends_unix(&self) -> Option<i64> {
        let after = self.expires?.tomorrow().ok()?.to_zoned(TimeZone::UTC).ok()?;
        Some(after.timestamp().as_second())
    }

    /// Whether it covers this port.
    pub fn has_port(&self, port: u16) -> bool {
        self.ports.is_empty() || self.ports.iter().any(|(lo, hi)| (*lo..=*hi).contains(&port))
    }
}

/// The entry in a table.
pub(super) fn read(table: &Table<'_, '_>) -> Option<Allow> {
    table.expect_keys(&["to", "ports", "from", "because", "expires", "waives"]);
    let to = table.value_required("to").and_then(|value| {
        let target = target(table.text_of("to", value)?);
        target.map_err(|what| table.problem_with(value, what)).ok()
    });
    let because = table.text_required("because");
    let (ports, waives, expires) = (ports(table), waives(table), expires(table));
    let from = from(table)?;
    let (to, because, at) = (to?, because?.to_owned(), table.place());
    Some(Allow { to, ports, from, because, expires: expires?, waives, at })
}

/// `Some(None)` without the key; `None` when what it says is wrong, so that no wider entry results.
fn from(table: &Table<'_, '_>) -> Option<Option<Matcher>> {
    if table.value("from").is_none() {
        return Some(None);
    }
    process_matcher(&table.table("from", "[[allow]] from")?).map(Some)
}

/// The same of `expires`: a date, bare or as a string.
fn expires(table: &Table<'_, '_>) -> Option<Option<Date>> {
    let Some(value) = table.value("expires") else { return Some(None) };
    let text = match (value.get_ref().as_datetime(), value.get_ref().as_str()) {
        (Some(date), _) => date.to_string(),
        (None, Some(text)) => text.to_owned(),
        (None, None) => String::new(),
    };
    let date = text.parse::<Date>().ok().filter(|date| date.to_string() == text);
    if date.is_none() {
        table.problem_with(value, "expires is the last day on which the entry holds, such as 2027-06-30");
    }
    date.map(Some)
}

fn target(text: &str) -> Result<Target, String> {
    let looks_like_address = text.contains(':')
        || (text.chars().any(|c| c.is_ascii_digit())
            && text.chars().all(|c| c.is_ascii_digit() || ".-/".contains(c)));
    let prefix = match text.parse::<IpAddr>().map(IpNet::from) {
        Ok(single) => Ok(single),
        Err(_) => text.parse::<IpNet>().map_err(|_| ()),
    };
    match prefix {
        Ok(prefix) if prefix.addr() != prefix.network() => {
            Err(format!("{text:?} has bits set behind the prefix; write \"{}\"", prefix.trunc()))
        }
        Ok(prefix) => Ok(Target::Net(address::unmapped(prefix))),
        Err(()) if looks_like_address => Err(format!("{text:?} is not an address or prefix")),
        Err(()) => NamePattern::new(text).map(Target::Name),
    }
}

fn ports(table: &Table<'_, '_>) -> Vec<(u16, u16)> {
    expect_some(table, "ports", "leave it out to allow every port");
    let read = table.list("ports").filter_map(|value| {
        let range = port_range(value);
        if range.is_none() {
            table.problem_with(value, "a port is a number from 1 to 65535, or a range such as \"8000-8010\"");
        }
        range
    });
    read.collect()
}

fn port_range(value: Value<'_, '_>) -> Option<(u16, u16)> {
    let (low, high) = match value.get_ref().as_str() {
        Some(text) => match text.split_once('-') {
            Some((low, high)) => (low.trim().parse().ok()?, high.trim().parse().ok()?),
            None => (text.trim().parse().ok()?, text.trim().parse().ok()?),
        },
        None => (integer(value)?, integer(value)?),
    };
    let range = (u16::try_from(low).ok()?, u16::try_from(high).ok()?);
    (range.0 >= 1 && range.0 <= range.1).then_some(range)
}

fn waives(table: &Table<'_, '_>) -> Waives {
    const VALID: [Rule; 3] = [Rule::NotAllowed, Rule::Cleartext, Rule::MailCleartext];
    if table.value("waives").is_none() {
        return Waives::NOT_ALLOWED;
    }
    expect_some(table, "waives", "the entry would do nothing");
    let rules = words(table, "waives", &VALID.map(Rule::as_str), Rule::from_word);
    rules.into_iter().filter_map(Waives::of).fold(Waives::NONE, Waives::union)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_holds_to_the_end_of_its_last_day() {
        let entry = |expires: Option<&str>| Allow {
            to: Target::Net("192.0.2.1/32".parse().unwrap()),
            ports: vec![],
            from: None,
            because: "x".into(),
            expires: expires.map(|date| date.parse().unwrap()),
            waives: Waives::NOT_ALLOWED,
            at: Place::default(),
        };
        let cases = [
            (None, None),
            (Some("1970-01-01"), Some(86_400)),
            (Some("2027-02-28"), Some(1_803_859_200)),
            (Some("2028-02-28"), Some(1_835_395_200)),
        ];
        for (expires, ends) in cases {
            assert_eq!(entry(expires).ends_unix(), ends, "{expires:?}");
        }
    }
}
