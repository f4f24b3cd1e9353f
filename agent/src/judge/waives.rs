//! The rules that an entry waives, as the bits that the kernel holds.

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
    /// `cleartext` is waived.
    pub const CLEARTEXT: Self = Self(WAIVES_CLEARTEXT);

    /// The waiver of one rule; `None` for a rule that cannot be waived.
    pub const fn of(rule: Rule) -> Option<Self> {
        match rule {
            Rule::NotAllowed => Some(Self::NOT_ALLOWED),
            Rule::Cleartext => Some(Self::CLEARTEXT),
            _ => None,
        }
    }

    /// What either waives.
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
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
