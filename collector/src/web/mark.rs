//! A word that the style sheet may colour. The word alone says all: colour only helps to find it.

use cprvagt_report::Severity;

use super::danish;

/// A class of the style sheet, and the word.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Mark {
    /// Class in the style sheet.
    pub class: &'static str,
    /// What people read.
    pub words: &'static str,
}

impl Mark {
    /// `words`, coloured as `class`.
    pub const fn new(class: &'static str, words: &'static str) -> Self {
        Self { class, words }
    }

    /// A severity.
    pub const fn severity(severity: Severity) -> Self {
        Self { class: severity.as_str(), words: danish::severity(severity) }
    }

    /// Whether so many occurrences were encrypted, and so many readable, on the wire.
    pub const fn encryption(encrypted: u64, cleartext: u64) -> Self {
        match (encrypted, cleartext) {
            (0, 0) => Self::new("quiet", "Ikke kendt"),
            (_, 0) => Self::new("sealed", "Krypteret"),
            (0, _) => Self::new("clear", "Ukrypteret"),
            _ => Self::new("clear", "Delvis ukrypteret"),
        }
    }
}
