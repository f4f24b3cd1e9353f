//! What can speak for or against a candidate: each kind of clue, what it weighs, and what it means.
//!
//! *Invariants.* A clue says which kind of evidence there was, never what was read: no digit, no name, no date.
//!
//! *Units.* Tenths of a deciban.

use crate::Score;

/// A kind of evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Clue {
    /// Where every candidate begins: few of all tokens of ten digits are CPR numbers.
    Prior,
    /// The birth date is that of a person who may be alive.
    BirthDate,
    /// The birth date is that of somebody who would be very old.
    OldBirthDate,
    /// The modulus 11 control holds.
    CheckDigit,
    /// The serial is one of MedCom's test persons.
    TestSerial,
    /// The modulus 11 control does not hold, on a birth date that is officially named as one with such numbers.
    ListedDate,
    /// No rule gives a replacement number a check digit.
    ReplacementDay,
    /// The modulus 11 control does not hold.
    NoCheckDigit,
    /// Written in the official form, with a hyphen.
    OfficialForm,
    /// Written with another separator, or several.
    OtherSeparator,
    /// Ten digits in a row.
    NoSeparator,
    /// The field is called a CPR number.
    StrongName,
    /// The field is about a person.
    WeakName,
    /// The field is called something else.
    DenyingName,
    /// Read as seconds since 1970 it is a time near now.
    EpochSecond,
    /// Read as DDMMYYHHMM it is a time near now.
    ClockTime,
    /// It carries the check digit of another country's numbers.
    ForeignCheckDigit,
    /// Another candidate nearby differs by little.
    Neighbour,
    /// The floor under numbers in the official form.
    FormFloor,
    /// The floor under numbers that are a whole path segment or query value.
    UrlFloor,
}

impl Clue {
    /// What it weighs. Floors weigh what is missing, which depends on the other clues: 0 here.
    pub(crate) const fn tenths(self) -> i16 {
        match self {
            Self::Prior => -300,
            Self::BirthDate => 165,
            Self::OldBirthDate => 60,
            Self::CheckDigit | Self::TestSerial => 104,
            Self::NoCheckDigit => -100,
            Self::OfficialForm => 100,
            Self::OtherSeparator => 40,
            Self::StrongName => 250,
            Self::WeakName => 80,
            Self::DenyingName => -200,
            Self::EpochSecond => -200,
            Self::ClockTime => -150,
            Self::ForeignCheckDigit => -60,
            Self::Neighbour => -100,
            Self::ListedDate | Self::ReplacementDay | Self::NoSeparator => 0,
            Self::FormFloor | Self::UrlFloor => 0,
        }
    }

    /// A word for programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Prior => "prior",
            Self::BirthDate => "birth-date",
            Self::OldBirthDate => "old-birth-date",
            Self::CheckDigit => "check-digit",
            Self::TestSerial => "test-serial",
            Self::ListedDate => "listed-date",
            Self::ReplacementDay => "replacement-day",
            Self::NoCheckDigit => "no-check-digit",
            Self::OfficialForm => "official-form",
            Self::OtherSeparator => "other-separator",
            Self::NoSeparator => "no-separator",
            Self::StrongName => "strong-name",
            Self::WeakName => "weak-name",
            Self::DenyingName => "denying-name",
            Self::EpochSecond => "epoch-second",
            Self::ClockTime => "clock-time",
            Self::ForeignCheckDigit => "foreign-check-digit",
            Self::Neighbour => "neighbour",
            Self::FormFloor => "form-floor",
            Self::UrlFloor => "url-floor",
        }
    }

    /// What it means, for a person.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Prior => "where every ten digits begin: most are something else",
            Self::BirthDate => "the first six are a birth date of the last 110 years",
            Self::OldBirthDate => "the first six are a birth date, of more than 110 years ago",
            Self::CheckDigit => "the check digit (modulus 11) is right",
            Self::TestSerial => "the serial is one of MedCom's test persons",
            Self::ListedDate => "no check digit, but CPR names this birth date as one with such numbers",
            Self::ReplacementDay => "a replacement number (day + 60), which needs no check digit",
            Self::NoCheckDigit => "the check digit (modulus 11) is wrong",
            Self::OfficialForm => "written as CPR numbers are, with a hyphen",
            Self::OtherSeparator => "written in two or more pieces, with another separator",
            Self::NoSeparator => "ten digits in a row, as many other numbers are",
            Self::StrongName => "its field is called a CPR number",
            Self::WeakName => "its field is about a person",
            Self::DenyingName => {
                "its field is called something else: a time, an order, an account, a telephone"
            }
            Self::EpochSecond => "it is also a time near now, in seconds since 1970",
            Self::ClockTime => "it is also a date and a time of day near now",
            Self::ForeignCheckDigit => {
                "an Icelandic, Finnish or Swedish number would have the same check digit"
            }
            Self::Neighbour => "a number nearby differs by 100 or less, as in a sequence",
            Self::FormFloor => "raised to medium: hyphen and check digit together are enough",
            Self::UrlFloor => "raised to medium: alone in a URL's path or query, with a check digit",
        }
    }
}

/// One clue of a candidate and what it added to the score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Which.
    pub clue: Clue,
    /// What it added; below zero it speaks against.
    pub weight: Score,
}
