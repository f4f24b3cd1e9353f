//! How sure: the sum of the evidence, in decibans.
//!
//! A deciban is 10 log10 of a likelihood ratio, so independent evidence adds. The prior and each weight are
//! starting values: computed where a rate can be computed (a random ten-digit token names a birth date of the
//! last 110 years in 2.26 % of cases, and passes modulus 11 in 9.09 %), estimated elsewhere.
//!
//! Two floors lie under the sum, because a leak of the TastSelv kind carries no keyword: a personnummer with
//! check digit is at least medium if written in the official hyphenated form, or if it is the whole of a path
//! segment or query value. A denying name and a structural doubt (a time stamp, a sequence) remove them; the
//! chance collisions with foreign numbers do not.
//!
//! A strong name ("cpr") overrules a denying one and all doubts but the sequence: whoever calls a field so means
//! it. MedCom's test numbers fail modulus 11 on purpose, and their serials are rarer than the check digit
//! they lack, so a test serial counts like a check digit. No rule gives replacement numbers one, so its absence
//! there counts nothing.

use core::fmt;

use crate::key::Naming;
use crate::{Checksum, Class, Shape, Trial};

/// All weights, in tenths of a deciban.
mod weight {
    pub(super) const PRIOR: i16 = -300;
    pub(super) const DATE: i16 = 165;
    pub(super) const OLD_DATE: i16 = 60;
    pub(super) const CHECK_DIGIT: i16 = 104;
    pub(super) const NO_CHECK_DIGIT: i16 = -100;
    pub(super) const OFFICIAL_FORM: i16 = 100;
    pub(super) const OTHER_SEPARATOR: i16 = 40;
    pub(super) const STRONG_NAME: i16 = 250;
    pub(super) const WEAK_NAME: i16 = 80;
    pub(super) const DENYING_NAME: i16 = -200;
    pub(super) const EPOCH_SECOND: i16 = -200;
    pub(super) const CLOCK_TIME: i16 = -150;
    pub(super) const FOREIGN: i16 = -60;
    pub(super) const NEIGHBOUR: i16 = -100;
}

/// The oldest age that counts as a living person's.
const AGE_YEARS_MAX: i64 = 110;

/// Evidence for and against a candidate, in decibans.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Score {
    tenths: i16,
}

impl Score {
    /// The least that is medium.
    pub(crate) const MEDIUM: Self = Self { tenths: 100 };
    /// The least that is high.
    pub(crate) const HIGH: Self = Self { tenths: 200 };

    /// Tenths of a deciban, exactly; between -1,000 and 1,000.
    pub fn tenths(self) -> i16 {
        self.tenths
    }

    /// Decibans, to one decimal.
    pub fn decibans(self) -> f32 {
        f32::from(self.tenths) / 10.0
    }

    /// The band that this score lies in.
    pub fn confidence(self) -> Confidence {
        match self.tenths {
            200.. => Confidence::High,
            100.. => Confidence::Medium,
            -50.. => Confidence::Low,
            _ => Confidence::None,
        }
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1}", self.decibans())
    }
}

/// Bands of the score, in rising order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Confidence {
    /// Below -5 decibans: passes grammar and calendar, and nothing more.
    None,
    /// -5 and more: for audits and field profiles.
    Low,
    /// +10 and more: reported by default.
    Medium,
    /// +20 and more.
    High,
}

impl Confidence {
    /// The name used in a leak object: `high`, `medium`, `low` or `none`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// All that is known of one candidate.
#[derive(Clone, Copy)]
pub(crate) struct Evidence {
    pub age_years: i64,
    pub class: Class,
    pub checksum: Checksum,
    pub shape: Shape,
    pub naming: Naming,
    /// Read as a number of seconds it is a time near now.
    pub is_epoch_second: bool,
    /// Read as DDMMYYHHMM it is a time near now.
    pub is_clock_time: bool,
    /// It carries another country's check digit.
    pub is_foreign: bool,
    /// Another candidate nearby differs by little.
    pub has_neighbour: bool,
    /// It is the whole of a path segment.
    pub is_whole_path_segment: bool,
    /// It is the whole of a query value.
    pub is_whole_query_value: bool,
}

impl Evidence {
    /// The score, floors applied.
    pub(crate) fn score(&self) -> Score {
        if self.has_floor() { self.sum().max(Score::MEDIUM) } else { self.sum() }
    }

    /// The sum, without floors.
    pub(crate) fn sum(&self) -> Score {
        let tenths =
            weight::PRIOR + self.date() + self.check_digit() + self.form() + self.name() + self.doubts();
        Score { tenths }
    }

    /// What a bare number says of the field whose value it is.
    pub(crate) fn trial(&self) -> Trial {
        let passes = self.shape == Shape::Bare
            && self.class != Class::Replacement
            && self.check_digit() >= 0
            && self.is_of_living_age();
        match () {
            () if !passes => Trial::Fails,
            () if self.is_clock_time || self.has_neighbour || self.is_foreign => Trial::PassesInDoubt,
            () if self.is_epoch_second => Trial::PassesAsTime,
            () if self.naming.denied && !self.naming.strong => Trial::PassesUnlikeName,
            () => Trial::Passes,
        }
    }

    fn date(&self) -> i16 {
        if self.is_of_living_age() { weight::DATE } else { weight::OLD_DATE }
    }

    fn check_digit(&self) -> i16 {
        match (self.checksum, self.class) {
            (Checksum::Mod11, _) | (_, Class::Test) => weight::CHECK_DIGIT,
            (Checksum::ListedDate, _) | (_, Class::Replacement) => 0,
            (Checksum::None, Class::Cpr) => weight::NO_CHECK_DIGIT,
        }
    }

    fn form(&self) -> i16 {
        match self.shape {
            Shape::Bare => 0,
            Shape::Hyphen => weight::OFFICIAL_FORM,
            _ => weight::OTHER_SEPARATOR,
        }
    }

    fn name(&self) -> i16 {
        let weak = if self.naming.weak { weight::WEAK_NAME } else { 0 };
        match self.naming {
            Naming { strong: true, .. } => weight::STRONG_NAME,
            Naming { denied: true, .. } => weight::DENYING_NAME + weak,
            _ => weak,
        }
    }

    fn doubts(&self) -> i16 {
        let neighbour = if self.has_neighbour { weight::NEIGHBOUR } else { 0 };
        if self.naming.strong {
            return neighbour;
        }
        let time = match (self.is_epoch_second, self.is_clock_time) {
            (true, _) => weight::EPOCH_SECOND,
            (_, true) => weight::CLOCK_TIME,
            _ => 0,
        };
        neighbour + time + if self.is_foreign { weight::FOREIGN } else { 0 }
    }

    /// An epoch second is a frequent query value and a rare path segment: only the first loses its floor.
    fn has_floor(&self) -> bool {
        let stands_out = self.shape == Shape::Hyphen
            || self.is_whole_path_segment
            || (self.is_whole_query_value && !self.is_epoch_second);
        let is_doubted = self.is_clock_time || self.has_neighbour || self.naming.denied;
        let is_personnummer =
            self.class != Class::Replacement && self.check_digit() > 0 && self.is_of_living_age();
        is_personnummer && stands_out && (!is_doubted || self.naming.strong)
    }

    fn is_of_living_age(&self) -> bool {
        self.age_years <= AGE_YEARS_MAX
    }
}
