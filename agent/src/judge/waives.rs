//! The rules that an entry waives; the kernel reads the two lowest bits.

use std::fmt;

use cprvagt_abi::{WAIVES_CLEARTEXT, WAIVES_NOT_ALLOWED};
use cprvagt_report::Rule;

/// A set of waivable rules.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Waives(u32);

impl Waives {
    /// Nothing is waived.
    pub const NONE: Self = Self(0);
    /// `not-allowed` is waived: the destination is allowed.
    pub const NOT_ALLOWED: Self = Self(WAIVES_NOT_ALLOWED);
    /// `cleartext` is waived, for mail too.
    pub const CLEARTEXT: Self = Self(WAIVES_CLEARTEXT);
    /// Mail may be readable, nothing else.
    pub const MAIL_CLEARTEXT: Self = Self(4);

    /// The waiver of one rule; `None` for a rule that cannot be waived.
    pub const fn of(rule: Rule) -> Option<Self> {
        match rule {
            Rule::NotAllowed => Some(Self::NOT_ALLOWED),
            Rule::Cleartext => Some(Self::CLEARTEXT),
            Rule::MailCleartext => Some(Self::MAIL_CLEARTEXT),
            _ => None,
        }
    }

    /// What either waives.
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What both waive.
    pub const fn both(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// True when all of `other` is waived.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The kernel's bits.
    pub const fn bits(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Waives {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waived = |rule: &&Rule| Self::of(**rule).is_some_and(|one| self.contains(one));
        let words: Vec<&str> = Rule::ALL.iter().filter(waived).map(|rule| rule.as_str()).collect();
        f.pad(&words.join("+"))
    }
}

const _: () = assert!(Waives::MAIL_CLEARTEXT.0 & (WAIVES_NOT_ALLOWED | WAIVES_CLEARTEXT) == 0);
