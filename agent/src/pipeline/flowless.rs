//! What is told of calls by themselves: writes whose flow nobody knows, and requests that servers have read.

use std::time::Instant;

use cprvagt_abi::TlsWrite;
use cprvagt_report::{Leak, Outcome};

use super::{
    Pipeline, Request,
    connections::{self, Heard, Reader},
    flow::Told,
    requests::{self, Head},
};
use crate::{
    fields::Origin,
    inspect::{Inspected, Inspector, Tie},
    join::{tls_flow::TlsFlow, unbound::Name, writes::Write},
    process::ProcessFacts,
};

impl Pipeline {
    /// Looks at what a server of this host has read.
    pub(super) fn read(&mut self, read: Write, now: Instant, ask: &mut dyn FnMut(Request)) {
        if self.is_of_a_request(&read) {
            let heads = self.requests.take(read, now);
            return self.look_at_requests(heads, now, ask);
        }
        let process = self.process_of(read.call.tgid, now);
        if self.policy.limits_scope() && !self.policy.in_scope(process.as_deref()) {
            return;
        }
        let lens = Self::lens(&self.keys, &self.policy, &self.proving);
        let heard = self.connections.take(&read, Reader::of(&read, process), now, &lens);
        self.tell_heard(heard, now, ask);
    }

    /// Whether a read is of a head of HTTP/1, not of a connection of HTTP/2.
    fn is_of_a_request(&self, read: &Write) -> bool {
        let is_rest = || self.requests.has(read) && !self.connections.has(read);
        !connections::begins(read) && (requests::begins(read) || is_rest())
    }

    /// Tells the numbers that requests to a server of this host bring in their heads.
    pub(super) fn look_at_requests(&mut self, heads: Vec<Head>, now: Instant, ask: &mut dyn FnMut(Request)) {
        for head in heads {
            let Some(first) = head.first() else { continue };
            let process = self.process_of(first.call.tgid, now);
            if self.policy.limits_scope() && !self.policy.in_scope(process.as_deref()) {
                continue;
            }
            let reader = Reader::of(first, process);
            let lens = Self::lens(&self.keys, &self.policy, &self.proving);
            let (lens, mut inspector) = (lens.of(reader.origin()), Inspector::stream());
            let mut inspected = Inspected::default();
            head.iter().for_each(|read| inspector.push_write(read, &lens, &mut inspected));
            inspector.finish(&lens, &mut inspected);
            self.tell_heard(vec![(reader, inspected)], now, ask);
        }
    }

    /// Tells what came out of reads of servers.
    pub(super) fn tell_heard(&mut self, heard: Vec<Heard>, now: Instant, ask: &mut dyn FnMut(Request)) {
        for (reader, inspected) in heard {
            let leaks = self.leaks_in_requests(&reader, inspected, now);
            self.tell_all(leaks, now, ask);
        }
    }

    fn leaks_in_requests(
        &self,
        reader: &Reader,
        inspected: Inspected,
        now: Instant,
    ) -> Vec<(Option<Tie>, Leak)> {
        let Reader { call, tap, process } = reader;
        let (teller, flow) = (self.teller(now), self.flows.get(&call.flow));
        let certain = flow.is_some();
        let told =
            |finding| Told { finding, tap, encrypted: true, outcome: Outcome::Sent, certain, evidence: None };
        let leak = |it| teller.leak_of_request(flow, call, process.as_deref(), told(it));
        inspected.findings.into_iter().filter_map(|it| Some((it.tie, leak(it)?))).collect()
    }

    /// Tells what is in writes whose flow nobody knows: reported, never dropped, never invented. Each
    /// session's are one stream.
    pub(super) fn give_up(&mut self, writes: Vec<Write>, now: Instant, ask: &mut dyn FnMut(Request)) {
        let mut rest = writes.into_iter().peekable();
        while let Some(first) = rest.next() {
            let (name, call) = (Name::of(&first), first.call);
            let session =
                std::iter::once(first).chain(std::iter::from_fn(|| rest.next_if(|it| Name::of(it) == name)));
            let session: Vec<Write> = session.collect();
            let process = self.process_of(call.tgid, now);
            if !self.policy.limits_scope() || self.policy.in_scope(process.as_deref()) {
                let leaks = self.leaks_to_unknown(session, &call, process.as_deref(), now);
                self.tell_all(leaks, now, ask);
            }
        }
    }

    fn leaks_to_unknown(
        &self,
        session: Vec<Write>,
        call: &TlsWrite,
        process: Option<&ProcessFacts>,
        now: Instant,
    ) -> Vec<(Option<Tie>, Leak)> {
        let lens = Self::lens(&self.keys, &self.policy, &self.proving);
        let lens = lens.of(Origin { process, comm: call.comm, ..Origin::default() });
        let (mut inspector, mut inspected) = (Inspector::stream(), Inspected::default());
        let tap = session.first().map_or("tls", Write::tap);
        let mut calls = TlsFlow::default();
        for write in session.into_iter().filter_map(|write| calls.write(write)) {
            inspector.push_write(&write, &lens, &mut inspected);
        }
        inspector.finish(&lens, &mut inspected);
        let teller = self.teller(now);
        let told = |finding| Told {
            finding,
            tap,
            encrypted: true,
            outcome: Outcome::Unknown,
            certain: false,
            evidence: None,
        };
        let leak = |it| teller.leak_to_unknown(call, process, told(it));
        inspected.findings.into_iter().filter_map(|it| Some((it.tie, leak(it)?))).collect()
    }
}
