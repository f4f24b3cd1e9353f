//! How long the reader of the ring may sleep.
//!
//! The kernel wakes it for the first record after a while, and for a ring that fills (`ebpf/src/ring.rs`). After that
//! it looks every [`LOOK_EVERY`], since being woken for each record would cost twenty times the record, until nothing
//! has come for [`RESTLESS_FOR`]. That is twice as long as the kernel writes records without waking.

use std::time::{Duration, Instant};

/// How often the ring is looked at while records come.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How long it is looked at after the last record or wake-up.
const RESTLESS_FOR: Duration = Duration::from_millis(200);
/// A sleep is no longer than this: what waits is looked after so often.
pub const TICK_EVERY: Duration = Duration::from_millis(100);

/// When something last came.
pub struct Nap {
    woken: Instant,
}

impl Nap {
    /// Records may have been written without a wake-up already.
    pub const fn new(now: Instant) -> Self {
        Self { woken: now }
    }

    /// Records have come, or the kernel says so.
    pub const fn woken(&mut self, now: Instant) {
        self.woken = now;
    }

    /// How long to sleep now, if nothing wakes us.
    pub fn length(&self, now: Instant) -> Duration {
        let is_restless = now.saturating_duration_since(self.woken) < RESTLESS_FOR;
        if is_restless { LOOK_EVERY } else { TICK_EVERY }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_looks_often_until_nothing_has_come_for_a_while() {
        let start = Instant::now();
        let mut nap = Nap::new(start);
        assert_eq!(nap.length(start + RESTLESS_FOR - Duration::from_millis(1)), LOOK_EVERY);
        assert_eq!(nap.length(start + RESTLESS_FOR), TICK_EVERY);
        nap.woken(start + RESTLESS_FOR);
        assert_eq!(nap.length(start + RESTLESS_FOR), LOOK_EVERY);
    }
}
