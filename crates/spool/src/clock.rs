//! The age clock: how much time the spool has seen pass.
//!
//! Records must go when they are too old, yet a wall clock may be set a year ahead by mistake, or corrected
//! from a year behind, and nothing tells which of two times is right. So age is not the difference of two
//! wall clock times. The spool adds up the steps between the times it is told, each at most [`STEP_MAX`] and
//! none below zero; the sum is kept across restarts and stands in each record. A jump ahead ages everything by
//! an hour at most, a jump back by nothing.
//!
//! The price: time in which the host is off, or in which nobody calls, counts an hour at most. Records then live
//! longer than the bound says, and get a chance to be sent first.
//!
//! *Units*: milliseconds.

use core::time::Duration;

use jiff::Timestamp;

/// The longest step that counts whole.
pub const STEP_MAX: Duration = Duration::from_secs(3600);

/// Adds up the time that passed.
#[derive(Clone, Copy, Debug)]
pub struct AgeClock {
    passed_ms: u64,
    last: Option<Timestamp>,
}

impl AgeClock {
    /// Goes on from a sum and the wall clock time at which it was taken.
    pub fn new(passed_ms: u64, last: Option<Timestamp>) -> Self {
        Self { passed_ms, last }
    }

    /// The wall clock shows `now`.
    pub fn advance(&mut self, now: Timestamp) {
        let last = self.last.replace(now).unwrap_or(now);
        let step = Duration::try_from(now.duration_since(last)).unwrap_or_default().min(STEP_MAX);
        let step_ms = u64::try_from(step.as_millis()).expect("an hour at most");
        self.passed_ms = self.passed_ms.saturating_add(step_ms);
    }

    /// Milliseconds.
    pub fn passed_ms(&self) -> u64 {
        self.passed_ms
    }

    /// Whole seconds, as records hold them.
    pub fn passed_s(&self) -> u32 {
        u32::try_from(self.passed_ms / 1000).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(times_s: &[i64], expected_s: u32) {
        let mut clock = AgeClock::new(0, None);
        for &time in times_s {
            clock.advance(Timestamp::from_second(time).unwrap());
        }
        assert_eq!(clock.passed_s(), expected_s, "{times_s:?}");
    }

    #[test]
    fn jumps_count_an_hour_at_most() {
        const YEAR: i64 = 365 * 86_400;
        check(&[], 0);
        check(&[1000], 0);
        check(&[1000, 1010, 1070], 70);
        check(&[1000, 1000 + YEAR, 1010 + YEAR], 3610);
        check(&[1000 + YEAR, 1000, 1010], 10);
        check(&[1000, 1000 + YEAR, 1020, 1030], 3610);
    }

    #[test]
    fn many_small_steps_are_not_rounded_away() {
        let mut clock = AgeClock::new(0, None);
        for step in 0..=4000 {
            clock.advance(Timestamp::from_millisecond(step).unwrap());
        }
        assert_eq!(clock.passed_s(), 4);
    }
}
