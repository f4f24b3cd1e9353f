//! `cprvagt.leak/1`: one message that carries one number in one location part.
//!
//! *Invariants*: a value that is not known is absent, never guessed. The fields stand in the order in which
//! a person reads them, and JSON keeps that order.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    Checksum, Class, Confidence, Direction, Evidence, Handover, HostId, Label, Mask, Moment, Outcome, Part,
    Proof, Protocol, Pseudonym, Rule, Score, Scrubbed, SealedNumber, Severity,
};

/// The name and version of the leak object.
pub const LEAK_SCHEMA: &str = "cprvagt.leak/1";

/// The constant `schema` field: reading any other value fails.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub enum LeakSchema {
    /// Version 1.
    #[default]
    #[serde(rename = "cprvagt.leak/1")]
    V1,
}

/// A UUIDv7: unique, and sorted by time.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LeakId(pub Uuid);

impl LeakId {
    /// A new id, stamped with the system clock.
    pub fn now() -> Self {
        Self(Uuid::now_v7())
    }
}

/// A hit that policy does not allow: who sent it, to whom, how, and where in the message it stood.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Leak {
    /// Always [`LEAK_SCHEMA`].
    pub schema: LeakSchema,
    /// Unique over all hosts.
    pub id: LeakId,
    /// When the message was seen.
    pub observed_at: Moment,
    /// The gravest rule broken.
    pub rule: Rule,
    /// The other rules that the same message breaks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also_breaks: Vec<Rule>,
    /// How soon a person must act.
    pub severity: Severity,
    /// How sure it is that this is a number.
    pub confidence: Confidence,
    /// The weight of evidence behind `confidence`, in decibans.
    pub score: Score,
    /// What kind of number.
    pub class: Class,
    /// What the check digit says.
    pub checksum: Checksum,
    /// The shape as written.
    pub masked: Mask,
    /// The citizen, under this host's key.
    pub pseudonym: Pseudonym,
    /// The number, for the data controller alone; absent without the controller's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<SealedNumber>,
    /// Which way the message went; absent in a scan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// Whether it left the host; absent in a scan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// The host that sent it; absent in a scan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Host>,
    /// The process that sent it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
    /// Where the process has the number from; absent unless it is a relay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relayed: Option<Relayed>,
    /// The system that the process is part of, when configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<System>,
    /// Where it went; absent in a scan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<Destination>,
    /// What carried it; absent in a scan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<Transport>,
    /// By what it can be found in a capture; absent in clear, in a scan, and where no hello was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
    /// `wire`, or the function that was tapped; absent in a scan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tap: Option<Label>,
    /// Where in the message it stood.
    pub location: Location,
    /// The decodings that led to it, the outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decodings: Vec<Label>,
    /// Kinds of other personal data in the same message.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also_present: Vec<Label>,
    /// The file, in a scan only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
}

/// The machine.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Host {
    /// Its host name.
    pub name: Scrubbed,
    /// What tells it from other machines of the same name.
    pub id: HostId,
}

/// The program that wrote the message.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// Process id, as the host counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Command name, 15 bytes at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comm: Option<Scrubbed>,
    /// Path of the executable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exe: Option<Scrubbed>,
    /// systemd unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Scrubbed>,
    /// Container id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<Scrubbed>,
    /// Package that owns the executable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<Scrubbed>,
    /// Version of that package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package_version: Option<Scrubbed>,
    /// When the process started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Moment>,
}

/// Where a relay, a program that sends on what others on its host hand it, has a number from.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Relayed {
    /// What is known of it.
    pub handover: Handover,
    /// How well the program below is established.
    pub proof: Proof,
    /// The program that handed it over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Process>,
}

/// Who answers for the program, from `[[system]]`.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct System {
    /// What the organisation calls it.
    pub name: Scrubbed,
    /// Who made or runs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor: Option<Scrubbed>,
    /// The data controller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controller: Option<Scrubbed>,
    /// Who processes the data for the controller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processor: Option<Scrubbed>,
}

/// Where the message went.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Destination {
    /// Address, after translation on this host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<IpAddr>,
    /// Port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The name that the message itself used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Scrubbed>,
    /// The known organisation behind the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient: Option<Scrubbed>,
    /// What all it is called, each with who says so. `host` is one of them, or the one of a proxy's protocol.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<DestinationName>,
    /// The names contradict each other; left out where they do not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub contradictory: bool,
    /// A proxy or relay on the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<Scrubbed>,
    /// How well all this is established.
    pub proof: Proof,
}

/// A name of a destination.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct DestinationName {
    /// The name; of a socket, address and port.
    pub name: Scrubbed,
    /// Who says so.
    pub source: NameSource,
}

/// Who gives a destination its name.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NameSource {
    /// The ClientHello, in clear (RFC 6066, 3).
    Sni,
    /// The same of a ClientHello with another, encrypted one in it (RFC 9849), or what looks like one: it may be the name of
    /// whoever stands in front of many.
    #[serde(rename = "outer-sni")]
    OuterSni,
    /// The message: `Host` of HTTP/1 and WebSocket, what other protocols have in its place.
    Host,
    /// The message: `:authority` of HTTP/2.
    Authority,
    /// An answer of a name server, for the address.
    Dns,
    /// The program's socket: what it was connected to before the host translated addresses.
    Socket,
}

/// What carried the message.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Transport {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Encrypted on the wire or not.
    pub encrypted: bool,
    /// `1.2`, `1.3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_version: Option<Label>,
    /// Encrypted with a version of TLS that is not secure any more (RFC 8996); left out where it is not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub weak: bool,
}

/// Where in the message the number stood.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Location {
    /// `http/1.1`, `smtp`, `raw` and so on.
    pub protocol: Label,
    /// The part of the message.
    pub part: Part,
    /// Name of the key, header, parameter or column; never its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<Scrubbed>,
    /// URL path with every id-like piece replaced by `{}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<Scrubbed>,
}

/// The file that a scan read.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// Path of the file.
    pub path: Scrubbed,
    /// Byte offset of the number's first byte.
    pub offset: u64,
}

#[cfg(test)]
#[path = "leak_tests.rs"]
mod tests;
