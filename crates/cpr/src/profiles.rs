//! The fields of a host: which are known, and which are forgotten when there are too many.
//!
//! *Limits.* [`FIELDS_MAX`] fields. One without a value for [`FIELD_KEPT_S`] is forgotten. When there is no room, a
//! sixteenth goes at once, so that the cost of choosing is shared by as many new ones. Each program keeps its best
//! fields: those of which something is decided, then those that had a value last. The program with the most fields
//! loses first. So a program whose field names are made up by somebody, or noisy, pushes out its own fields alone
//! until it has no more than the others; and of its own those last of which something is decided, which takes two
//! passing values or fifty others for each.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::profile::Profile;
use crate::{Sighting, Standing};

/// Fields that are known at most, at some 1.6 KB each when full.
pub const FIELDS_MAX: usize = 4096;

/// How long a field without a value is remembered, in seconds: a week.
pub const FIELD_KEPT_S: i64 = 7 * 86_400;

/// Fields that go when there is no room.
const FORGOTTEN_AT_ONCE: usize = FIELDS_MAX / 16;

/// A field, told by hashes under a key of the caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldId {
    /// Of the program whose field it is.
    pub program: u64,
    /// Of everything that tells the field from others of that program.
    pub field: u64,
}

/// What the fields of a host have shown.
#[derive(Default)]
pub struct Profiles {
    fields: BTreeMap<FieldId, Profile>,
}

impl Profiles {
    /// Takes a value of a field; returns what the field is now. `now_s` are Unix seconds.
    pub fn take(&mut self, id: FieldId, sighting: Sighting, now_s: i64) -> Standing {
        if self.fields.len() >= FIELDS_MAX && !self.fields.contains_key(&id) {
            self.make_room(now_s);
        }
        let profile = self.fields.entry(id).or_insert_with(|| Profile::new(now_s));
        if is_stale(profile, now_s) {
            *profile = Profile::new(now_s);
        }
        profile.take(sighting, now_s);
        profile.standing(now_s)
    }

    /// What a field is at this moment; open if nothing is known of it.
    pub fn standing(&self, id: FieldId, now_s: i64) -> Standing {
        let known = self.fields.get(&id).filter(|profile| !is_stale(profile, now_s));
        known.map_or(Standing::Open, |profile| profile.standing(now_s))
    }

    /// How many fields are known.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    fn make_room(&mut self, now_s: i64) {
        self.fields.retain(|_, profile| !is_stale(profile, now_s));
        if self.fields.len() >= FIELDS_MAX {
            let mut ranked = self.ranked(now_s);
            ranked.sort_unstable_by_key(|&(rank, seen_s, _)| (core::cmp::Reverse(rank), seen_s));
            for (_, _, id) in ranked.iter().take(FORGOTTEN_AT_ONCE) {
                self.fields.remove(id);
            }
        }
    }

    /// Each field with the number of better ones of its program, and when it last had a value.
    fn ranked(&self, now_s: i64) -> Vec<(usize, i64, FieldId)> {
        let worth = |profile: &Profile| (profile.standing(now_s) != Standing::Open, profile.seen_s());
        let mut fields: Vec<_> = self.fields.iter().map(|(id, profile)| (*id, worth(profile))).collect();
        fields.sort_unstable_by_key(|&(id, worth)| (id.program, core::cmp::Reverse(worth)));
        let programs = fields.chunk_by(|(one, _), (other, _)| one.program == other.program);
        programs
            .flat_map(|of_one| of_one.iter().enumerate().map(|(rank, (id, worth))| (rank, worth.1, *id)))
            .collect()
    }
}

fn is_stale(profile: &Profile, now_s: i64) -> bool {
    now_s.saturating_sub(profile.seen_s()) > FIELD_KEPT_S
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Trial;

    fn id(program: u64, field: u64) -> FieldId {
        FieldId { program, field }
    }

    fn see(profiles: &mut Profiles, id: FieldId, value: u64, now_s: i64) -> Standing {
        profiles.take(id, Sighting { value, date: value, trial: Trial::Passes }, now_s)
    }

    /// How many of the first fields of a program are still known by more than nothing.
    fn likely(profiles: &Profiles, program: u64, fields: u64, now_s: i64) -> usize {
        (0..fields).filter(|&field| profiles.standing(id(program, field), now_s) >= Standing::Likely).count()
    }

    #[test]
    fn fields_do_not_mix() {
        let mut profiles = Profiles::default();
        assert_eq!(see(&mut profiles, id(1, 1), 1, 0), Standing::Open);
        assert_eq!(see(&mut profiles, id(1, 2), 2, 0), Standing::Open);
        assert_eq!(see(&mut profiles, id(2, 1), 2, 0), Standing::Open);
        assert_eq!(see(&mut profiles, id(1, 1), 2, 0), Standing::Likely);
        assert_eq!(profiles.standing(id(1, 1), 0), Standing::Likely);
        assert_eq!(profiles.standing(id(1, 2), 0), Standing::Open);
        assert_eq!(profiles.standing(id(9, 9), 0), Standing::Open);
    }

    #[test]
    fn a_noisy_program_pushes_out_its_own_fields() {
        let mut profiles = Profiles::default();
        for field in 0..100 {
            see(&mut profiles, id(1, field), 1, 0);
        }
        for field in 0..20 {
            see(&mut profiles, id(2, field), 1, 0);
            see(&mut profiles, id(2, field), 2, 0);
        }
        for field in 1000..100_000 {
            see(&mut profiles, id(2, field), 1, 1);
        }
        for field in 0..100 {
            assert_eq!(see(&mut profiles, id(1, field), 2, 2), Standing::Likely, "{field}");
        }
        assert_eq!(likely(&profiles, 2, 20, 2), 20, "what is decided goes last");
    }

    #[test]
    fn of_many_programs_the_oldest_fields_go() {
        let mut profiles = Profiles::default();
        for program in 0..2 * FIELDS_MAX as u64 {
            see(&mut profiles, id(program, 0), 1, i64::try_from(program).unwrap());
        }
        let (first, last) = (id(0, 0), id(2 * FIELDS_MAX as u64 - 1, 0));
        assert_eq!(see(&mut profiles, last, 2, 9000), Standing::Likely);
        assert_eq!(see(&mut profiles, first, 2, 9000), Standing::Open, "its first value is forgotten");
    }

    #[test]
    fn a_field_without_values_is_forgotten() {
        let (mut profiles, late) = (Profiles::default(), 2 * FIELD_KEPT_S + 1);
        see(&mut profiles, id(0, 0), 1, 0);
        assert_eq!(see(&mut profiles, id(0, 0), 2, FIELD_KEPT_S), Standing::Likely);
        see(&mut profiles, id(0, 0), 3, FIELD_KEPT_S);
        assert_eq!(profiles.standing(id(0, 0), late - 1), Standing::Certain);
        assert_eq!(profiles.standing(id(0, 0), late), Standing::Open);
        assert_eq!(see(&mut profiles, id(0, 0), 4, late), Standing::Open);
    }

    #[test]
    fn fields_without_values_make_room_first() {
        let mut profiles = Profiles::default();
        see(&mut profiles, id(0, 0), 1, 0);
        see(&mut profiles, id(0, 0), 2, 0);
        for field in 1..=FIELDS_MAX as u64 {
            see(&mut profiles, id(1, field), 1, FIELD_KEPT_S + 1);
        }
        assert_eq!(profiles.len(), FIELDS_MAX, "one went");
        assert_eq!(profiles.standing(id(0, 0), 0), Standing::Open);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn memory_is_bounded(programs in 1_u64..9000, seed in any::<u64>()) {
            let random = &mut fastrand::Rng::with_seed(seed);
            let mut profiles = Profiles::default();
            for now_s in 0..20_000 {
                let known = id(random.u64(0..programs), random.u64(0..200));
                see(&mut profiles, known, random.u64(0..3), now_s * random.i64(0..100));
                prop_assert!((1..=FIELDS_MAX).contains(&profiles.len()));
            }
        }

        #[test]
        fn the_same_value_never_promotes(fields in 1_u64..100, value in any::<u64>(), seed in any::<u64>()) {
            let random = &mut fastrand::Rng::with_seed(seed);
            let mut profiles = Profiles::default();
            for now_s in 0..2000 {
                let standing = see(&mut profiles, id(1, random.u64(0..fields)), value, now_s);
                prop_assert_eq!(standing, Standing::Open);
            }
        }
    }
}
