//! One agent over one lab: from `ready` to the ledger, and what it reported against what was sent.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::agent::{Agent, Ended};
use crate::lab::{Lab, Recipient};
use crate::network::Network;
use crate::pseudonym::Key;
use crate::server::Received;

/// A configuration under which nothing but this lab's traffic is a leak or in the ledger.
#[must_use]
pub fn lab_only(key_file: &Path, network: &Network) -> String {
    let key = format!("[pseudonym]\nkey_file = {:?}\n", key_file.display().to_string());
    key + &outside_allowed(network)
}

/// The same without a key of its own.
#[must_use]
pub fn outside_allowed(network: &Network) -> String {
    let mut text = String::new();
    for prefix in network.outside() {
        let waives = r#"waives = ["not-allowed", "cleartext"]"#;
        let because = r#"because = "not part of the lab""#;
        writeln!(text, "[[allow]]\nto = {prefix:?}\n{because}\n{waives}").expect("a string takes all");
    }
    text
}

/// An agent that watches this lab alone.
#[derive(Debug)]
pub struct Trial {
    agent: Agent,
    key: Key,
    leaks: Vec<Value>,
}

impl Trial {
    /// Starts an agent with more configuration and arguments; `-vv` is among them, for the counters.
    ///
    /// # Errors
    /// As [`Agent::start`].
    pub fn start(lab: &Lab, more_config: &str, arguments: &[&str]) -> Result<Self> {
        let key = Key::new(lab.scratch())?;
        let config = lab_only(key.file(), lab.network()) + more_config;
        let agent = Agent::start(lab.scratch(), &config, &[&["-vv"], arguments].concat())?;
        Ok(Self { agent, key, leaks: Vec::new() })
    }

    /// The agent's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.agent.pid()
    }

    /// How many leaks it has told so far, after waiting for `count` of them, at most `limit`.
    pub fn wait_for(&mut self, count: usize, limit: Duration) -> usize {
        let started = Instant::now();
        while self.leaks.len() < count && started.elapsed() < limit {
            let object = self.agent.next(Duration::from_millis(50));
            self.leaks.extend(object.filter(|object| object["schema"] == "cprvagt.leak/1"));
        }
        self.leaks.len()
    }

    /// As [`Agent::says`].
    #[must_use]
    pub fn says(&self, all: &[&str], limit: Duration) -> Option<String> {
        self.agent.says(all, limit)
    }

    /// Stops the agent; nothing is waited for, since what has passed is drained by the agent.
    ///
    /// # Errors
    /// When it fails or prints no ledger.
    pub fn stop(self) -> Result<Seen> {
        let Self { agent, key, mut leaks } = self;
        let Ended { objects, status, stdout, stderr } = agent.stop()?;
        let said = String::from_utf8_lossy(&stderr).into_owned();
        ensure!(status.success(), "the agent failed ({status}); it said:\n{said}");
        let mut ledger = None;
        for object in objects {
            match object["schema"].as_str() {
                Some("cprvagt.leak/1") => leaks.push(object),
                Some("cprvagt.ledger/1") => ledger = Some(object),
                _ => {}
            }
        }
        let ledger = ledger.with_context(|| format!("no ledger; the agent said:\n{said}"))?;
        let counters = said.lines().filter_map(counter).collect();
        Ok(Seen { key, leaks, ledger, counters, stdout, stderr })
    }
}

/// `... counter="tls_write_allowed_total" value=5`
fn counter(line: &str) -> Option<(String, u64)> {
    let (name, value) = line.split_once("counter=\"")?.1.split_once('"')?;
    Some((name.to_owned(), value.trim().strip_prefix("value=")?.parse().ok()?))
}

/// A leak that must be told.
#[derive(Clone, Debug)]
pub struct Expected<'a> {
    /// Whose number.
    pub digits: &'a str,
    /// Where it went.
    pub to: SocketAddr,
    /// `destination.host`, where one is used.
    pub host: Option<&'a str>,
    /// How often it was sent.
    pub times: usize,
    /// `transport.tls_version`; nothing is clear text.
    pub tls: Option<&'a str>,
    /// The beginning of `tap`.
    pub tap: &'a str,
}

impl<'a> Expected<'a> {
    /// In clear, once, seen by the wire tap.
    #[must_use]
    pub fn plain(digits: &'a str, to: SocketAddr) -> Self {
        Self { digits, to, host: None, times: 1, tls: None, tap: "wire" }
    }

    /// Over TLS of this version, once, seen at OpenSSL.
    #[must_use]
    pub fn tls(digits: &'a str, to: SocketAddr, host: &'a str, version: &'a str) -> Self {
        Self { host: Some(host), tls: Some(version), tap: "openssl.SSL_write", ..Self::plain(digits, to) }
    }

    /// The same, seen at a tap whose name begins so.
    #[must_use]
    pub fn at(self, tap: &'a str) -> Self {
        Self { tap, ..self }
    }

    fn differs(&self, leak: &Value) -> Vec<String> {
        let (destination, transport) = (&leak["destination"], &leak["transport"]);
        let mut pairs = vec![
            ("outcome", &leak["outcome"], "sent".into()),
            ("ip", &destination["ip"], self.to.ip().to_string().into()),
            ("port", &destination["port"], self.to.port().into()),
            ("proof", &destination["proof"], "proven".into()),
            ("encrypted", &transport["encrypted"], self.tls.is_some().into()),
            ("tls_version", &transport["tls_version"], self.tls.map_or(Value::Null, Value::from)),
        ];
        if let Some(host) = self.host {
            pairs.push(("host", &destination["host"], host.into()));
        }
        let mut wrong: Vec<String> = pairs
            .into_iter()
            .filter(|(_, got, want)| **got != *want)
            .map(|(name, got, want)| format!("{name} is {got}, not {want}"))
            .collect();
        let tap = leak["tap"].as_str().unwrap_or_default();
        if !tap.starts_with(self.tap) {
            wrong.push(format!("tap is {tap}, not {}", self.tap));
        }
        wrong
    }
}

/// What an agent has reported when it ended.
#[derive(Debug)]
pub struct Seen {
    /// The pseudonym key it used.
    pub key: Key,
    /// `cprvagt.leak/1` objects.
    pub leaks: Vec<Value>,
    /// The `cprvagt.ledger/1` object.
    pub ledger: Value,
    /// The kernel programs' counters that are not zero.
    pub counters: BTreeMap<String, u64>,
    /// All it wrote to standard output.
    pub stdout: Vec<u8>,
    /// All it wrote to standard error.
    pub stderr: Vec<u8>,
}

impl Seen {
    /// Nothing was lost, blind or unexplained: `plain` bytes were inspected, and with what TLS added they are the
    /// `wire` bytes, where those are known.
    ///
    /// # Panics
    /// When it was not so; with the ledger.
    pub fn assert_all_inspected(&self, wire: Option<u64>, plain: u64) {
        let told = format!("{:#}", self.ledger);
        assert_eq!(self.bytes("inspected_bytes"), plain.cast_signed(), "plaintext: {told}");
        assert_eq!(self.bytes("unexplained_bytes"), 0, "{told}");
        assert_eq!([&self.ledger["lost"], &self.ledger["blind"]], [&serde_json::json!([]); 2]);
        let sum = self.bytes("inspected_bytes") + self.bytes("protocol_bytes");
        assert_eq!(self.bytes("wire_bytes"), sum, "{told}");
        if let Some(wire) = wire {
            assert_eq!(sum, wire.cast_signed(), "bytes on the wire: {told}");
        }
    }

    /// The same of all that these recipients got.
    ///
    /// # Panics
    /// As [`Self::assert_all_inspected`].
    pub fn assert_all_inspected_of(&self, recipients: &[(Arc<Recipient>, &str)]) {
        let sum = |count: fn(&Received) -> u64| -> u64 {
            recipients.iter().map(|(recipient, _)| count(&recipient.server.received())).sum()
        };
        self.assert_all_inspected(Some(sum(Received::wire_bytes)), sum(Received::plain_bytes));
    }

    /// Asserts that each citizen was told once, at the recipient of the same place and by a tap whose name begins so,
    /// and as [`Self::assert_all_inspected_of`].
    ///
    /// # Panics
    /// When it is not so.
    pub fn assert_each_told(&self, recipients: &[(Arc<Recipient>, &str)], citizens: &[String], tap: &str) {
        assert_eq!(recipients.len(), citizens.len());
        let expected = recipients.iter().zip(citizens).map(|((recipient, version), citizen)| {
            Expected::tls(citizen, recipient.server.address(), &recipient.host, version).at(tap)
        });
        assert_eq!(self.mismatches(&expected.collect::<Vec<_>>()), Vec::<String>::new());
        self.assert_all_inspected_of(recipients);
    }

    /// The leaks of one number.
    #[must_use]
    pub fn leaks_of(&self, digits: &str) -> Vec<&Value> {
        let pseudonym = self.key.pseudonym(digits);
        self.leaks.iter().filter(|leak| leak["pseudonym"] == pseudonym.as_str()).collect()
    }

    /// How the leaks differ from those expected, in words; each citizen is expected once.
    #[must_use]
    pub fn mismatches(&self, expected: &[Expected<'_>]) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut known = BTreeSet::new();
        for (at, want) in expected.iter().enumerate() {
            let leaks = self.leaks_of(want.digits);
            known.insert(self.key.pseudonym(want.digits));
            if leaks.len() != want.times {
                let count = leaks.len();
                wrong.push(format!("expected {at} to {}: told {count} times, not {}", want.to, want.times));
            }
            for leak in leaks {
                let differences = want.differs(leak);
                wrong.extend(differences.iter().map(|it| format!("expected {at} to {}: {it}", want.to)));
            }
        }
        let unknown = |leak: &&Value| leak["pseudonym"].as_str().is_none_or(|it| !known.contains(it));
        let strange = self.leaks.iter().filter(unknown);
        wrong.extend(strange.map(|leak| format!("nobody sent {leak}")));
        wrong
    }

    /// A number of the ledger, 0 when it is absent.
    #[must_use]
    pub fn bytes(&self, field: &str) -> i64 {
        self.ledger[field].as_i64().unwrap_or_default()
    }

    /// The bytes of a list of the ledger (`lost` or `blind`) that have this reason.
    #[must_use]
    pub fn unread(&self, list: &str, reason: &str) -> u64 {
        let lines = self.ledger[list].as_array().into_iter().flatten();
        let fitting = lines.filter(|line| line["reason"] == reason);
        fitting.filter_map(|line| line["bytes"].as_u64()).sum()
    }

    /// A counter of the kernel programs.
    #[must_use]
    pub fn counter(&self, name: &str) -> u64 {
        self.counters.get(name).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_from_the_log() {
        let line = r#"2026-11-22T08:00:00Z DEBUG counter="packet_captured_total" value=17"#;
        assert_eq!(counter(line), Some(("packet_captured_total".to_owned(), 17)));
        assert_eq!(counter("ready"), None);
    }
}
