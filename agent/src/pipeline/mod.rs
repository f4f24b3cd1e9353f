//! From records to leaks: dispatches each record to its flow, and keeps the books.
//!
//! *Invariants*: records are taken in ring order; the clock only bounds how long something may wait.
//! *Limits*: [`FLOWS_MAX`] flows; a flow that ended is kept for [`ENDED_KEPT`], since a write on its
//! session may still be in the ring.

mod flow;
mod leaks;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use cprvagt_abi::{Counter, Flow, FlowOpen, TlsHello, TlsWrite, Verdict};
use cprvagt_report::{Host, Leak, Ledger, Moment};

use self::{
    flow::{FlowState, Told},
    leaks::Teller,
};
use crate::{
    inspect::{Inspected, Inspector, Lens},
    join::{records::RecordHeader, unbound::Unbound, writes::{Write, Writes}},
    judge::Policy,
    ledger::Book,
    process::{ProcessFacts, Processes},
    pseudonym::Key,
    record::Record,
    scrub::Scrubber,
};

/// Flows that are kept at most; the kernel keeps as many.
const FLOWS_MAX: usize = 65_536;
/// How long a flow that ended is kept.
const ENDED_KEPT: Duration = Duration::from_secs(2);
/// How long no bytes must have come before a decoder settles what it has.
const QUIET_AFTER: Duration = Duration::from_millis(300);

/// What the pipeline asks its owner to do.
pub enum Request {
    /// Show or send a leak.
    Tell(Box<Leak>),
    /// Remove the second of two probes on one file.
    RemoveSecondSite {
        /// Fires first.
        first: u32,
        /// Is to go.
        second: u32,
    },
}

/// The stages behind the taps.
pub struct Pipeline {
    policy: Policy,
    key: Key,
    host: Host,
    flows: HashMap<u64, FlowState>,
    /// Flows outside the scope of inspection: their records are dropped, and not in the ledger.
    out_of_scope: HashSet<u64>,
    restless: HashMap<u64, Instant>,
    writes: Writes,
    unbound: Unbound,
    processes: Processes,
    book: Book,
    lost_before: Losses,
}

/// The kernel's loss counters at one moment.
#[derive(Clone, Copy)]
struct Losses {
    at: Moment,
    bytes: u64,
    records: u64,
}

impl Pipeline {
    /// Empty stages.
    pub fn new(policy: Policy, key: Key, host: Host) -> Self {
        Self {
            policy,
            key,
            host,
            flows: HashMap::new(),
            out_of_scope: HashSet::new(),
            restless: HashMap::new(),
            writes: Writes::default(),
            unbound: Unbound::default(),
            processes: Processes::default(),
            book: Book::open(),
            lost_before: Losses { at: Moment::now(), bytes: 0, records: 0 },
        }
    }

    /// Takes one record.
    pub fn take(&mut self, record: Record<'_>, now: Instant, ask: &mut dyn FnMut(Request)) {
        match record {
            Record::FlowOpen(open) => self.open(&open, now),
            Record::FlowEnd(end) => self.end(&end.flow, now, ask),
            Record::WireData(data, bytes) => {
                self.on_flow(data.flow, now, ask, |flow, lens| flow.wire_data(&data, bytes, lens));
            }
            Record::TlsHello(hello, bytes) => self.hello(&hello, bytes, now, ask),
            Record::TlsAnswer(answer, bytes) => {
                self.on_flow(answer.flow, now, ask, |flow, _| {
                    flow.answer(bytes);
                    Vec::new()
                });
            }
            Record::TlsRecord(record) => {
                let header = RecordHeader { content: record.content, length: record.length };
                self.on_flow(record.flow, now, ask, |flow, lens| flow.tls_record(header, lens));
            }
            Record::TlsWrite(call, bytes) => {
                if let Some(write) = self.writes.begin(call, bytes) {
                    self.write(write, now, ask);
                }
            }
            Record::TlsData(data, bytes) => self.writes.data(&data, bytes),
            Record::TlsWriteEnd(end) => {
                if let Some(write) = self.writes.end(&end) {
                    self.write(write, now, ask);
                }
            }
            Record::ProcessExec(exec) => self.processes.exec(exec.tgid, None, now),
            Record::ProcessExit(exit) => self.exit(exit.tgid, now, ask),
            Record::SiteTwice(twice) => ask(Request::RemoveSecondSite { first: twice.first, second: twice.second }),
        }
    }

    fn lens<'a>(key: &'a Key) -> Lens<'a> {
        Lens { key, now_unix: Moment::now().0.as_second() }
    }

    fn teller(&self) -> Teller<'_> {
        let scrubber = Scrubber::at(Moment::now().0.as_second());
        Teller { policy: &self.policy, host: &self.host, scrubber }
    }

    fn process_of(&mut self, tgid: u32, now: Instant) -> Option<Arc<ProcessFacts>> {
        (tgid != 0).then(|| self.processes.facts(tgid, now))
    }

    fn open(&mut self, open: &FlowOpen, now: Instant) {
        let process = self.process_of(open.flow.owner.tgid, now);
        if self.policy.limits_scope() && !self.policy.in_scope(process.as_deref()) {
            self.out_of_scope.insert(open.flow.id);
            return;
        }
        self.flows.insert(open.flow.id, FlowState::new(open.flow, process));
    }

    /// Does something with a flow, and tells what came out.
    fn on_flow(
        &mut self,
        id: u64,
        now: Instant,
        ask: &mut dyn FnMut(Request),
        act: impl FnOnce(&mut FlowState, &Lens<'_>) -> Vec<Told>,
    ) {
        let Some(flow) = self.flows.get_mut(&id) else { return };
        let told = act(flow, &Self::lens(&self.key));
        self.restless.insert(id, now);
        self.tell(id, told, ask);
    }

    fn tell(&mut self, id: u64, told: Vec<Told>, ask: &mut dyn FnMut(Request)) {
        let Some(flow) = self.flows.get(&id) else { return };
        let teller = self.teller();
        let leaks: Vec<Leak> = told.into_iter().filter_map(|told| teller.leak(flow, told)).collect();
        self.tell_all(leaks, ask);
    }

    fn tell_all(&mut self, leaks: Vec<Leak>, ask: &mut dyn FnMut(Request)) {
        for leak in leaks {
            self.book.leak();
            ask(Request::Tell(Box::new(leak)));
        }
    }

    fn end(&mut self, kernel: &Flow, now: Instant, ask: &mut dyn FnMut(Request)) {
        self.out_of_scope.remove(&kernel.id);
        self.on_flow(kernel.id, now, ask, |flow, lens| {
            flow.kernel = *kernel;
            flow.ended = Some(now);
            flow.finish(lens)
        });
    }

    fn hello(&mut self, hello: &TlsHello, bytes: &[u8], now: Instant, ask: &mut dyn FnMut(Request)) {
        let by_random = self.unbound.take_by_random(&hello.random);
        let undrawn = if by_random.is_empty() { self.unbound.take_undrawn(hello.tgid) } else { Vec::new() };
        if hello.verdict != Verdict::Inspect as u32 {
            // Allowed, local or our own: what waited for this hello may be forgotten.
            return;
        }
        self.on_flow(hello.flow, now, ask, |flow, lens| {
            let told = flow.hello(bytes, lens);
            by_random.into_iter().for_each(|write| flow.write(write, false, lens));
            undrawn.into_iter().for_each(|write| flow.write(write, true, lens));
            told
        });
    }

    /// A whole write: to its flow, or to those that wait for theirs.
    fn write(&mut self, write: Write, now: Instant, ask: &mut dyn FnMut(Request)) {
        let id = write.call.flow;
        if self.out_of_scope.contains(&id) {
            return;
        }
        if self.flows.contains_key(&id) {
            let earlier = self.unbound.take_by_session(write.call.tgid, write.call.session);
            let writer = self.process_of(write.call.tgid, now);
            return self.on_flow(id, now, ask, |flow, lens| {
                // The writer is who sent it; a socket may have been opened by another process.
                flow.process = writer.or(flow.process.take());
                earlier.into_iter().for_each(|write| flow.write(write, true, lens));
                flow.write(write, false, lens);
                Vec::new()
            });
        }
        let given_up = self.unbound.wait(write, now);
        self.give_up(given_up, now, ask);
    }

    /// Tells what is in writes whose flow nobody knows: reported, never dropped, never invented.
    fn give_up(&mut self, writes: Vec<Write>, now: Instant, ask: &mut dyn FnMut(Request)) {
        for write in writes {
            let process = self.process_of(write.call.tgid, now);
            if self.policy.limits_scope() && !self.policy.in_scope(process.as_deref()) {
                continue;
            }
            let leaks = self.leaks_to_unknown(&write, process.as_deref());
            self.tell_all(leaks, ask);
        }
    }

    fn leaks_to_unknown(&self, write: &Write, process: Option<&ProcessFacts>) -> Vec<Leak> {
        let lens = Self::lens(&self.key);
        let (mut inspector, mut inspected) = (Inspector::stream(), Inspected::default());
        write.for_each(&mut |piece| match piece {
            Ok(bytes) => inspector.push(bytes, &lens, &mut inspected),
            Err(missing) => inspector.gap(missing, &lens, &mut inspected),
        });
        inspector.finish(&lens, &mut inspected);
        let teller = self.teller();
        let call: &TlsWrite = &write.call;
        let told = |finding| Told { finding, tap: write.tap(), sent: false, certain: false };
        inspected.findings.into_iter().filter_map(|it| teller.leak_to_unknown(call, process, told(it))).collect()
    }

    /// A process ended: its half-made write will not be finished, its sessions will not be bound.
    fn exit(&mut self, tgid: u32, now: Instant, ask: &mut dyn FnMut(Request)) {
        while let Some(write) = self.writes.take_of_process(tgid) {
            self.write(write, now, ask);
        }
        let abandoned = self.unbound.take_of_process(tgid);
        self.give_up(abandoned, now, ask);
        self.processes.exit(tgid, now);
    }

    /// Looks after what waits. Call it a few times a second.
    pub fn tick(&mut self, now: Instant, ask: &mut dyn FnMut(Request)) {
        let quiet: Vec<u64> = self.restless.iter().filter(|(_, since)| now.saturating_duration_since(**since) >= QUIET_AFTER).map(|(id, _)| *id).collect();
        for id in quiet {
            self.restless.remove(&id);
            if let Some(flow) = self.flows.get_mut(&id) {
                let told = flow.quiet(&Self::lens(&self.key));
                self.tell(id, told, ask);
            }
        }
        let overdue = self.unbound.take_overdue(now);
        self.give_up(overdue, now, ask);
        self.retire(|flow| flow.ended.is_some_and(|ended| now.saturating_duration_since(ended) >= ENDED_KEPT));
    }

    /// Folds flows into the book.
    fn retire(&mut self, done: impl Fn(&FlowState) -> bool) {
        let gone: Vec<u64> = self.flows.iter().filter(|(_, flow)| done(flow)).map(|(id, _)| *id).collect();
        for id in gone {
            self.restless.remove(&id);
            if let Some(mut flow) = self.flows.remove(&id) {
                self.enter(&mut flow);
            }
        }
    }

    fn enter(&mut self, flow: &mut FlowState) {
        // Allowed flows that are read for the clear-text rule are not in the ledger: it is about
        // destinations that are not allowed.
        if flow.kernel.verdict != Verdict::Inspect as u32 {
            return;
        }
        flow.settle_account();
        let holder = self.teller().holder(flow);
        self.book.enter(flow.kernel.wire_bytes, &flow.account, &holder);
    }

    /// Whether so many flows are known that those the kernel has forgotten should be retired.
    pub fn is_crowded(&self) -> bool {
        self.flows.len() > FLOWS_MAX || self.out_of_scope.len() > FLOWS_MAX
    }

    /// Ends the flows that the kernel no longer has.
    pub fn forget_all_but(&mut self, kernel: &HashMap<u64, Flow>, now: Instant, ask: &mut dyn FnMut(Request)) {
        self.out_of_scope.retain(|id| kernel.contains_key(id));
        let evicted: Vec<Flow> =
            self.flows.values().filter(|flow| !kernel.contains_key(&flow.kernel.id)).map(|flow| flow.kernel).collect();
        for flow in evicted {
            self.end(&flow, now, ask);
        }
    }

    /// Notes what the kernel has lost since the last call.
    pub fn note_losses(&mut self, counters: &[u64; Counter::COUNT as usize]) {
        let bytes = counters[Counter::WireLostBytes as usize] + counters[Counter::TlsLostBytes as usize];
        let now = Losses { at: Moment::now(), bytes, records: counters[Counter::ControlLost as usize] };
        let before = self.lost_before;
        self.book.lost_between(before.at, now.at, now.bytes - before.bytes, now.records - before.records);
        self.lost_before = now;
    }

    /// Ends the run: everything that waits is told, every flow is entered with the kernel's totals.
    pub fn close(mut self, kernel: &HashMap<u64, Flow>, now: Instant, ask: &mut dyn FnMut(Request)) -> Ledger {
        while let Some(write) = self.writes.take_any() {
            self.write(write, now, ask);
        }
        let abandoned = self.unbound.take_all();
        self.give_up(abandoned, now, ask);
        let ids: Vec<u64> = self.flows.keys().copied().collect();
        for id in ids {
            self.on_flow(id, now, ask, |flow, lens| {
                if let Some(totals) = kernel.get(&id) {
                    flow.kernel = *totals;
                }
                flow.finish(lens)
            });
        }
        self.retire(|_| true);
        self.book.close()
    }
}
