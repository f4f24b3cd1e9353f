//! What fields have shown, and the leaks that wait for it.
//!
//! *Invariants*: a field is proven by what was written, seen to leave or not. Policy is asked when a leak waits and
//! again when it is told.

use std::time::Instant;

use cprvagt_cpr::{FieldId, Standing};
use cprvagt_report::{Leak, Moment};

use super::waiting::{Waiter, Waiting};
use crate::{
    fields::Fields,
    inspect::{self, Tie},
    judge::Policy,
};

/// See the module.
#[derive(Default)]
pub struct Proving {
    /// What fields have shown.
    pub fields: Fields,
    waiting: Waiting,
}

impl Proving {
    /// The leaks that have waited for a field which is proven by now, the oldest of each field first.
    pub fn take_proven(&mut self, policy: &Policy) -> Vec<Leak> {
        let Self { fields, waiting } = self;
        let mut proven = Vec::new();
        for field in fields.take_decided() {
            if fields.standing(field, now_unix()) == Standing::Demoted {
                waiting.forget(field);
            }
            proven.extend(waiting.take(field, |waiter| raise(fields, policy, field, waiter)));
        }
        proven
    }

    /// The leak, unless it has to wait, or its number was told of the same part of its message before.
    pub fn settle(&mut self, tie: Option<Tie>, leak: Leak, policy: &Policy, now: Instant) -> Option<Leak> {
        let Some(Tie { mention, waits }) = tie else { return Some(leak) };
        let Some((field, trial)) = waits else { return self.waiting.settle(mention).then_some(leak) };
        let mut waiter = Waiter { leak, mention, trial, since: now };
        if raise(&self.fields, policy, field, &mut waiter) {
            return self.waiting.settle(mention).then_some(waiter.leak);
        }
        self.waiting.keep(field, waiter);
        None
    }

    /// Forgets the leaks that have waited long enough.
    pub fn forget_old(&mut self, now: Instant) {
        self.waiting.forget_old(now);
    }
}

/// Whether a leak that waits is told by what its field is now; gives it the score that follows.
fn raise(fields: &Fields, policy: &Policy, field: FieldId, waiter: &mut Waiter) -> bool {
    let Some(floor) = fields.standing(field, now_unix()).floor(waiter.trial) else { return false };
    let leak = &mut waiter.leak;
    leak.score = leak.score.max(inspect::reported(floor));
    // The surest comes first.
    leak.confidence = leak.confidence.min(inspect::confidence(floor.confidence()));
    policy.tells(leak.class, leak.confidence)
}

/// Now, in seconds since 1970.
pub fn now_unix() -> i64 {
    Moment::now().0.as_second()
}
