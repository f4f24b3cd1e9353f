//! From a finding and its flow to a leak.

use std::sync::Arc;

use cprvagt_abi::{Role, TlsWrite};
use cprvagt_report::{
    Confidence, Destination, Direction, Endpoint, Host, Label, Leak, Outcome, Process, Proof, Protocol,
    Scrubbed, System, Transport,
};

use super::flow::{FlowState, Told};
use super::proxy::Wanted;
use crate::{
    config,
    judge::{FlowFacts, HitFacts, Policy, Verdict},
    ledger::Holder,
    process::ProcessFacts,
    scrub::Scrubber,
};

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
}

impl Teller<'_> {
    /// The leak of a finding in a flow, if policy does not allow it.
    pub fn leak(&self, flow: &FlowState, told: Told) -> Option<Leak> {
        let facts = FlowFacts {
            remote: Some(flow.remote()),
            role: flow.role(),
            encrypted: told.encrypted,
            process: flow.process.as_deref(),
        };
        let proof = if told.certain { Proof::Proven } else { Proof::Likely };
        let (outcome, encrypted) = (told.outcome, told.encrypted);
        let verdict = self.verdict(&facts, &told)?;
        let mut leak = self.base(verdict, told, flow.process.as_deref());
        self.complete_process(&mut leak, flow.kernel.owner.tgid, &flow.kernel.owner.comm);
        leak.direction = Some(direction(flow.role()));
        leak.outcome = Some(outcome);
        let host = flow.server_name.clone().or(leak.destination.and_then(|destination| destination.host));
        leak.destination = Some(self.destination(flow, host, proof));
        leak.transport = Some(Transport {
            protocol: if flow.kernel.protocol == UDP { Protocol::Udp } else { Protocol::Tcp },
            encrypted,
            tls_version: flow.tls_version().filter(|_| encrypted).and_then(version_label),
        });
        Some(leak)
    }

    /// Where a flow's bytes go in the end, as far as a proxy was told.
    fn destination(&self, flow: &FlowState, host: Option<Scrubbed>, proof: Proof) -> Destination {
        let far_end = flow.remote();
        let via = flow.wanted().map(|_| self.scrubber.name(far_end.to_string()));
        let (ip, port, asked_for) = match flow.wanted() {
            None => (Some(far_end.ip()), Some(far_end.port()), None),
            Some(Wanted::EachItsOwn) => (None, None, None),
            Some(Wanted::Address(ip, port)) => (Some(*ip), Some(*port), None),
            Some(Wanted::Host(name, port)) => (None, Some(*port), Some(self.scrubber.name(name))),
        };
        Destination { ip, port, host: host.or(asked_for), recipient: None, via, proof }
    }

    /// The leak of a finding in a write whose flow nobody knows.
    pub fn leak_to_unknown(
        &self,
        call: &TlsWrite,
        process: Option<&ProcessFacts>,
        told: Told,
    ) -> Option<Leak> {
        let facts = FlowFacts { remote: None, role: Role::Unknown, encrypted: true, process };
        let verdict = self.verdict(&facts, &told)?;
        let mut leak = self.base(verdict, told, process);
        self.complete_process(&mut leak, call.tgid, &call.comm);
        leak.outcome = Some(Outcome::Unknown);
        leak.transport = Some(Transport { protocol: Protocol::Tcp, encrypted: true, tls_version: None });
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
        let remote = flow.map(FlowState::remote);
        let facts = FlowFacts { remote, role: Role::Server, encrypted: told.encrypted, process };
        let verdict = self.verdict(&facts, &told)?;
        let (outcome, certain) = (told.outcome, told.certain);
        let mut leak = self.base(verdict, told, process);
        self.complete_process(&mut leak, call.tgid, &call.comm);
        leak.direction = Some(Direction::Request);
        leak.outcome = Some(outcome);
        // The host that the request names is this one.
        leak.destination = Some(Destination {
            ip: remote.map(|remote| remote.ip()),
            port: remote.map(|remote| remote.port()),
            host: None,
            recipient: None,
            via: None,
            proof: if certain { Proof::Proven } else { Proof::Unknown },
        });
        leak.transport = Some(Transport { protocol: Protocol::Tcp, encrypted: true, tls_version: None });
        Some(leak)
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
        let hit = HitFacts { part: finding.location.part, class: finding.class, confidence };
        self.policy.verdict(facts, &hit)
    }

    fn base(&self, verdict: Verdict, told: Told, process: Option<&ProcessFacts>) -> Leak {
        let mut finding = told.finding;
        Leak {
            also_breaks: verdict.also_breaks,
            direction: Some(Direction::Egress),
            host: Some(self.host.clone()),
            process: process.map(|process| self.process(process)),
            system: process
                .and_then(|process| self.policy.system_of(process))
                .map(|system| self.system(system)),
            destination: Some(Destination {
                ip: None,
                port: None,
                host: finding.host.take(),
                recipient: None,
                via: None,
                proof: Proof::Unknown,
            }),
            tap: Some(Label::new(told.tap)),
            ..finding.into_leak(verdict.rule, verdict.severity)
        }
    }

    /// A process, its names scrubbed.
    pub fn process(&self, facts: &ProcessFacts) -> Process {
        let name = |text: &Option<String>| text.as_ref().map(|text| self.scrubber.name(text));
        Process {
            pid: Some(facts.pid),
            comm: facts.comm.as_ref().map(|comm| self.scrubber.comm(comm)),
            exe: name(&facts.exe),
            unit: name(&facts.unit),
            container: name(&facts.container),
            package: None,
            package_version: None,
            started_at: facts.started_at,
        }
    }

    fn system(&self, system: &config::System) -> System {
        System {
            name: self.scrubber.name(&system.name),
            vendor: system.vendor.as_ref().map(|vendor| self.scrubber.name(vendor)),
            controller: system.controller.as_ref().map(|controller| self.scrubber.name(controller)),
        }
    }

    /// Whose account a flow is.
    pub fn holder(&self, flow: &FlowState) -> Holder {
        let process = flow.process.as_ref().map(Arc::as_ref).map(|process| self.process(process));
        let remote = flow.remote();
        let destination = Endpoint { ip: remote.ip(), port: remote.port(), host: flow.server_name.clone() };
        Holder { process, destination: Some(destination) }
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
