//! The kernel's loss counters, and what they have grown by.

use cprvagt_abi::Counter;
use cprvagt_report::Moment;

use crate::ledger::Book;

/// The counters at one moment.
#[derive(Clone, Copy)]
pub struct Losses {
    at: Moment,
    bytes: u64,
    records: u64,
}

impl Losses {
    /// Nothing was lost so far.
    pub fn none() -> Self {
        Self { at: Moment::now(), bytes: 0, records: 0 }
    }

    /// Enters what was lost since the last call.
    pub fn note(&mut self, counters: &[u64; Counter::COUNT as usize], book: &mut Book) {
        let bytes = counters[Counter::WireLostBytes as usize] + counters[Counter::TlsLostBytes as usize];
        let now = Self { at: Moment::now(), bytes, records: counters[Counter::ControlLost as usize] };
        book.lost_between(self.at, now.at, now.bytes - self.bytes, now.records - self.records);
        *self = now;
    }
}
