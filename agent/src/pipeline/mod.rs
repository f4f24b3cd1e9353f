//! From records to leaks: dispatches each record to its flow, and keeps the books.
//!
//! *Invariants*: records are taken in ring order; the clock only bounds how long something may wait.
//! *Limits*: [`FLOWS_MAX`] flows; a flow that ended is kept for [`ENDED_KEPT`], since a write on its
//! session may still be in the ring.

mod blind;
mod connections;
mod contradictions;
mod flow;
mod flowless;
mod identity;
mod leaks;
mod learned;
mod losses;
mod opening;
mod plain;
mod proving;
mod proxy;
mod relays;
mod renewed;
mod requests;
pub mod waiting;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use cprvagt_abi::{Counter, Flow, TlsHello, Verdict, WireData};
use cprvagt_report::{Host, Leak, Ledger};

use self::{
    blind::BlindSpots,
    connections::Connections,
    contradictions::Contradictions,
    flow::{FlowState, Told},
    leaks::Teller,
    learned::Learned,
    losses::Losses,
    proving::{Proving, now_unix},
    relays::Relays,
    renewed::Renewed,
    requests::Requests,
};
use crate::{
    fields::Origin,
    inspect::{Lens, Tie},
    join::{
        records::RecordHeader,
        unbound::Unbound,
        writes::{Write, Writes},
    },
    judge::Policy,
    ledger::Book,
    process::{FileRange, ProcessFacts, Processes},
    pseudonym::{Key, Sealer},
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

/// What makes citizens countable, and what seals their numbers.
pub struct Keys {
    /// Makes pseudonyms.
    pub key: Key,
    /// Seals numbers for the data controller; `None`: they are not kept in any form.
    pub sealer: Option<Sealer>,
}

/// The stages behind the taps.
pub struct Pipeline {
    policy: Policy,
    keys: Keys,
    host: Host,
    flows: HashMap<u64, FlowState>,
    /// Flows outside the scope of inspection: their records are dropped, and not in the ledger.
    out_of_scope: HashSet<u64>,
    restless: HashMap<u64, Instant>,
    writes: Writes,
    unbound: Unbound,
    renewed: Renewed,
    requests: Requests,
    connections: Connections,
    processes: Processes,
    book: Book,
    blind_spots: BlindSpots,
    proving: Proving,
    learned: Learned,
    contradictions: Contradictions,
    relays: Relays,
    losses: Losses,
}

impl Pipeline {
    /// Empty stages.
    pub fn new(policy: Policy, keys: Keys, host: Host, processes: Processes) -> Self {
        Self {
            policy,
            keys,
            host,
            flows: HashMap::new(),
            out_of_scope: HashSet::new(),
            restless: HashMap::new(),
            writes: Writes::default(),
            unbound: Unbound::default(),
            renewed: Renewed::default(),
            requests: Requests::default(),
            connections: Connections::default(),
            processes,
            book: Book::open(),
            blind_spots: BlindSpots::new(Instant::now()),
            proving: Proving::default(),
            learned: Learned::default(),
            contradictions: Contradictions::default(),
            relays: Relays::default(),
            losses: Losses::none(),
        }
    }

    /// Takes one record.
    pub fn take(&mut self, record: Record<'_>, now: Instant, ask: &mut dyn FnMut(Request)) {
        match record {
            Record::FlowOpen(open) => self.open(open.flow, open.head.at_ns, now),
            Record::FlowEnd(end) => self.end(&end.flow, now, ask),
            Record::WireData(data, bytes) => {
                self.learn(&data, bytes, now);
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
                let (header, flows) = (RecordHeader::of(&record), &self.flows);
                self.renewed.pass(&header, flows.get(&record.flow), |id| flows.contains_key(&id));
                self.on_flow(record.flow, now, ask, |flow, lens| flow.tls_record(header, lens));
            }
            Record::TlsWrite(call, bytes) => {
                let done = self.writes.begin(call, bytes);
                self.write_all(done, now, ask);
            }
            Record::TlsData(data, bytes) => {
                let done = self.writes.data(&data, bytes);
                self.write_all(done, now, ask);
            }
            Record::TlsWriteEnd(end) => {
                if let Some(write) = self.writes.end(&end) {
                    self.write(write, now, ask);
                }
            }
            Record::TlsFile(file) => {
                let range = FileRange::of(&file);
                let done = self.writes.file(&file, self.processes.file_part(&range));
                self.write_all(done, now, ask);
            }
            Record::ProcessSeen(seen) => {
                // Looked at now: it may be gone when its traffic is judged.
                self.processes.facts(seen.tgid, now);
            }
            Record::ProcessExec(exec) => {
                self.abandon(exec.tgid, now, ask);
                self.processes.exec(exec.tgid);
            }
            Record::ProcessExit(exit) => {
                self.abandon(exit.tgid, now, ask);
                self.processes.exit(exit.tgid, now);
            }
            Record::SiteTwice(twice) => {
                ask(Request::RemoveSecondSite { first: twice.first, second: twice.second })
            }
        }
    }

    fn lens<'a>(Keys { key, sealer }: &'a Keys, policy: &'a Policy, proving: &'a Proving) -> Lens<'a> {
        let (sealer, fields, origin) = (sealer.as_ref(), Some(&proving.fields), Origin::default());
        Lens { key, sealer, policy, fields, floor: None, origin, now_unix: now_unix() }
    }

    fn teller(&self, now: Instant) -> Teller<'_> {
        let Self { policy, host, learned, contradictions, relays, .. } = self;
        Teller { policy, host, scrubber: Scrubber::at(now_unix()), learned, contradictions, relays, now }
    }

    /// What a name server on this host answers to others, containers above all.
    fn learn(&mut self, data: &WireData, bytes: &[u8], now: Instant) {
        let is_whole = data.offset == 0 && data.left == 0;
        if is_whole && self.flows.get(&data.flow).is_some_and(FlowState::is_name_server) {
            self.learned.answer(bytes, now);
        }
    }

    fn process_of(&mut self, tgid: u32, now: Instant) -> Option<Arc<ProcessFacts>> {
        (tgid != 0).then(|| self.processes.facts(tgid, now))
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
        let lens = Self::lens(&self.keys, &self.policy, &self.proving);
        let told = act(flow, &flow.lens(&lens));
        if flow.is_handover() {
            self.relays.stir(id);
        }
        self.restless.insert(id, now);
        self.tell(id, told, now, ask);
    }

    fn tell(&mut self, id: u64, told: Vec<Told>, now: Instant, ask: &mut dyn FnMut(Request)) {
        match self.flows.get(&id) {
            Some(flow) if flow.is_handover() => return self.relays.note(flow, &told),
            Some(_) if !told.is_empty() => self.settle_handovers(),
            _ => {}
        }
        let Some(flow) = self.flows.get(&id) else { return };
        let teller = self.teller(now);
        let tied = |told: Told| (told.finding.tie, teller.leak(flow, told));
        let leaks: Vec<_> = told.into_iter().map(tied).filter_map(|(tie, leak)| Some((tie, leak?))).collect();
        self.tell_all(leaks, now, ask);
    }

    /// Tells leaks, after those that have waited for a field that is proven by now.
    fn tell_all(&mut self, leaks: Vec<(Option<Tie>, Leak)>, now: Instant, ask: &mut dyn FnMut(Request)) {
        let mut told = self.proving.take_proven(&self.policy);
        let settled =
            leaks.into_iter().filter_map(|(tie, leak)| self.proving.settle(tie, leak, &self.policy, now));
        told.extend(settled);
        for mut leak in told {
            self.say_if_not_read(&mut leak, now);
            self.book.leak();
            ask(Request::Tell(Box::new(leak)));
        }
    }

    fn end(&mut self, kernel: &Flow, now: Instant, ask: &mut dyn FnMut(Request)) {
        self.out_of_scope.remove(&kernel.id);
        self.on_flow(kernel.id, now, ask, |flow, lens| flow.close(*kernel, now, lens));
    }

    fn hello(&mut self, hello: &TlsHello, bytes: &[u8], now: Instant, ask: &mut dyn FnMut(Request)) {
        let by_random = self.unbound.take_by_random(&hello.random);
        let undrawn = if by_random.is_empty() { self.unbound.take_undrawn(hello.tgid) } else { Vec::new() };
        if hello.verdict != Verdict::Inspect as u32 || self.out_of_scope.contains(&hello.flow) {
            // Allowed, local, our own, or not to be read: what waited for this hello may be forgotten.
            return;
        }
        if !self.flows.contains_key(&hello.flow) {
            // The flow's opening was lost: where it goes is not known.
            return self.give_up(by_random.into_iter().chain(undrawn).collect(), now, ask);
        }
        self.on_flow(hello.flow, now, ask, |flow, lens| {
            let mut told = flow.hello(hello.random, bytes, lens);
            told.extend(by_random.into_iter().flat_map(|write| flow.write(write, false, lens)));
            told.extend(undrawn.into_iter().flat_map(|write| flow.write(write, true, lens)));
            told
        });
    }

    fn write_all(&mut self, writes: Vec<Write>, now: Instant, ask: &mut dyn FnMut(Request)) {
        writes.into_iter().for_each(|write| self.write(write, now, ask));
    }

    /// A whole write: to its flow, or to those that wait for theirs.
    fn write(&mut self, write: Write, now: Instant, ask: &mut dyn FnMut(Request)) {
        let id = self.renewed.flow_of(&write.call).unwrap_or(write.call.flow);
        if self.out_of_scope.contains(&id) {
            return;
        }
        if write.is_read() {
            return self.read(write, now, ask);
        }
        if self.flows.contains_key(&id) {
            let earlier = self.unbound.take_by_session(write.call.tgid, write.call.session);
            let writer = self.process_of(write.call.tgid, now);
            return self.on_flow(id, now, ask, |flow, lens| {
                // The writer is who sent it; a socket may have been opened by another process.
                flow.who.process = writer.or(flow.who.process.take());
                let mut told: Vec<Told> =
                    earlier.into_iter().flat_map(|write| flow.write(write, true, lens)).collect();
                told.extend(flow.write(write, false, lens));
                told
            });
        }
        let given_up = self.unbound.wait(write, now);
        self.give_up(given_up, now, ask);
    }

    /// A process ended or became another program: its half-made writes will not be finished, its sessions
    /// will not be bound.
    fn abandon(&mut self, tgid: u32, now: Instant, ask: &mut dyn FnMut(Request)) {
        let cut = self.writes.take_of_process(tgid);
        self.write_all(cut, now, ask);
        let abandoned = self.unbound.take_of_process(tgid);
        self.give_up(abandoned, now, ask);
        let lens = Self::lens(&self.keys, &self.policy, &self.proving);
        let heard = self.connections.end_of_process(tgid, &lens);
        self.tell_heard(heard, now, ask);
    }

    /// Looks after what waits. Call it a few times a second.
    pub fn tick(&mut self, now: Instant, ask: &mut dyn FnMut(Request)) {
        let is_quiet = |since: &Instant| now.saturating_duration_since(*since) >= QUIET_AFTER;
        let quiet: Vec<u64> =
            self.restless.iter().filter(|(_, since)| is_quiet(since)).map(|(id, _)| *id).collect();
        for id in quiet {
            self.restless.remove(&id);
            if let Some(flow) = self.flows.get_mut(&id) {
                let lens = Self::lens(&self.keys, &self.policy, &self.proving);
                let told = flow.quiet(&flow.lens(&lens));
                self.tell(id, told, now, ask);
            }
        }
        let overdue = self.unbound.take_overdue(now);
        self.give_up(overdue, now, ask);
        let overdue = self.requests.take_overdue(now);
        self.look_at_requests(overdue, now, ask);
        let heard = self.connections.settle(now, &Self::lens(&self.keys, &self.policy, &self.proving));
        self.tell_heard(heard, now, ask);
        let is_over = |ended: Instant| now.saturating_duration_since(ended) >= ENDED_KEPT;
        self.retire(|flow| flow.ended.is_some_and(is_over), now, ask);
        self.proving.forget_old(now);
        if self.blind_spots.is_due(now) {
            self.tell_blind_spots();
        }
    }

    /// Folds flows into the book; what they still hold is told.
    fn retire(&mut self, done: impl Fn(&FlowState) -> bool, now: Instant, ask: &mut dyn FnMut(Request)) {
        let gone: Vec<u64> = self.flows.iter().filter(|(_, flow)| done(flow)).map(|(id, _)| *id).collect();
        for id in gone {
            if let Some(flow) = self.flows.get_mut(&id) {
                let lens = Self::lens(&self.keys, &self.policy, &self.proving);
                let told = flow.finish(&flow.lens(&lens));
                self.tell(id, told, now, ask);
            }
            self.restless.remove(&id);
            self.relays.forget(id);
            if let Some(flow) = self.flows.remove(&id) {
                self.enter(flow);
            }
        }
    }

    fn enter(&mut self, mut flow: FlowState) {
        // Allowed flows that are read for the clear-text rule are not in the ledger: it is about
        // destinations that are not allowed.
        if flow.who.kernel.verdict != Verdict::Inspect as u32 {
            return;
        }
        flow.settle_account();
        let holder = leaks::holder(&flow, &Scrubber::at(now_unix()));
        self.blind_spots.tell(&flow.account, &holder);
        self.book.enter(flow.who.kernel.wire_bytes, &flow.account, &holder);
    }

    /// Whether so many flows are known that those the kernel has forgotten should be retired.
    pub fn is_crowded(&self) -> bool {
        self.flows.len() > FLOWS_MAX || self.out_of_scope.len() > FLOWS_MAX
    }

    /// Ends the flows that the kernel no longer has.
    pub fn forget_all_but(
        &mut self,
        kernel: &HashMap<u64, Flow>,
        now: Instant,
        ask: &mut dyn FnMut(Request),
    ) {
        self.out_of_scope.retain(|id| kernel.contains_key(id));
        let is_evicted =
            |flow: &&FlowState| flow.ended.is_none() && !kernel.contains_key(&flow.who.kernel.id);
        let evicted: Vec<u64> =
            self.flows.values().filter(is_evicted).map(|flow| flow.who.kernel.id).collect();
        for id in evicted {
            self.on_flow(id, now, ask, |flow, lens| flow.forget(now, lens));
        }
    }

    /// Notes what the kernel has lost since the last call.
    pub fn note_losses(&mut self, counters: &[u64; Counter::COUNT as usize]) {
        self.losses.note(counters, &mut self.book);
    }

    /// Takes another policy for all that is judged from now on.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// Whether an entry of the policy has expired.
    pub fn policy_is_outdated(&self, now_unix: i64) -> bool {
        self.policy.is_outdated(now_unix)
    }

    /// How many flows are known and have not ended.
    pub fn open_flows(&self) -> usize {
        self.flows.values().filter(|flow| flow.ended.is_none()).count()
    }

    /// The account as it is now: of the flows that have ended, and of those that go on and whose books balance
    /// with the kernel's totals. The others are entered when they do, or end.
    pub fn ledger(&self, kernel: &HashMap<u64, Flow>) -> Ledger {
        let mut book = self.book.clone();
        let scrubber = Scrubber::at(now_unix());
        let going_on =
            self.flows.iter().filter(|(_, flow)| flow.who.kernel.verdict == Verdict::Inspect as u32);
        for (id, flow) in going_on {
            if let Some(totals) = kernel.get(id)
                && let Some(account) = flow.balanced_account(totals)
            {
                book.enter(totals.wire_bytes, &account, &leaks::holder(flow, &scrubber));
            }
        }
        book.close()
    }

    /// Ends the run: everything that waits is told, every flow is entered with the kernel's totals.
    pub fn close(
        mut self,
        kernel: &HashMap<u64, Flow>,
        now: Instant,
        ask: &mut dyn FnMut(Request),
    ) -> Ledger {
        let cut = self.writes.take_all();
        self.write_all(cut, now, ask);
        let abandoned = self.unbound.take_all();
        self.give_up(abandoned, now, ask);
        let cut = self.requests.take_all();
        self.look_at_requests(cut, now, ask);
        let heard = self.connections.end_all(&Self::lens(&self.keys, &self.policy, &self.proving));
        self.tell_heard(heard, now, ask);
        self.open_unannounced(kernel, now);
        for (id, flow) in &mut self.flows {
            if let Some(totals) = kernel.get(id) {
                flow.count(*totals);
            }
        }
        self.retire(|_| true, now, ask);
        self.book.close()
    }
}

#[cfg(test)]
#[path = "pipeline_tests.rs"]
mod tests;
