//! Who handed a relay what it sends on.
//!
//! A relay (a mail server, a log forwarder, a proxy that connections are redirected to) takes what programs on this host
//! hand it, and sends it on under its own name. What goes to the ports of the relays that the configuration names is read
//! as what leaves is. Of each number that shows there, the keyed pseudonym is kept with the program that sent it: when the
//! relay leaks a number of the same citizen later, in ring order, it came from there, `likely`. The relay may have it from
//! elsewhere too, so it is never proven. Where several programs handed the relay that citizen's number, none is named.
//!
//! *Invariants*: pseudonyms only, in memory only. No clock: what was handed over counts until it is forgotten.
//! *Limits*: [`HANDED_MAX`] pairs of a relay's port and a citizen, at least half of them remembered; those that were handed
//! over least recently go first, and then show as `not-seen`. One step back: what one relay hands another is told of the
//! first relay.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use cprvagt_report::{Direction, Handover, Leak, Proof, Pseudonym, Relayed};

use super::{
    Pipeline,
    flow::{FlowState, Told},
    leaks::process_of,
};
use crate::{process::ProcessFacts, recent::Recent, scrub::Scrubber};

/// What was handed over is remembered of so many pairs of a port and a citizen.
pub const HANDED_MAX: usize = 8_192;

/// See the module.
#[derive(Default)]
pub struct Relays {
    handed: Recent<(u16, Pseudonym), Giver, HANDED_MAX>,
    /// Flows to relays whose decoder may hold something back.
    unsettled: HashSet<u64>,
}

/// Who handed over a citizen's number.
#[derive(Clone)]
enum Giver {
    Program(Arc<ProcessFacts>),
    /// Several, or one that is not known.
    Unclear,
}

impl Relays {
    /// A flow to a relay has something new.
    pub fn stir(&mut self, flow: u64) {
        self.unsettled.insert(flow);
    }

    /// A flow to a relay is over.
    pub fn forget(&mut self, flow: u64) {
        self.unsettled.remove(&flow);
    }

    /// The flows whose decoders should settle before a relay's leak is looked at.
    pub fn take_unsettled(&mut self) -> HashSet<u64> {
        std::mem::take(&mut self.unsettled)
    }

    /// Notes what was found on a flow to a relay.
    pub fn note(&mut self, flow: &FlowState, told: &[Told]) {
        let port = flow.who.remote().port();
        let sender = if told.is_empty() { None } else { sender(flow) };
        for told in told {
            let key = (port, told.finding.pseudonym);
            let giver = match (self.handed.get(&key), &sender) {
                (None, Some(process)) => Giver::Program(Arc::clone(process)),
                (Some(Giver::Program(before)), Some(process)) if is_same(before, process) => {
                    Giver::Program(Arc::clone(process))
                }
                _ => Giver::Unclear,
            };
            self.handed.insert(key, giver);
        }
    }

    /// What is known of who handed this citizen's number to the relay at these ports.
    pub fn trace(&self, ports: &[u16], citizen: Pseudonym, scrubber: &Scrubber) -> Relayed {
        let mut givers = ports.iter().filter_map(|port| self.handed.get(&(*port, citizen)));
        let first = givers.next();
        let is_same_giver = |first: &Giver, other: &Giver| match (first, other) {
            (Giver::Program(first), Giver::Program(other)) => is_same(first, other),
            _ => false,
        };
        match first {
            None => unknown(Handover::NotSeen),
            Some(giver @ Giver::Program(process)) if givers.all(|other| is_same_giver(giver, other)) => {
                let from = Some(process_of(process, scrubber));
                Relayed { handover: Handover::Same, proof: Proof::Likely, from }
            }
            Some(_) => unknown(Handover::Unclear),
        }
    }
}

impl Pipeline {
    /// Has all that was handed to relays looked at: its decoders may wait for more, and what the relay sends on may be told
    /// before they do.
    pub(super) fn settle_handovers(&mut self) {
        let lens = Self::lens(&self.keys, &self.policy, &self.proving).on_host();
        for id in self.relays.take_unsettled() {
            if let Some(flow) = self.flows.get_mut(&id) {
                let told = flow.quiet(&lens);
                self.relays.note(flow, &told);
            }
        }
    }

    /// Says of a leak whose process takes connections from this host, and is no relay that the configuration names, that
    /// what it takes is not read.
    pub(super) fn say_if_not_read(&mut self, leak: &mut Leak, now: Instant) {
        let pid = leak.process.as_ref().and_then(|process| process.pid);
        let is_sender = leak.relayed.is_none() && leak.direction == Some(Direction::Egress);
        if is_sender && pid.is_some_and(|pid| self.processes.takes_from_host(pid, now)) {
            leak.relayed = Some(unknown(Handover::NotRead));
        }
    }
}

fn unknown(handover: Handover) -> Relayed {
    Relayed { handover, proof: Proof::Unknown, from: None }
}

/// Who opened a flow. Of one that had ended before it was looked at the kernel itself has told the name.
fn sender(flow: &FlowState) -> Option<Arc<ProcessFacts>> {
    let process = flow.who.process.as_ref()?;
    if process.comm.is_some() {
        return Some(Arc::clone(process));
    }
    let comm = flow.who.kernel.owner.comm.split(|byte| *byte == 0).next().unwrap_or_default();
    let comm = Some(String::from_utf8_lossy(comm).into_owned());
    Some(Arc::new(ProcessFacts { comm, ..ProcessFacts::clone(process) }))
}

/// Whether two processes run the same program in the same place. Where the executable is not known they may not.
fn is_same(one: &ProcessFacts, other: &ProcessFacts) -> bool {
    let place = |it: &ProcessFacts| (it.exe.clone(), it.unit.clone(), it.container.clone());
    one.pid == other.pid && one.started_at == other.started_at
        || one.exe.is_some() && place(one) == place(other)
}
