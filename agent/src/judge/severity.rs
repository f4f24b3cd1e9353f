//! How grave it is to break a rule, and what makes that less.

use cprvagt_abi::Role;
use cprvagt_report::{Class, Confidence, Rule, Severity};

use super::HitFacts;

/// How grave a hit is that an offline scan found, which knows nothing of recipients.
pub fn of_found(hit: &HitFacts) -> Severity {
    weighed(by_rule(Rule::Found, Role::Unknown, false), hit.class, hit.confidence)
}

/// By the rule alone, for a number of which it is sure that it is one; `known` is whether the recipient is one of those
/// that make it critical.
pub(super) fn by_rule(rule: Rule, role: Role, known: bool) -> Severity {
    match rule {
        Rule::CprInUrl if role != Role::Server => Severity::Critical,
        Rule::NotAllowed if known => Severity::Critical,
        Rule::MassExposure => Severity::Critical,
        Rule::CprInUrl | Rule::NotAllowed | Rule::Cleartext | Rule::MailCleartext => Severity::High,
        Rule::Found => Severity::Medium,
    }
}

/// The same of a number of this class and confidence.
pub(super) fn weighed(severity: Severity, class: Class, confidence: Confidence) -> Severity {
    let by_class = match class {
        Class::Cpr => severity,
        Class::Replacement => severity.lowered(),
        Class::Test => Severity::Low,
    };
    match confidence {
        Confidence::High | Confidence::Medium => by_class,
        Confidence::Low => by_class.lowered(),
        Confidence::None => by_class.lowered().lowered(),
    }
}
