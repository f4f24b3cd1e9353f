//! Which bytes of a content could be decoded, in runs.
//!
//! *Limits*: [`RUNS_MAX`]; what is beyond goes with the last run.

use std::collections::VecDeque;

use crate::window::Bound;

const RUNS_MAX: usize = 64;

/// Whether bytes could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// They were decoded.
    Read,
    /// A bound kept them from being decoded.
    Beyond(Bound),
    /// They speak for themselves.
    Unsaid,
}

/// Ends of runs and what they are.
#[derive(Default)]
pub(crate) struct Judged(VecDeque<(u64, Verdict)>);

impl Judged {
    /// What comes behind the last run and before `end` is so.
    pub(crate) fn up_to(&mut self, end: u64, verdict: Verdict) {
        let is_full = self.0.len() >= RUNS_MAX;
        match self.0.back_mut() {
            Some((last, known)) if *known == verdict || is_full => *last = end.max(*last),
            _ => self.0.push_back((end, verdict)),
        }
    }

    /// What the bytes at `offset` are, and where that ends.
    pub(crate) fn at(&self, offset: u64) -> (u64, Verdict) {
        let run = self.0.iter().find(|(end, _)| offset < *end);
        run.copied().unwrap_or((u64::MAX, Verdict::Unsaid))
    }

    /// Drops what ends before `offset`.
    pub(crate) fn forget(&mut self, offset: u64) {
        while self.0.front().is_some_and(|(end, _)| *end <= offset) {
            self.0.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs() {
        let mut judged = Judged::default();
        let beyond = Verdict::Beyond(Bound::Window);
        judged.up_to(10, Verdict::Read);
        judged.up_to(20, Verdict::Read);
        judged.up_to(30, beyond);
        let found = [0, 19, 20, 29, 30].map(|offset| judged.at(offset));
        let after = (u64::MAX, Verdict::Unsaid);
        assert_eq!(found, [(20, Verdict::Read), (20, Verdict::Read), (30, beyond), (30, beyond), after]);
        judged.forget(20);
        assert_eq!(judged.at(0), (30, beyond));
    }
}
