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
//! What a clue weighs stands in [`crate::clue`]. The score is the sum of the reasons that [`Why`] gives, floor included.
//!
//! A strong name ("cpr") overrules a denying one and all doubts but the sequence: whoever calls a field so means
//! it. MedCom's test numbers fail modulus 11 on purpose, and their serials are rarer than the check digit
//! they lack, so a test serial counts like a check digit. No rule gives replacement numbers one, so its absence
//! there counts nothing.

use core::fmt;

use crate::clue::{Clue, Reason};
use crate::key::Naming;
use crate::{Checksum, Class, Shape, Trial};

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
        let sum = self.sum();
        Score { tenths: sum + self.floor().map_or(0, |(_, tenths)| tenths) }
    }

    /// What a bare number says of the field whose value it is.
    pub(crate) fn trial(&self) -> Trial {
        let passes = self.shape == Shape::Bare
            && self.class != Class::Replacement
            && self.check_digit().tenths() >= 0
            && self.is_of_living_age();
        match () {
            () if !passes => Trial::Fails,
            () if self.is_clock_time || self.has_neighbour || self.is_foreign => Trial::PassesInDoubt,
            () if self.is_epoch_second => Trial::PassesAsTime,
            () if self.naming.denied && !self.naming.strong => Trial::PassesUnlikeName,
            () => Trial::Passes,
        }
    }

    fn sum(&self) -> i16 {
        self.clues().into_iter().flatten().map(Clue::tenths).sum()
    }

    /// Each clue that there is. What counts nothing is among them only where its absence would be asked for.
    fn clues(&self) -> [Option<Clue>; 9] {
        let [time, foreign] = if self.naming.strong { [None; 2] } else { self.doubts() };
        let [name, weak] = self.names();
        let neighbour = self.has_neighbour.then_some(Clue::Neighbour);
        let (date, check_digit, form) = (Some(self.date()), Some(self.check_digit()), Some(self.form()));
        [Some(Clue::Prior), date, check_digit, form, name, weak, time, foreign, neighbour]
    }

    fn date(&self) -> Clue {
        if self.is_of_living_age() { Clue::BirthDate } else { Clue::OldBirthDate }
    }

    fn check_digit(&self) -> Clue {
        match (self.checksum, self.class) {
            (Checksum::Mod11, _) => Clue::CheckDigit,
            (_, Class::Test) => Clue::TestSerial,
            (Checksum::ListedDate, _) => Clue::ListedDate,
            (_, Class::Replacement) => Clue::ReplacementDay,
            (Checksum::None, Class::Cpr) => Clue::NoCheckDigit,
        }
    }

    fn form(&self) -> Clue {
        match self.shape {
            Shape::Bare => Clue::NoSeparator,
            Shape::Hyphen => Clue::OfficialForm,
            _ => Clue::OtherSeparator,
        }
    }

    fn names(&self) -> [Option<Clue>; 2] {
        let weak = self.naming.weak.then_some(Clue::WeakName);
        match self.naming {
            Naming { strong: true, .. } => [Some(Clue::StrongName), None],
            Naming { denied: true, .. } => [Some(Clue::DenyingName), weak],
            _ => [None, weak],
        }
    }

    /// What else it may be.
    fn doubts(&self) -> [Option<Clue>; 2] {
        let time = match (self.is_epoch_second, self.is_clock_time) {
            (true, _) => Some(Clue::EpochSecond),
            (_, true) => Some(Clue::ClockTime),
            _ => None,
        };
        [time, self.is_foreign.then_some(Clue::ForeignCheckDigit)]
    }

    /// The floor that raises the sum, and by how much.
    fn floor(&self) -> Option<(Clue, i16)> {
        let missing = Score::MEDIUM.tenths - self.sum();
        let clue = if self.shape == Shape::Hyphen { Clue::FormFloor } else { Clue::UrlFloor };
        (missing > 0 && self.has_floor()).then_some((clue, missing))
    }

    /// An epoch second is a frequent query value and a rare path segment: only the first loses its floor.
    fn has_floor(&self) -> bool {
        let stands_out = self.shape == Shape::Hyphen
            || self.is_whole_path_segment
            || (self.is_whole_query_value && !self.is_epoch_second);
        let is_doubted = self.is_clock_time || self.has_neighbour || self.naming.denied;
        let is_personnummer =
            self.class != Class::Replacement && self.check_digit().tenths() > 0 && self.is_of_living_age();
        is_personnummer && stands_out && (!is_doubted || self.naming.strong)
    }

    fn is_of_living_age(&self) -> bool {
        self.age_years <= AGE_YEARS_MAX
    }
}

/// Why a candidate has its score.
#[derive(Clone, Copy)]
pub struct Why {
    evidence: Evidence,
}

impl Why {
    pub(crate) fn of(evidence: Evidence) -> Self {
        Self { evidence }
    }

    /// What the clues come to without floors.
    pub(crate) fn sum(&self) -> Score {
        Score { tenths: self.evidence.sum() }
    }

    /// Each clue and what it added, in a fixed order; together they are the score. What does not apply is left out.
    pub fn reasons(&self) -> impl Iterator<Item = Reason> + use<> {
        let clues = self.evidence.clues().into_iter().flatten().map(|clue| (clue, clue.tenths()));
        let reason = |(clue, tenths)| Reason { clue, weight: Score { tenths } };
        clues.chain(self.evidence.floor()).map(reason)
    }
}

#[cfg(test)]
#[path = "score_tests.rs"]
mod tests;
