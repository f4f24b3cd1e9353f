//! What the values of one field have shown so far, and what follows for the next one.
//!
//! A bare number without a name proves little: of random ten-digit values two in a thousand name a living person's
//! birth date and carry the check digit. Two of two in one field prove much: among random ones that are four pairs in
//! a million (docs/precision.md has the computation).
//!
//! | distinct values | of them passing | standing |
//! |---|---|---|
//! | two | both | likely: a passing value is medium |
//! | three or more | 80 % or more | certain: a passing value is high, also one with a doubt or a denying name |
//! | 50 or more | 5 % or less | demoted: its place in a URL lifts no value any more |
//!
//! A value counts once, however often it comes. Two values with one birth date count as none: members of a sequence,
//! and times that begin alike, share their first digits, and then the second check digit is no independent evidence.
//! A value within the epoch band counts once the field has shown one outside of it.
//!
//! *Invariants.* The counts are those of a set: they do not depend on the order in which values came, as long as
//! no more than [`VALUES_MAX`] have. No value is kept, only what the caller's keyed hash made of it.
//!
//! *Limits.* The last [`VALUES_MAX`] distinct values are counted, exactly; older ones are forgotten. What was likely
//! or certain stays so for [`PROVEN_KEPT_S`] after the counts last said so, unless they demote it.

use alloc::vec::Vec;

use crate::Score;

/// Distinct values that are counted: enough to demote by, and to see a field change its use.
pub(crate) const VALUES_MAX: usize = 64;

/// How long a field stays proven, in seconds: a day.
pub(crate) const PROVEN_KEPT_S: i64 = 86_400;

const LIKELY_VALUES_MIN: usize = 2;
const CERTAIN_VALUES_MIN: usize = 3;
const CERTAIN_PERCENT_MIN: usize = 80;
const DEMOTED_VALUES_MIN: usize = 50;
const DEMOTED_PERCENT_MAX: usize = 5;

/// How one value of a field fared by the rules for single numbers. Passing is: the birth date of a living person, with
/// a check digit, a listed date or a test serial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trial {
    /// No number, or one that does not pass.
    Fails,
    /// It passes, and may be chance: a foreign number, a time of day, a member of a sequence. Does not count as
    /// passing.
    PassesInDoubt,
    /// It passes, and is near now as a Unix time. Counts where another value of the field passes that is not.
    PassesAsTime,
    /// It passes, and the field's name says that it is something else.
    PassesUnlikeName,
    /// It passes.
    Passes,
}

/// What a field has shown itself to be, in rising order of trust.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// Its values are something else.
    Demoted,
    /// Nothing is decided.
    Open,
    /// Its values are probably personnumre.
    Likely,
    /// Its values are personnumre.
    Certain,
}

impl Standing {
    /// The least score of a value of such a field, or nothing where its own score stands.
    pub fn floor(self, trial: Trial) -> Option<Score> {
        match (self, trial) {
            (_, Trial::Fails) => None,
            (Self::Certain, _) => Some(Score::HIGH),
            (Self::Likely, Trial::Passes | Trial::PassesAsTime) => Some(Score::MEDIUM),
            _ => None,
        }
    }
}

/// One value of a field, told by hashes under a key of the caller's. They are compared for equality alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// Of the ten digits.
    pub value: u64,
    /// Of the first six digits.
    pub date: u64,
    /// How the value fared.
    pub trial: Trial,
}

/// The distinct values of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    pub distinct: usize,
    pub passing: usize,
}

impl Counts {
    fn standing(self) -> Standing {
        let Self { distinct, passing } = self;
        match () {
            () if distinct >= DEMOTED_VALUES_MIN && passing * 100 <= distinct * DEMOTED_PERCENT_MAX => {
                Standing::Demoted
            }
            () if distinct >= CERTAIN_VALUES_MIN && passing * 100 >= distinct * CERTAIN_PERCENT_MIN => {
                Standing::Certain
            }
            () if distinct >= LIKELY_VALUES_MIN && passing == distinct => Standing::Likely,
            () => Standing::Open,
        }
    }
}

/// One field.
pub(crate) struct Profile {
    /// Distinct values; once there are [`VALUES_MAX`], a ring whose oldest is at `next`.
    values: Vec<Sighting>,
    next: usize,
    counted: Standing,
    /// What the counts last proved, and when.
    proven: Option<(Standing, i64)>,
    seen_s: i64,
}

impl Profile {
    pub(crate) fn new(now_s: i64) -> Self {
        Self { values: Vec::new(), next: 0, counted: Standing::Open, proven: None, seen_s: now_s }
    }

    /// Takes a value; a value that came before changes nothing, unless it fares worse now.
    pub(crate) fn take(&mut self, new: Sighting, now_s: i64) {
        self.seen_s = now_s;
        match self.values.iter_mut().find(|known| known.value == new.value) {
            Some(known) if known.trial <= new.trial => {}
            Some(known) => known.trial = new.trial,
            None => self.add(new),
        }
        self.counted = self.counts().standing();
        match self.counted {
            Standing::Demoted => self.proven = None,
            Standing::Open => {}
            Standing::Likely | Standing::Certain => {
                self.proven = Some((self.counted.max(self.standing(now_s)), now_s));
            }
        }
    }

    /// What the field is at this moment.
    pub(crate) fn standing(&self, now_s: i64) -> Standing {
        let is_kept = |proven_s: i64| now_s.saturating_sub(proven_s) <= PROVEN_KEPT_S;
        match self.proven {
            Some((proven, proven_s)) if is_kept(proven_s) => proven.max(self.counted),
            _ => self.counted,
        }
    }

    /// When the field last had a value.
    pub(crate) fn seen_s(&self) -> i64 {
        self.seen_s
    }

    pub(crate) fn counts(&self) -> Counts {
        let is_outside = self.count(&[Trial::Passes, Trial::PassesUnlikeName]);
        let in_band = if is_outside > 0 { self.count(&[Trial::PassesAsTime]) } else { 0 };
        Counts { distinct: self.values.len(), passing: is_outside + in_band }
    }

    /// The values of these kinds that share their date with no other value.
    fn count(&self, kinds: &[Trial]) -> usize {
        let is_alone = |it: &&Sighting| self.values.iter().filter(|other| other.date == it.date).count() == 1;
        self.values.iter().filter(|it| kinds.contains(&it.trial)).filter(is_alone).count()
    }

    fn add(&mut self, new: Sighting) {
        if self.values.len() < VALUES_MAX {
            return self.values.push(new);
        }
        self.values[self.next] = new;
        self.next = (self.next + 1) % VALUES_MAX;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::vec::Vec;

    use super::*;

    const TRIALS: [Trial; 5] =
        [Trial::Fails, Trial::PassesInDoubt, Trial::PassesAsTime, Trial::PassesUnlikeName, Trial::Passes];

    /// Values of dates of their own, by letter: `+` passes, `n` unlike its name, `t` as a time, `?` in doubt, `-`
    /// fails; a digit passes and has that date.
    fn profile(values: &str) -> Profile {
        let mut profile = Profile::new(0);
        for (value, letter) in (1000..).zip(values.chars()) {
            let trial = match letter {
                'n' => Trial::PassesUnlikeName,
                't' => Trial::PassesAsTime,
                '?' => Trial::PassesInDoubt,
                '-' => Trial::Fails,
                _ => Trial::Passes,
            };
            let date = letter.to_digit(10).map_or(value, u64::from);
            profile.take(Sighting { value, date, trial }, 0);
        }
        profile
    }

    fn check(values: &str, expected: Standing) {
        assert_eq!(profile(values).counts().standing(), expected, "{values}");
    }

    #[test]
    fn standings() {
        use Standing::{Certain, Demoted, Likely, Open};
        check("", Open);
        check("+", Open);
        check("++", Likely);
        check("+-", Open);
        check("+++", Certain);
        check("++-", Open);
        check("-+++", Open);
        check("-++++", Certain);
        check("nn", Likely);
        check("nnn", Certain);
        // Doubts count against.
        check("+?", Open);
        check("++++?", Certain);
        // Times count beside one that is none.
        check("tttttt", Open);
        check("t+", Likely);
        check("tt+", Certain);
        check("tt-", Open);
        // One date for two values.
        check("11", Open);
        check("12", Likely);
        check("1234455", Open);
        check("11+++++++", Open);
        check("11++++++++", Certain);
        check(&"-".repeat(49), Open);
        check(&"-".repeat(50), Demoted);
        check(&("-".repeat(48) + "++"), Demoted);
        check(&("-".repeat(47) + "+++"), Open);
        check(&("-".repeat(61) + "+++"), Demoted);
        check(&("-".repeat(60) + "++++"), Open);
    }

    #[test]
    fn who_is_lifted() {
        let floors = |standing: Standing| TRIALS.map(|trial| standing.floor(trial));
        let (medium, high) = (Some(Score::MEDIUM), Some(Score::HIGH));
        assert_eq!(floors(Standing::Demoted), [None; 5]);
        assert_eq!(floors(Standing::Open), [None; 5]);
        assert_eq!(floors(Standing::Likely), [None, None, medium, None, medium]);
        assert_eq!(floors(Standing::Certain), [None, high, high, high, high]);
    }

    #[test]
    fn the_same_value_counts_once_and_keeps_its_worst_trial() {
        let mut profile = Profile::new(0);
        let mut take = |trial| {
            profile.take(Sighting { value: 1, date: 1, trial }, 0);
            profile.counts()
        };
        for _ in 0..1000 {
            assert_eq!(take(Trial::Passes), Counts { distinct: 1, passing: 1 });
        }
        assert_eq!(take(Trial::Fails), Counts { distinct: 1, passing: 0 });
        assert_eq!(take(Trial::Passes), Counts { distinct: 1, passing: 0 });
    }

    #[test]
    fn proven_for_a_day_unless_demoted() {
        let mut profile = profile("++");
        profile.take(Sighting { value: 1, date: 1, trial: Trial::Fails }, 10);
        assert_eq!(profile.standing(PROVEN_KEPT_S), Standing::Likely);
        assert_eq!(profile.standing(PROVEN_KEPT_S + 1), Standing::Open);
        assert_eq!(profile.standing(-PROVEN_KEPT_S), Standing::Likely, "a clock that was set back");
        for value in 2..=48 {
            let standing = profile.standing(20);
            assert_eq!(standing, Standing::Likely, "{value}");
            profile.take(Sighting { value, date: value, trial: Trial::Fails }, 20);
        }
        assert_eq!(profile.standing(20), Standing::Demoted);
    }

    #[test]
    fn a_field_that_changes_its_use_is_seen_anew() {
        let mut profile = profile(&"-".repeat(200));
        let certain_from = (1..=VALUES_MAX).find(|&passed| {
            let value = passed as u64;
            profile.take(Sighting { value, date: value, trial: Trial::Passes }, 0);
            profile.standing(0) == Standing::Certain
        });
        assert_eq!(certain_from, Some(52), "80 % of the last 64");
        let demoted_from = (1..=VALUES_MAX).find(|&failed| {
            let value = 10_000 + failed as u64;
            profile.take(Sighting { value, date: value, trial: Trial::Fails }, 0);
            profile.standing(0) == Standing::Demoted
        });
        assert_eq!(demoted_from, Some(61), "the first twelve that failed came before");
    }

    prop_compose! {
        fn any_sighting()(value in 0_u64..80, date in 0_u64..30, trial in proptest::sample::select(&TRIALS[..]))
            -> Sighting
        {
            // The date follows from the value, as it does in numbers.
            Sighting { value: value * 30 + date, date, trial }
        }
    }

    /// What is counted, by the book: each value with its worst trial, dates that nobody shares.
    fn oracle(values: &[Sighting]) -> Counts {
        let mut worst = std::collections::BTreeMap::new();
        for it in values {
            let trial = worst.entry((it.value, it.date)).or_insert(it.trial);
            *trial = it.trial.min(*trial);
        }
        let alone = |date: u64| worst.keys().filter(|(_, other)| *other == date).count() == 1;
        let of =
            |kind: Trial| worst.iter().filter(|((_, date), trial)| **trial == kind && alone(*date)).count();
        let outside = of(Trial::Passes) + of(Trial::PassesUnlikeName);
        let band = if outside == 0 { 0 } else { of(Trial::PassesAsTime) };
        Counts { distinct: worst.len(), passing: outside + band }
    }

    proptest! {
        #[test]
        fn counts_are_those_of_a_set(
            values in proptest::collection::vec(any_sighting(), 0..VALUES_MAX),
            order in any::<u64>(),
        ) {
            let take_all = |values: &[Sighting]| {
                let mut profile = Profile::new(0);
                values.iter().for_each(|it| profile.take(*it, 0));
                profile.counts()
            };
            let mut shuffled: Vec<Sighting> = values.iter().chain(&values).copied().collect();
            fastrand::Rng::with_seed(order).shuffle(&mut shuffled);
            prop_assert_eq!(take_all(&values), oracle(&values));
            prop_assert_eq!(take_all(&shuffled), oracle(&values));
        }
    }
}
