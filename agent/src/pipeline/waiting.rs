//! Leaks that policy would not tell by their own score, and that wait for their field to prove itself: the first
//! citizens of a field are told with those that prove it.
//!
//! *Invariants*: a message's number is told once for each of its parts, also where it waits in several fields. What a
//! leak says of the time and of whether it was sent is from when it was seen. Policy is asked again when a field has
//! proven itself.
//!
//! *Limits*: [`WAITING_MAX`] leaks, [`OF_FIELD_MAX`] of a field, [`OF_CITIZEN_MAX`] of a citizen in a field, each for
//! [`WAIT_MAX`]. What finds no room of its field is dropped; where there is none at all, the oldest of the program
//! with the most. Dropped ones are counted and the log tells it, each time their number has doubled.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use cprvagt_cpr::{FieldId, Trial};
use cprvagt_report::{Leak, Part, Pseudonym};

/// Leaks that wait at most, at about a kilobyte each.
const WAITING_MAX: usize = 4096;
/// Leaks of one field that wait.
const OF_FIELD_MAX: usize = 32;
/// Leaks of one citizen in a field that wait: further messages with the same number must not keep out others.
const OF_CITIZEN_MAX: usize = 4;
/// How long a leak waits.
const WAIT_MAX: Duration = Duration::from_secs(86_400);
/// Messages remembered of which something was told that had waited.
const SETTLED_MAX: usize = 256;

/// A number in one part of one message: what is told once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mention {
    /// Which message of all.
    pub message: u64,
    /// The citizen.
    pub pseudonym: Pseudonym,
    /// The part.
    pub part: Part,
}

/// A leak, and what it takes for it to be told.
pub struct Waiter {
    /// As it will be told, but for confidence and score.
    pub leak: Leak,
    /// What is told once.
    pub mention: Mention,
    /// How its value fared.
    pub trial: Trial,
    /// When it was seen.
    pub since: Instant,
}

/// The leaks that wait, the oldest of each field first.
#[derive(Default)]
pub struct Waiting {
    fields: BTreeMap<FieldId, VecDeque<Waiter>>,
    len: usize,
    settled: VecDeque<Mention>,
    dropped_total: u64,
}

impl Waiting {
    /// Keeps a leak, if there is room.
    pub fn keep(&mut self, field: FieldId, waiter: Waiter) {
        let pseudonym = waiter.mention.pseudonym;
        let of_field = self.fields.get(&field);
        let of_citizen = |it: &&Waiter| it.mention.pseudonym == pseudonym;
        if of_field.is_some_and(|waiters| {
            waiters.len() >= OF_FIELD_MAX || waiters.iter().filter(of_citizen).count() >= OF_CITIZEN_MAX
        }) {
            return self.count_dropped();
        }
        if self.len >= WAITING_MAX {
            self.drop_one();
        }
        self.fields.entry(field).or_default().push_back(waiter);
        self.len += 1;
    }

    /// Takes out the leaks of a field that `is_told`, which may complete them, the oldest first.
    pub fn take(&mut self, field: FieldId, mut is_told: impl FnMut(&mut Waiter) -> bool) -> Vec<Leak> {
        let Some(waiters) = self.fields.remove(&field) else { return Vec::new() };
        self.len -= waiters.len();
        let mut told = Vec::new();
        for mut waiter in waiters {
            if !is_told(&mut waiter) {
                self.fields.entry(field).or_default().push_back(waiter);
                self.len += 1;
            } else if self.settle(waiter.mention) {
                told.push(waiter.leak);
            }
        }
        told
    }

    /// Notes that a mention is told and forgets the leaks of it that wait; false if it was told before.
    pub fn settle(&mut self, mention: Mention) -> bool {
        if self.settled.contains(&mention) {
            return false;
        }
        if self.settled.len() >= SETTLED_MAX {
            self.settled.pop_front();
        }
        self.settled.push_back(mention);
        self.retain(|waiter| waiter.mention != mention);
        true
    }

    /// Forgets a field's leaks.
    pub fn forget(&mut self, field: FieldId) {
        self.len -= self.fields.remove(&field).map_or(0, |waiters| waiters.len());
    }

    /// Forgets the leaks that have waited long enough.
    pub fn forget_old(&mut self, now: Instant) {
        self.retain(|waiter| now.saturating_duration_since(waiter.since) < WAIT_MAX);
    }

    fn retain(&mut self, is_kept: impl Fn(&Waiter) -> bool) {
        self.fields.retain(|_, waiters| {
            waiters.retain(&is_kept);
            !waiters.is_empty()
        });
        self.len = self.fields.values().map(VecDeque::len).sum();
    }

    /// Drops the oldest leak of the program with the most.
    fn drop_one(&mut self) {
        let mut programs: BTreeMap<u64, usize> = BTreeMap::new();
        for (field, waiters) in &self.fields {
            *programs.entry(field.program).or_default() += waiters.len();
        }
        let Some((&program, _)) = programs.iter().max_by_key(|(_, count)| **count) else { return };
        let of_program = FieldId { program, field: 0 }..=FieldId { program, field: u64::MAX };
        let fields = self.fields.range(of_program);
        let oldest = fields.min_by_key(|(_, waiters)| waiters.front().map(|waiter| waiter.since));
        let Some(field) = oldest.map(|(field, _)| *field) else { return };
        if let Some(waiters) = self.fields.get_mut(&field) {
            waiters.pop_front();
            self.len -= 1;
        }
        self.fields.retain(|_, waiters| !waiters.is_empty());
        self.count_dropped();
    }

    fn count_dropped(&mut self) {
        self.dropped_total += 1;
        if self.dropped_total.is_power_of_two() {
            tracing::warn!(
                dropped_total = self.dropped_total,
                "leaks of low confidence found no room to wait for their field to prove itself"
            );
        }
    }
}

#[cfg(test)]
#[path = "waiting_tests.rs"]
mod tests;
