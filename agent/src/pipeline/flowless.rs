//! What is told of calls by themselves: writes whose flow nobody knows, and requests that servers have read.

use std::time::Instant;

use cprvagt_abi::TlsWrite;
use cprvagt_report::{Leak, Outcome};

use super::{Pipeline, Request, flow::Told, requests::Head};
use crate::{
    fields::Origin,
    inspect::{Inspected, Inspector, Tie},
    join::{tls_flow::TlsFlow, unbound::Name, writes::Write},
    process::ProcessFacts,
};

impl Pipeline {
    /// Tells the numbers that requests to a server of this host bring in their heads.
    pub(super) fn look_at_requests(&mut self, heads: Vec<Head>, now: Instant, ask: &mut dyn FnMut(Request)) {
        for head in heads {
            let Some(call) = head.first().map(|read| read.call) else { continue };
            let process = self.process_of(call.tgid, now);
            if self.policy.limits_scope() && !self.policy.in_scope(process.as_deref()) {
                continue;
            }
            let leaks = self.leaks_in_request(&head, &call, process.as_deref(), now);
            self.tell_all(leaks, now, ask);
        }
    }

    fn leaks_in_request(
        &self,
        head: &Head,
        call: &TlsWrite,
        process: Option<&ProcessFacts>,
        now: Instant,
    ) -> Vec<(Option<Tie>, Leak)> {
        let lens = Self::lens(&self.keys, &self.policy, &self.proving);
        let lens = lens.of(Origin { process, comm: call.comm, is_server: true, ..Origin::default() });
        let (mut inspector, mut inspected) = (Inspector::stream(), Inspected::default());
        head.iter().for_each(|read| inspector.push_write(read, &lens, &mut inspected));
        inspector.finish(&lens, &mut inspected);
        let (teller, flow) = (self.teller(now), self.flows.get(&call.flow));
        let tap = head.first().map_or("tls", Write::tap);
        let certain = flow.is_some();
        let told =
            |finding| Told { finding, tap, encrypted: true, outcome: Outcome::Sent, certain, evidence: None };
        let leak = |it| teller.leak_of_request(flow, call, process, told(it));
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
