//! From a finding and its flow to a leak.

use std::time::Instant;

use cprvagt_abi::{Role, TlsWrite};
use cprvagt_report::{
    Confidence, Destination, DestinationName, Direction, Endpoint, Host, Label, Leak, NameSource, Outcome,
    Process, Proof, Protocol, Pseudonym, Relayed, Scrubbed, System, Transport,
};

use super::{
    contradictions::{Contradictions, contradiction},
    flow::{FlowState, Told},
    learned::Learned,
    proxy::Wanted,
    relays::Relays,
};
use crate::{
    config,
    judge::{FarNames, FlowFacts, HitFacts, HostName, Policy, Verdict},
    ledger::Holder,
    process::ProcessFacts,
    scrub::Scrubber,
};

/// The lowest version of TLS that is secure (RFC 8996).
const TLS_1_2: u16 = 0x0303;
/// How leaks call HTTP/2.
const HTTP2: &str = "http/2";
/// Names from DNS answers that a leak carries.
const LEARNED_MAX: usize = 4;
/// Protocol number of UDP.
const UDP: u32 = 17;

/// What is needed to tell a leak.
pub struct Teller<'a> {
    /// Judges.
    pub policy: &'a Policy,
    /// This machine.
    pub host: &'a Host,
    /// Scrubs names.
    pub scrubber: Scrubber,
    /// What DNS answers have said.
    pub learned: &'a Learned,
    /// Where names that contradict each other are told.
    pub contradictions: &'a Contradictions,
    /// What programs have handed to relays.
    pub relays: &'a Relays,
    /// Now.
    pub now: Instant,
}

impl Teller<'_> {
    /// The leak of a finding in a flow, if policy does not allow it.
    pub fn leak(&self, flow: &FlowState, told: Told) -> Option<Leak> {
        let names = self.names(flow, told.finding.host.as_ref());
        let facts = FlowFacts {
            remote: Some(flow.who.remote()),
            role: flow.who.role(),
            encrypted: told.encrypted,
            process: flow.who.process.as_deref(),
            names: &names,
        };
        let proof = if told.certain { Proof::Proven } else { Proof::Likely };
        let (outcome, encrypted) = (told.outcome, told.encrypted);
        let verdict = self.verdict(&facts, &told)?;
        // Behind a proxy a learned name is the proxy's own; with a hidden hello the name in front is somebody else's.
        let is_direct = flow.wanted().is_none() && !flow.who.may_hide_its_name;
        let contradicted = is_direct && contradiction(&names).is_some();
        if contradicted {
            self.contradictions.tell(&names, &self.scrubber);
        }
        let all_names = self.all_names(flow, &told, &names);
        let recipient = self.policy.recipient(&facts).map(|recipient| self.scrubber.name(&recipient.owner));
        let only_learned = names.learned.first().filter(|_| names.own.is_empty() && names.learned.len() == 1);
        let learned = only_learned.map(|name| self.scrubber.name(name.as_str()));
        let mut leak = self.base(verdict, told, flow.who.process.as_deref());
        self.complete_process(&mut leak, flow.who.kernel.owner.tgid, &flow.who.kernel.owner.comm);
        leak.direction = Some(direction(flow.who.role()));
        leak.relayed = leak.relayed.filter(|_| flow.who.role() != Role::Server);
        leak.outcome = Some(outcome);
        let in_message = leak.destination.and_then(|it| it.host);
        let in_hello = flow.who.server_name.clone();
        let host = if flow.who.may_hide_its_name { in_message.or(in_hello) } else { in_hello.or(in_message) };
        leak.destination = Some(Destination {
            recipient,
            names: all_names,
            contradictory: contradicted,
            ..self.destination(flow, host, learned, proof)
        });
        let version = flow.tls_version().filter(|_| encrypted);
        leak.transport = Some(Transport {
            protocol: if flow.who.kernel.protocol == UDP { Protocol::Udp } else { Protocol::Tcp },
            encrypted,
            tls_version: version.and_then(version_label),
            weak: version.is_some_and(|version| version < TLS_1_2),
        });
        Some(leak)
    }

    /// Where a flow's bytes go in the end, as far as a proxy was told. What was learned of its far end is a name of the
    /// proxy then.
    fn destination(
        &self,
        flow: &FlowState,
        host: Option<Scrubbed>,
        learned: Option<Scrubbed>,
        proof: Proof,
    ) -> Destination {
        let far_end = flow.who.remote();
        let via = flow.wanted().map(|_| self.scrubber.name(far_end.to_string()));
        let (ip, port, other_name) = match flow.wanted() {
            None => (Some(far_end.ip()), Some(far_end.port()), learned),
            Some(Wanted::EachItsOwn) => (None, None, None),
            Some(Wanted::Address(ip, port)) => (Some(*ip), Some(*port), None),
            Some(Wanted::Host(name, port)) => (None, Some(*port), Some(self.scrubber.name(name))),
        };
        let host = host.or(other_name);
        Destination { ip, port, host, recipient: None, names: Vec::new(), contradictory: false, via, proof }
    }

    /// What all a destination is called, each name with who says so.
    fn all_names(&self, flow: &FlowState, told: &Told, names: &FarNames) -> Vec<DestinationName> {
        let by_hello = if flow.who.may_hide_its_name { NameSource::OuterSni } else { NameSource::Sni };
        let sni = flow.who.server_name.as_ref().map(|name| (name.clone(), by_hello));
        let learned = names.learned.iter().filter(|_| flow.wanted().is_none()).take(LEARNED_MAX);
        let learned = learned.map(|name| (self.scrubber.name(name.as_str()), NameSource::Dns));
        let asked = flow.who.asked().map(|it| (self.scrubber.name(it.to_string()), NameSource::Socket));
        let all = sni.into_iter().chain(name_in_message(told)).chain(learned).chain(asked);
        all.map(|(name, source)| DestinationName { name, source }).collect()
    }

    /// The leak of a finding in a write whose flow nobody knows.
    pub fn leak_to_unknown(
        &self,
        call: &TlsWrite,
        process: Option<&ProcessFacts>,
        told: Told,
    ) -> Option<Leak> {
        let names = FarNames { own: names_of([told.finding.host.as_ref()]), learned: Vec::new() };
        let facts = FlowFacts { remote: None, role: Role::Unknown, encrypted: true, process, names: &names };
        let verdict = self.verdict(&facts, &told)?;
        let recipient = self.policy.recipient(&facts).map(|recipient| self.scrubber.name(&recipient.owner));
        let in_message = name_in_message(&told);
        let mut leak = self.base(verdict, told, process);
        self.complete_process(&mut leak, call.tgid, &call.comm);
        leak.outcome = Some(Outcome::Unknown);
        if let Some(destination) = &mut leak.destination {
            destination.recipient = recipient;
            destination.names =
                in_message.map(|(name, source)| DestinationName { name, source }).into_iter().collect();
        }
        leak.transport =
            Some(Transport { protocol: Protocol::Tcp, encrypted: true, tls_version: None, weak: false });
        Some(leak)
    }

    /// The leak of a finding in the head of a request that a server of this host has read.
    pub fn leak_of_request(
        &self,
        flow: Option<&FlowState>,
        call: &TlsWrite,
        process: Option<&ProcessFacts>,
        told: Told,
    ) -> Option<Leak> {
        let remote = flow.map(|flow| flow.who.remote());
        let names = FarNames::default();
        let (role, encrypted) = (Role::Server, told.encrypted);
        let facts = FlowFacts { remote, role, encrypted, process, names: &names };
        let verdict = self.verdict(&facts, &told)?;
        let (outcome, certain) = (told.outcome, told.certain);
        let mut leak = self.base(verdict, told, process);
        self.complete_process(&mut leak, call.tgid, &call.comm);
        leak.direction = Some(Direction::Request);
        // It asks, and hands over nothing.
        leak.relayed = None;
        leak.outcome = Some(outcome);
        // The host that the request names is this one.
        leak.destination = Some(Destination {
            ip: remote.map(|remote| remote.ip()),
            port: remote.map(|remote| remote.port()),
            host: None,
            recipient: None,
            names: Vec::new(),
            contradictory: false,
            via: None,
            proof: if certain { Proof::Proven } else { Proof::Unknown },
        });
        leak.transport =
            Some(Transport { protocol: Protocol::Tcp, encrypted: true, tls_version: None, weak: false });
        Some(leak)
    }

    /// What the far end of a flow is called, by the flow, by the message, and by DNS answers.
    fn names(&self, flow: &FlowState, host: Option<&Scrubbed>) -> FarNames {
        let own = names_of([flow.who.server_name.as_ref(), host]);
        FarNames { own, learned: self.learned.names(flow.who.remote().ip(), self.now) }
    }

    /// What the kernel itself told of a process that had ended before we looked.
    fn complete_process(&self, leak: &mut Leak, tgid: u32, comm: &[u8; 16]) {
        if tgid == 0 {
            return;
        }
        let process = leak.process.get_or_insert_default();
        process.pid = process.pid.or(Some(tgid));
        if process.comm.is_none() && process.pid == Some(tgid) {
            process.comm = Some(self.scrubber.comm(comm));
        }
    }

    /// What a finding breaks. One that waits is judged as what it will be when it is told.
    fn verdict(&self, facts: &FlowFacts<'_>, told: &Told) -> Option<Verdict> {
        let finding = &told.finding;
        let waits = finding.tie.is_some_and(|tie| tie.waits.is_some());
        let confidence = if waits { Confidence::High } else { finding.confidence };
        let hit = HitFacts::at(&finding.location, finding.class, confidence);
        let hit = HitFacts { citizens: finding.citizens, ..hit };
        self.policy.verdict(facts, &hit)
    }

    fn base(&self, verdict: Verdict, told: Told, process: Option<&ProcessFacts>) -> Leak {
        let mut finding = told.finding;
        Leak {
            also_breaks: verdict.also_breaks,
            direction: Some(Direction::Egress),
            host: Some(self.host.clone()),
            process: process.map(|process| process_of(process, &self.scrubber)),
            relayed: process.and_then(|process| self.relayed(process, finding.pseudonym)),
            system: process
                .and_then(|process| self.policy.system_of(process))
                .map(|system| self.system(system)),
            destination: Some(Destination {
                ip: None,
                port: None,
                host: finding.host.take(),
                recipient: None,
                names: Vec::new(),
                contradictory: false,
                via: None,
                proof: Proof::Unknown,
            }),
            evidence: told.evidence,
            tap: Some(Label::new(told.tap)),
            ..finding.into_leak(verdict.rule, verdict.severity)
        }
    }

    /// Where a process has a citizen's number from; `None` unless it is a relay.
    fn relayed(&self, process: &ProcessFacts, citizen: Pseudonym) -> Option<Relayed> {
        let ports = self.policy.relay_ports_of(process);
        (!ports.is_empty()).then(|| self.relays.trace(&ports, citizen, &self.scrubber))
    }

    fn system(&self, system: &config::System) -> System {
        System {
            name: self.scrubber.name(&system.name),
            vendor: system.vendor.as_ref().map(|vendor| self.scrubber.name(vendor)),
            controller: system.controller.as_ref().map(|controller| self.scrubber.name(controller)),
            processor: system.processor.as_ref().map(|processor| self.scrubber.name(processor)),
        }
    }
}

/// The name that a message gives its destination, and by what.
fn name_in_message(told: &Told) -> Option<(Scrubbed, NameSource)> {
    let is_http2 = told.finding.location.protocol.as_str() == HTTP2;
    let source = if is_http2 { NameSource::Authority } else { NameSource::Host };
    Some((told.finding.host.clone()?, source))
}

/// The names that are names, not addresses. A number in one was taken out, so no entry fits it.
fn names_of<const N: usize>(names: [Option<&Scrubbed>; N]) -> Vec<HostName> {
    names.into_iter().flatten().filter_map(|name| HostName::of_authority(name.as_str())).collect()
}

/// Whose account a flow is.
pub fn holder(flow: &FlowState, scrubber: &Scrubber) -> Holder {
    let process = flow.who.process.as_ref().map(|process| process_of(process, scrubber));
    let remote = flow.who.remote();
    let destination = Endpoint { ip: remote.ip(), port: remote.port(), host: flow.who.server_name.clone() };
    Holder { process, destination: Some(destination) }
}

/// A process, its names scrubbed.
pub fn process_of(facts: &ProcessFacts, scrubber: &Scrubber) -> Process {
    let name = |text: &Option<String>| text.as_ref().map(|text| scrubber.name(text));
    Process {
        pid: Some(facts.pid),
        comm: facts.comm.as_ref().map(|comm| scrubber.comm(comm)),
        exe: name(&facts.exe),
        unit: name(&facts.unit),
        container: name(&facts.container),
        package: name(&facts.package),
        package_version: name(&facts.package_version),
        started_at: facts.started_at,
    }
}

fn direction(role: Role) -> Direction {
    match role {
        Role::Server => Direction::Response,
        Role::Client | Role::Unknown => Direction::Egress,
    }
}

fn version_label(version: u16) -> Option<Label> {
    match version {
        0x0301 => Some(Label::new("1.0")),
        0x0302 => Some(Label::new("1.1")),
        0x0303 => Some(Label::new("1.2")),
        0x0304 => Some(Label::new("1.3")),
        _ => None,
    }
}
