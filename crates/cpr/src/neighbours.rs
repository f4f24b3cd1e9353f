//! Candidates wait in a short queue before they are reported, because a sequence shows itself only by the numbers that
//! follow.

use crate::score::{Evidence, Why};
use crate::{Checksum, Hit, Number};

/// How many candidates back an arithmetic neighbour is looked for.
const NEIGHBOURS_MAX: usize = 16;

/// How far apart two members of a sequence are at most.
const NEIGHBOUR_DISTANCE_MAX: i64 = 100;

/// A candidate whose neighbours have not all been seen.
pub(crate) struct Pending {
    pub start: usize,
    pub end: usize,
    pub number: Number,
    pub evidence: Evidence,
}

impl Pending {
    /// Two members of a sequence. Two numbers that both carry the check digit are rather twins.
    fn is_neighbour_of(&self, other: &Self) -> bool {
        let apart = self.number.value().abs_diff(other.number.value());
        let both_pass =
            self.evidence.checksum == Checksum::Mod11 && other.evidence.checksum == Checksum::Mod11;
        (1..=NEIGHBOUR_DISTANCE_MAX.unsigned_abs()).contains(&apart) && !both_pass
    }

    fn into_hit(self) -> Hit {
        let score = self.evidence.score();
        Hit {
            start: self.start,
            end: self.end,
            number: self.number,
            class: self.evidence.class,
            checksum: self.evidence.checksum,
            score,
            confidence: score.confidence(),
            shape: self.evidence.shape,
            trial: self.evidence.trial(),
            why: Why::of(self.evidence),
        }
    }
}

/// The last candidates, oldest first from `next` on around the ring.
pub(crate) struct Neighbours {
    ring: [Option<Pending>; NEIGHBOURS_MAX],
    next: usize,
}

impl Neighbours {
    pub(crate) fn new() -> Self {
        Self { ring: [const { None }; NEIGHBOURS_MAX], next: 0 }
    }

    /// Reports the oldest candidate to make room, after marking neighbours on both sides.
    pub(crate) fn push(&mut self, mut new: Pending, found: &mut dyn FnMut(Hit)) {
        for old in self.ring.iter_mut().flatten() {
            let is_neighbour = old.is_neighbour_of(&new);
            old.evidence.has_neighbour |= is_neighbour;
            new.evidence.has_neighbour |= is_neighbour;
        }
        if let Some(oldest) = self.ring[self.next].replace(new) {
            found(oldest.into_hit());
        }
        self.next = (self.next + 1) % NEIGHBOURS_MAX;
    }

    /// Reports all that are left.
    pub(crate) fn flush(mut self, found: &mut dyn FnMut(Hit)) {
        for at in 0..NEIGHBOURS_MAX {
            if let Some(oldest) = self.ring[(self.next + at) % NEIGHBOURS_MAX].take() {
                found(oldest.into_hit());
            }
        }
    }
}
