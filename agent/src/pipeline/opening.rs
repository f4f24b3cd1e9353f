//! Flows that begin: told by the kernel once, twice, once more after it forgot them, or not at all.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use cprvagt_abi::{Flow, Verdict};

use super::{Pipeline, flow::FlowState};

/// Within this time two processors that send on one UDP socket tell of the same flow, in whatever order. For the
/// kernel to have forgotten a flow since, all others of its table must have been used in between.
pub(super) const TOLD_TWICE_WITHIN: Duration = Duration::from_secs(1);

impl Pipeline {
    /// Takes a flow that the kernel tells of, by its clock at this time.
    pub(super) fn open(&mut self, kernel: Flow, at_ns: u64, now: Instant) {
        let process = self.process_of(kernel.owner.tgid, now);
        if self.policy.limits_scope() && !self.policy.in_scope(process.as_deref()) {
            self.out_of_scope.insert(kernel.id);
            return;
        }
        if let Some(known) = self.flows.get_mut(&kernel.id)
            && Duration::from_nanos(at_ns.abs_diff(known.opened_ns)) < TOLD_TWICE_WITHIN
        {
            known.who.count_at_least(kernel.wire_bytes, kernel.lost_bytes);
            return;
        }
        // A UDP flow that the kernel forgot comes back under its old id, and counts anew.
        let flow = FlowState::new(kernel, process, at_ns);
        if let Some(before) = self.flows.insert(kernel.id, flow) {
            self.enter(before);
        }
    }

    /// Flows that found no room in the ring to be announced: all of their bytes are lost.
    pub(super) fn open_unannounced(&mut self, kernel: &HashMap<u64, Flow>, now: Instant) {
        let is_unknown = |flow: &&Flow| {
            flow.announced == 0
                && flow.verdict == Verdict::Inspect as u32
                && !self.flows.contains_key(&flow.id)
        };
        for flow in kernel.values().filter(is_unknown).copied().collect::<Vec<_>>() {
            self.open(flow, 0, now);
        }
    }
}
