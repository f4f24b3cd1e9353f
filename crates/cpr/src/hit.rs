//! What the scanner reports about one candidate.

use core::fmt;

use crate::{Confidence, Number, Score, Standing, Trial, Why};

/// One candidate that passed grammar, gate and calendar, whatever its score.
pub struct Hit {
    /// Byte offset of the first digit.
    pub start: usize,
    /// Byte offset after the last digit.
    pub end: usize,
    /// The digits themselves.
    pub number: Number,
    /// Whose kind of number it is.
    pub class: Class,
    /// What the check digit says.
    pub checksum: Checksum,
    /// The sum of all evidence.
    pub score: Score,
    /// The band that `score` lies in.
    pub confidence: Confidence,
    /// How it was written.
    pub shape: Shape,
    /// What it says of its field, if it is the whole of a value.
    pub trial: Trial,
    /// Why it has its score.
    pub why: Why,
}

impl Hit {
    /// The score of a bare number that is the whole of a value, by what its field has shown.
    pub fn score_in(&self, standing: Standing) -> Score {
        match standing {
            Standing::Demoted => self.why.sum(),
            _ => standing.floor(self.trial).map_or(self.score, |floor| self.score.max(floor)),
        }
    }
}

/// Prints where and how sure, never which number.
impl fmt::Debug for Hit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hit")
            .field("range", &(self.start..self.end))
            .field("class", &self.class)
            .field("checksum", &self.checksum)
            .field("score", &self.score)
            .field("confidence", &self.confidence)
            .field("shape", &self.shape)
            .finish()
    }
}

/// The kind of number that a candidate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// A personnummer.
    Cpr,
    /// An erstatningspersonnummer: 60 added to the day
    /// (cpr.dk, "Erstatningspersonnummer i eksterne systemer").
    Replacement,
    /// A serial of MedCom's national test numbers (medcom.dk, "Nationale test-CPR-numre", 13-02-2023).
    /// The serials are not withheld from citizens, only assigned last.
    Test,
}

impl Class {
    /// The name used in a leak object: `cpr`, `replacement` or `test`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cpr => "cpr",
            Self::Replacement => "replacement",
            Self::Test => "test",
        }
    }
}

/// What the check digit says. It is evidence, never a gate: numbers without it have been issued since
/// October 2007 (cpr.dk, "Personnumre uden kontrolciffer").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Checksum {
    /// The modulus 11 control holds.
    Mod11,
    /// It does not hold, and the birth date is officially named as one that has such numbers.
    ListedDate,
    /// It does not hold.
    None,
}

impl Checksum {
    /// The name used in a leak object: `mod11`, `listed-date` or `none`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mod11 => "mod11",
            Self::ListedDate => "listed-date",
            Self::None => "none",
        }
    }
}

/// How the two halves of a number are separated, after percent-decoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// Ten digits in a row.
    Bare,
    /// The official form: `-`, or one of the Unicode characters that are hyphens (U+2010, U+2011).
    Hyphen,
    /// A space, no-break space or tab.
    Space,
    /// A figure dash, en dash or minus sign (U+2012, U+2013, U+2212).
    Dash,
    /// A hyphen between two spaces.
    SpacedHyphen,
    /// A full stop.
    Dot,
    /// A slash.
    Slash,
    /// An underscore.
    Underscore,
    /// A plus sign, which form encoding writes for a space.
    Plus,
    /// A soft hyphen (U+00AD), invisible on most screens.
    SoftHyphen,
    /// Separators also within the date, such as `dd.mm.yy-nnnn`.
    Dated,
}

impl Shape {
    /// The mask shown to people: ASCII, and no digit of the number, the birth date included.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bare | Self::SoftHyphen => "xxxxxxxxxx",
            Self::Hyphen | Self::Dash => "xxxxxx-xxxx",
            Self::Space => "xxxxxx xxxx",
            Self::SpacedHyphen => "xxxxxx - xxxx",
            Self::Dot => "xxxxxx.xxxx",
            Self::Slash => "xxxxxx/xxxx",
            Self::Underscore => "xxxxxx_xxxx",
            Self::Plus => "xxxxxx+xxxx",
            Self::Dated => "xx.xx.xx-xxxx",
        }
    }
}
