//! Ledgers, and times and sizes that an agent may tell: a host that was taken over tells any, and some have no place in a
//! calendar or overflow a sum.

use cprvagt_report::{Endpoint, Gap, Ledger, Moment, Process};
use jiff::Timestamp;

use super::Rescrub;

/// Earliest time that is kept.
pub(super) const EARLIEST: Timestamp = Timestamp::UNIX_EPOCH;
/// Latest time that is kept: 2200-01-01.
pub(super) const LATEST: Timestamp = Timestamp::constant(7_258_118_400, 0);
/// Most bytes in one line of a ledger, 256 TiB: every sum over a report's lines still fits.
const LINE_BYTES_MAX: u64 = 1 << 48;

impl Rescrub {
    /// The nearest time that is kept.
    pub(super) fn time(&self, told: Moment) -> Moment {
        let kept = Moment(told.0.clamp(EARLIEST, LATEST));
        self.changed.set(self.changed.get() + u64::from(kept != told));
        kept
    }

    pub(super) fn gap_times(&self, gap: Gap) -> Gap {
        Gap { from: self.time(gap.from), to: self.time(gap.to), ..gap }
    }

    fn ledger_bounds(&self, ledger: &mut Ledger) {
        (ledger.since, ledger.until) = (self.time(ledger.since), self.time(ledger.until));
        for unread in ledger.lost.iter_mut().chain(&mut ledger.blind) {
            unread.bytes = unread.bytes.min(LINE_BYTES_MAX);
        }
        for covered in &mut ledger.coverage {
            covered.wire_bytes = covered.wire_bytes.min(LINE_BYTES_MAX);
            covered.covered_bytes = covered.covered_bytes.min(LINE_BYTES_MAX);
        }
    }

    pub(super) fn ledger(&self, mut ledger: Ledger) -> Ledger {
        self.ledger_bounds(&mut ledger);
        for unread in ledger.lost.iter_mut().chain(&mut ledger.blind) {
            unread.reason = self.label(unread.reason.clone());
            self.ends(&mut unread.process, &mut unread.destination);
        }
        for covered in &mut ledger.coverage {
            self.ends(&mut covered.process, &mut covered.destination);
        }
        ledger.gaps = ledger.gaps.into_iter().map(|gap| self.gap(gap)).collect();
        ledger
    }

    /// Who sent, and where to.
    fn ends(&self, process: &mut Option<Process>, destination: &mut Option<Endpoint>) {
        *process = process.take().map(|process| self.process(process));
        if let Some(host) = destination.as_mut().and_then(|end| end.host.as_mut()) {
            *host = self.name(host.as_str());
        }
    }
}
