//! A report, folded: what each leak says of its incident, its trace and its citizen.
//!
//! A host that an attacker has taken over may send readable numbers where names belong, so every text of a
//! report is scrubbed once more here, whatever type it came in.
//!
//! *Invariants*: nothing of a [`Report`] gets past this module but what [`Opened`] holds. The agent's
//! pseudonym ends here.

mod bounds;

use std::cell::Cell;
use std::net::IpAddr;

use cprvagt_report::{
    AgentId, Checksum, Class, Confidence, Direction, Entry, Gap, GapRecord, Host, HostId, Label, Leak,
    LeakId, Ledger, Moment, Outcome, Process, Proof, Protocol, Report, Scrub, Scrubbed, Severity,
};
use sha2::{Digest as _, Sha256};

use crate::citizen::{Citizen, CitizenKey};
use crate::fingerprint::{IncidentId, Subject, add_text, shape, site};

/// Longest text kept, in bytes; agents send no longer ones.
const TEXT_BYTES_MAX: usize = 256;
/// Highest process id that Linux gives (`PID_MAX_LIMIT`); a larger one is none.
const PID_MAX: u32 = 1 << 22;
/// Stands for the protocols of traces that are not told apart.
const FOLDED: &str = "several";
/// Keeps these hashes apart from others.
const TRACE_CONTEXT: &[u8] = b"cprvagt/trace/1\0";

/// A report as the store takes it.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The host's name.
    pub host: Scrubbed,
    /// One for each leak, in the report's order.
    pub occurrences: Vec<Occurrence>,
    /// Its gaps, each with its place among the entries.
    pub gaps: Vec<(usize, GapRecord)>,
    /// Its ledgers.
    pub ledgers: Vec<Ledger>,
    /// How many texts still held a number, or what a terminal would obey, and times that no calendar has: 0 from an
    /// agent in order.
    pub rescrubbed: u64,
}

/// One leak, folded.
#[derive(Clone, Debug)]
pub struct Occurrence {
    /// The leak.
    pub leak: LeakId,
    /// When the message was seen, by the host's clock.
    pub observed_at: Moment,
    /// The citizen.
    pub citizen: Citizen,
    /// The number, for the data controller alone.
    pub sealed: Option<Box<[u8]>>,
    /// The process.
    pub pid: Option<u32>,
    /// How soon a person must act.
    pub severity: Severity,
    /// Who made or runs the system.
    pub vendor: Option<String>,
    /// What it has in common with others of its incident.
    pub subject: Subject,
    /// `subject`'s id.
    pub incident: IncidentId,
    /// How it left.
    pub trace: Trace,
    /// Hash of `incident` and `trace`.
    pub trace_id: [u8; 16],
}

/// How a leak left: many occurrences of one incident share it.
#[derive(Clone, Debug)]
pub struct Trace {
    /// The agent that reported it.
    pub agent: AgentId,
    /// The host.
    pub host: Scrubbed,
    /// What tells it from other hosts of the same name.
    pub host_id: HostId,
    /// The program.
    pub program: Program,
    /// Where it went; no address where this host answered, since that would be a citizen's.
    pub ip: Option<IpAddr>,
    /// Port, as `ip`.
    pub port: Option<u16>,
    /// The name that the message used.
    pub destination: Option<Scrubbed>,
    /// The known organisation behind the name.
    pub recipient: Option<Scrubbed>,
    /// A proxy or relay.
    pub via: Option<Scrubbed>,
    /// How well the destination is established.
    pub proof: Proof,
    /// TCP or UDP.
    pub transport: Option<Protocol>,
    /// Encrypted on the wire or not; absent when not known.
    pub encrypted: Option<bool>,
    /// TLS version.
    pub tls_version: Option<Scrubbed>,
    /// Which way it went.
    pub direction: Option<Direction>,
    /// Whether it left the host.
    pub outcome: Option<Outcome>,
    /// The tap.
    pub tap: Option<Scrubbed>,
    /// Protocol of the message.
    pub protocol: Scrubbed,
    /// Part of the message.
    pub part: cprvagt_report::Part,
    /// Field, as sent.
    pub field: Option<Scrubbed>,
    /// Path, as sent.
    pub path: Option<Scrubbed>,
    /// Decodings, the outermost first, parted by commas.
    pub decodings: Option<String>,
    /// Other rules broken, parted by commas.
    pub also_breaks: Option<String>,
    /// Kinds of other personal data in the message, parted by commas.
    pub also_present: Option<String>,
    /// What kind of number.
    pub class: Class,
    /// What the check digit says.
    pub checksum: Checksum,
    /// How sure it is a number.
    pub confidence: Confidence,
}

/// The program of a trace.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// Command name.
    pub comm: Option<Scrubbed>,
    /// Executable.
    pub exe: Option<Scrubbed>,
    /// systemd unit.
    pub unit: Option<Scrubbed>,
    /// Container id.
    pub container: Option<Scrubbed>,
    /// Package.
    pub package: Option<Scrubbed>,
    /// Version of the package.
    pub package_version: Option<Scrubbed>,
}

impl Opened {
    /// `report` of `agent`, folded and scrubbed.
    pub fn of(agent: AgentId, report: Report, key: &CitizenKey) -> Self {
        let scrubber = Rescrub::default();
        let host = scrubber.host(report.host);
        let mut opened = Self {
            host: host.name.clone(),
            occurrences: vec![],
            gaps: vec![],
            ledgers: vec![],
            rescrubbed: 0,
        };
        for (index, entry) in report.entries.into_iter().enumerate() {
            match entry {
                Entry::Leak(leak) => opened.occurrences.push(occurrence(agent, &host, *leak, key, &scrubber)),
                Entry::Gap(gap) => opened.gaps.push((index, scrubber.gap_record(gap))),
                Entry::Ledger(ledger) => opened.ledgers.push(scrubber.ledger(*ledger)),
            }
        }
        Self { rescrubbed: scrubber.changed.get(), ..opened }
    }
}

fn occurrence(agent: AgentId, host: &Host, leak: Leak, key: &CitizenKey, scrubber: &Rescrub) -> Occurrence {
    let subject = subject(&leak, scrubber);
    let incident = subject.id();
    let trace = trace(agent, host, &leak, scrubber);
    Occurrence {
        leak: leak.id,
        observed_at: scrubber.time(leak.observed_at),
        citizen: key.citizen(&leak.pseudonym),
        sealed: leak.sealed.as_ref().and_then(|sealed| unreadable(sealed.as_bytes())),
        pid: leak.process.as_ref().and_then(|process| process.pid).filter(|pid| *pid <= PID_MAX),
        severity: leak.severity,
        vendor: leak.system.as_ref().and_then(|system| scrubber.text(system.vendor.as_ref())),
        trace_id: trace.id(incident),
        subject,
        incident,
        trace,
    }
}

/// What is sealed looks like noise. What holds a readable number was never sealed.
fn unreadable(sealed: &[u8]) -> Option<Box<[u8]>> {
    let mut is_readable = false;
    cprvagt_cpr::scrub_ranges(sealed, 0, &mut |_| is_readable = true);
    (!is_readable).then(|| sealed.into())
}

fn subject(leak: &Leak, scrubber: &Rescrub) -> Subject {
    let destination = leak.destination.as_ref();
    let name = scrubber.text(destination.and_then(|destination| destination.host.as_ref()));
    let system = leak.system.as_ref();
    Subject {
        controller: scrubber.text(system.and_then(|system| system.controller.as_ref())),
        system: scrubber.text(system.map(|system| &system.name)),
        site: site(destination, name.as_deref(), leak.direction),
        rule: leak.rule,
        part: leak.location.part,
        field: scrubber.text(leak.location.field.as_ref()).map(|field| shape(&field)),
        path: scrubber.text(leak.location.path.as_ref()).map(|path| shape(&path)),
    }
}

fn trace(agent: AgentId, host: &Host, leak: &Leak, scrubber: &Rescrub) -> Trace {
    let name = |text: Option<&Scrubbed>| text.map(|text| scrubber.name(text.as_str()));
    let destination = leak.destination.as_ref();
    let is_client = matches!(leak.direction, None | Some(Direction::Egress));
    let far_end = destination.filter(|_| is_client);
    let transport = leak.transport.as_ref();
    Trace {
        agent,
        host: host.name.clone(),
        host_id: host.id,
        program: leak.process.as_ref().map(|process| program(process, scrubber)).unwrap_or_default(),
        ip: far_end.and_then(|it| it.ip),
        port: far_end.and_then(|it| it.port),
        destination: name(destination.and_then(|it| it.host.as_ref())),
        recipient: name(destination.and_then(|it| it.recipient.as_ref())),
        via: name(destination.and_then(|it| it.via.as_ref())),
        proof: destination.map_or(Proof::Unknown, |it| it.proof),
        transport: transport.map(|it| it.protocol),
        encrypted: transport.map(|it| it.encrypted),
        tls_version: transport.and_then(|it| it.tls_version.as_ref()).map(|it| scrubber.name(it.as_str())),
        direction: leak.direction,
        outcome: leak.outcome,
        tap: leak.tap.as_ref().map(|tap| scrubber.name(tap.as_str())),
        protocol: scrubber.name(leak.location.protocol.as_str()),
        part: leak.location.part,
        field: name(leak.location.field.as_ref()),
        path: name(leak.location.path.as_ref()),
        decodings: scrubber.labels(&leak.decodings),
        also_breaks: joined(leak.also_breaks.iter().map(|rule| rule.as_str())),
        also_present: scrubber.labels(&leak.also_present),
        class: leak.class,
        checksum: leak.checksum,
        confidence: leak.confidence,
    }
}

fn program(process: &Process, scrubber: &Rescrub) -> Program {
    let name = |text: Option<&Scrubbed>| text.map(|text| scrubber.name(text.as_str()));
    Program {
        comm: name(process.comm.as_ref()),
        exe: name(process.exe.as_ref()),
        unit: name(process.unit.as_ref()),
        container: name(process.container.as_ref()),
        package: name(process.package.as_ref()),
        package_version: name(process.package_version.as_ref()),
    }
}

/// The words parted by commas; `None` for no word.
fn joined<'a>(words: impl Iterator<Item = &'a str>) -> Option<String> {
    let words: Vec<&str> = words.collect();
    (!words.is_empty()).then(|| words.join(","))
}

impl Trace {
    /// Names of the columns of [`Self::texts`], in its order.
    pub(crate) const COLUMNS: [&'static str; 33] = [
        "agent",
        "host",
        "host_id",
        "comm",
        "exe",
        "unit",
        "container",
        "package",
        "package_version",
        "ip",
        "port",
        "destination",
        "recipient",
        "via",
        "proof",
        "transport",
        "encrypted",
        "tls_version",
        "direction",
        "outcome",
        "tap",
        "protocol",
        "part",
        "field",
        "path",
        "decodings",
        "also_breaks",
        "also_present",
        "class",
        "checksum",
        "confidence",
        "proof_rank",
        "confidence_rank",
    ];

    /// All of it as texts, numbers too.
    pub(crate) fn texts(&self) -> [Option<String>; Self::COLUMNS.len()] {
        let name = |text: &Option<Scrubbed>| text.as_ref().map(|text| text.as_str().to_owned());
        let word = |word: &str| Some(word.to_owned());
        [
            Some(self.agent.to_string()),
            word(self.host.as_str()),
            Some(self.host_id.to_string()),
            name(&self.program.comm),
            name(&self.program.exe),
            name(&self.program.unit),
            name(&self.program.container),
            name(&self.program.package),
            name(&self.program.package_version),
            self.ip.map(|ip| ip.to_canonical().to_string()),
            self.port.map(|port| port.to_string()),
            name(&self.destination),
            name(&self.recipient),
            name(&self.via),
            word(self.proof.as_str()),
            self.transport.and_then(|it| word(it.as_str())),
            self.encrypted.map(|encrypted| u8::from(encrypted).to_string()),
            name(&self.tls_version),
            self.direction.and_then(|it| word(it.as_str())),
            self.outcome.and_then(|it| word(it.as_str())),
            name(&self.tap),
            word(self.protocol.as_str()),
            word(self.part.as_str()),
            name(&self.field),
            name(&self.path),
            self.decodings.clone(),
            self.also_breaks.clone(),
            self.also_present.clone(),
            word(self.class.as_str()),
            word(self.checksum.as_str()),
            word(self.confidence.as_str()),
            Some((self.proof as u8).to_string()),
            Some((self.confidence as u8).to_string()),
        ]
    }

    /// What is told where an incident has too many traces: nothing but the host of what an attacker could vary at
    /// will. Its id does not depend on the host's name, of which the first stays.
    pub(crate) fn folded(&self, incident: IncidentId) -> ([u8; 16], Self) {
        let folded = Self {
            agent: self.agent,
            host: self.host.clone(),
            host_id: self.host_id,
            program: Program::default(),
            ip: None,
            port: None,
            destination: None,
            recipient: None,
            via: None,
            proof: Proof::Unknown,
            transport: self.transport,
            encrypted: self.encrypted,
            tls_version: None,
            direction: self.direction,
            outcome: self.outcome,
            tap: None,
            protocol: Scrubbed::by(&Rescrub::default(), FOLDED),
            part: self.part,
            field: None,
            path: None,
            decodings: None,
            also_breaks: None,
            also_present: None,
            class: self.class,
            checksum: self.checksum,
            confidence: self.confidence,
        };
        let nameless =
            Self { host: folded.protocol.clone(), host_id: HostId::new([0; 16]), ..folded.clone() };
        (nameless.id(incident), folded)
    }

    /// The first 16 bytes of SHA-256 over the incident and every text.
    fn id(&self, incident: IncidentId) -> [u8; 16] {
        let mut hash = Sha256::new_with_prefix(TRACE_CONTEXT);
        hash.update(incident.0);
        self.texts().iter().for_each(|text| add_text(&mut hash, text.as_deref()));
        *hash.finalize().first_chunk().expect("the hash has 32 bytes")
    }
}

/// Takes out what an agent in order would not have sent, and counts it.
#[derive(Default)]
pub(crate) struct Rescrub {
    changed: Cell<u64>,
}

impl Scrub for Rescrub {
    fn scrub(&self, text: &[u8]) -> String {
        let given = String::from_utf8_lossy(text);
        let clean = cut(without_numbers(given.chars().filter(|c| !is_obeyed(*c)).collect()));
        self.changed.set(self.changed.get() + u64::from(clean != given));
        clean
    }
}

impl Rescrub {
    fn name(&self, text: &str) -> Scrubbed {
        Scrubbed::by(self, text)
    }

    fn text(&self, text: Option<&Scrubbed>) -> Option<String> {
        text.map(|text| self.scrub(text.as_str().as_bytes()))
    }

    fn labels(&self, labels: &[Label]) -> Option<String> {
        let words: Vec<String> = labels.iter().map(|label| self.scrub(label.as_str().as_bytes())).collect();
        joined(words.iter().map(String::as_str))
    }

    /// The host, scrubbed.
    pub(crate) fn host(&self, host: Host) -> Host {
        Host { name: self.name(host.name.as_str()), id: host.id }
    }

    fn gap_record(&self, record: GapRecord) -> GapRecord {
        GapRecord { gap: self.gap(record.gap), ..record }
    }

    fn gap(&self, gap: Gap) -> Gap {
        let gap = self.gap_times(gap);
        Gap { reason: self.label(gap.reason), ..gap }
    }

    /// A label has no way in but a fixed word or the wire; what was cleaned goes in as from the wire.
    fn label(&self, label: Label) -> Label {
        let clean = self.scrub(label.as_str().as_bytes());
        let again = serde_json::from_value(serde_json::Value::String(clean));
        again.expect("a label is any text")
    }

    fn process(&self, process: Process) -> Process {
        let program = program(&process, self);
        Process {
            pid: process.pid.filter(|pid| *pid <= PID_MAX),
            comm: program.comm,
            exe: program.exe,
            unit: program.unit,
            container: program.container,
            package: program.package,
            package_version: program.package_version,
            started_at: process.started_at.map(|time| self.time(time)),
        }
    }
}

fn without_numbers(text: String) -> String {
    let mut clean = String::new();
    let mut from = 0;
    cprvagt_cpr::scrub_ranges(text.as_bytes(), 0, &mut |range| {
        clean.push_str(text.get(from..range.start).unwrap_or_default());
        clean.push_str("{}");
        from = range.end;
    });
    if from == 0 {
        return text;
    }
    clean + text.get(from..).unwrap_or_default()
}

/// Controls, and the marks that reorder or hide text on a screen.
fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

fn cut(mut text: String) -> String {
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX - '…'.len_utf8()));
        text.push('…');
    }
    text
}

#[cfg(test)]
#[path = "occurrence_tests.rs"]
pub(crate) mod tests;
