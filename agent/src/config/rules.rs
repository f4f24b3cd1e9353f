//! `[rules]`, and `rules` of a `[[system]]`: which rules hold, how grave each is, and how many citizens are many.

use cprvagt_report::{Rule, Severity};
use cprvagt_settings::Table;

use super::sections::{expect_some, integer, word, words};

/// The rules that a policy can break, in the order of weight.
const RULES: [Rule; 5] =
    [Rule::CprInUrl, Rule::NotAllowed, Rule::Cleartext, Rule::MassExposure, Rule::MailCleartext];

/// How rules are tuned; what is not said is left to what is less specific.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Rules {
    /// Rules that are not applied.
    pub off: Vec<Rule>,
    /// How grave it is to break a rule.
    pub severity: Vec<(Rule, Severity)>,
    /// More distinct citizens than this in one response are `mass-exposure`.
    pub mass_exposure_citizens: Option<u32>,
}

impl Rules {
    /// How grave it is to break `rule`, where that was said.
    pub fn severity_of(&self, rule: Rule) -> Option<Severity> {
        self.severity.iter().find(|(it, _)| *it == rule).map(|(_, severity)| *severity)
    }
}

/// The rules in a table.
pub(super) fn read(table: &Table<'_, '_>) -> Rules {
    table.expect_keys(&["off", "severity", "mass_exposure_citizens"]);
    expect_some(table, "off", "leave it out");
    Rules {
        off: words(table, "off", &RULES.map(Rule::as_str), Rule::from_word),
        severity: table.table("severity", "severity").map_or_else(Vec::new, |it| severities(&it)),
        mass_exposure_citizens: citizens(table),
    }
}

fn severities(table: &Table<'_, '_>) -> Vec<(Rule, Severity)> {
    table.expect_keys(&RULES.map(Rule::as_str));
    let valid: Vec<&str> = Severity::ALL.iter().map(|severity| severity.as_str()).collect();
    let read = |rule: Rule| {
        let value = table.value(rule.as_str())?;
        let severity = word(table, rule.as_str(), value, &valid).and_then(Severity::from_word)?;
        Some((rule, severity))
    };
    RULES.into_iter().filter_map(read).collect()
}

fn citizens(table: &Table<'_, '_>) -> Option<u32> {
    let value = table.value("mass_exposure_citizens")?;
    let citizens =
        integer(value).and_then(|it| u32::try_from(it).ok()).filter(|it| (1..=10_000).contains(it));
    if citizens.is_none() {
        table.problem_with(value, "mass_exposure_citizens is a number from 1 to 10000");
    }
    citizens
}
