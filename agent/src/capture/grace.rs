//! Shortens the wait for the first probe of a library that has just been mapped.
//!
//! A kernel puts a probe in place only when every processor has passed a quiet moment (a grace period of its RCU),
//! which takes 7 to 20 ms on a system at rest. A program that was just started has sent its first request by then.
//! `/sys/kernel/rcu_expedited` has grace periods asked of the processors at once, by interrupts, which takes less
//! than one. It is set while an event is opened and not longer.
//!
//! *Invariants*: where somebody has set it already, it stays as it is; a kernel that was started with
//! `rcupdate.rcu_normal=1`, as real-time kernels are, does not heed it.
//! *Limits*: killed in that moment, the agent leaves it set: every grace period of the system is then short, until
//! somebody writes 0 or the system is started anew.

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
};

const KNOB: &str = "/sys/kernel/rcu_expedited";

/// Grace periods, as far as this process may shorten them.
#[derive(Debug)]
pub(super) struct GracePeriods {
    knob: Option<File>,
}

impl GracePeriods {
    /// Opens the switch. Without the right to it, or where it is set already, nothing is ever switched.
    pub(super) fn find() -> Self {
        Self::at(KNOB)
    }

    fn at(path: &str) -> Self {
        let is_off = fs::read_to_string(path).is_ok_and(|value| value.trim() == "0");
        Self { knob: is_off.then(|| OpenOptions::new().write(true).open(path).ok()).flatten() }
    }

    /// Short from now until the result is dropped.
    pub(super) fn shorten(&self) -> Shortened<'_> {
        self.set(b"1");
        Shortened(self)
    }

    fn set(&self, value: &[u8]) {
        // Without it probes come later, which is all.
        let _ = self.knob.as_ref().map(|mut knob| knob.write_all(value));
    }
}

/// Grace periods are short while this is there.
pub(super) struct Shortened<'a>(&'a GracePeriods);

impl Drop for Shortened<'_> {
    fn drop(&mut self) {
        self.0.set(b"0");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file keeps every write, where the switch keeps the last.
    #[test]
    fn it_is_set_for_a_moment_and_only_where_it_was_not() {
        let folder = tempfile::tempdir().unwrap();
        let check = |value: &str, expected: &str| {
            let path = folder.path().join("switch");
            fs::write(&path, value).unwrap();
            let periods = GracePeriods::at(path.to_str().unwrap());
            drop(periods.shorten());
            drop(periods.shorten());
            assert_eq!(fs::read_to_string(&path).unwrap(), expected, "{value:?}");
        };
        check("0\n", "1010");
        check("1\n", "1\n");
        check("", "");
        assert!(GracePeriods::at("/nowhere/switch").knob.is_none());
    }
}
