//! Who may receive what: which rules a hit breaks, and how grave that is.
//!
//! | rule | where this host is the client | where it is the server |
//! |---|---|---|
//! | `cpr-in-url` | critical: the recipient's logs and Referers spread it | high: the page must change |
//! | `not-allowed` | high | does not apply: answering a citizen is no leak |
//! | `cleartext` | high | high |
//!
//! The gravest rule sets the severity. A replacement number is one step less grave (it names a person only
//! inside the organisation that made it), so is a hit of low confidence; one of no confidence is two steps
//! less grave; a test number is always low.
//!
//! *Invariants*: no I/O and no clock; the same facts always give the same verdict. What is not known about
//! a flow or a process never allows anything, and never brings a process into the scope of inspection.
//! *Not here*: which addresses are this host's own, loopback apart: the kernel programs decide that.
//! `mass-exposure` and `mail-cleartext`, which need a whole response or a mail decoder.

pub mod address;
mod prefixes;
mod waives;

use std::net::{IpAddr, SocketAddr};

use cprvagt_abi::{AllowKey, AllowRules, Role};
use cprvagt_report::{Class, Confidence, Part, Rule, Severity};

use crate::config::{Allow, Config, Inspect, Report, System};
use crate::process::ProcessFacts;

pub use prefixes::{Overfull, flatten};
pub use waives::Waives;

use prefixes::Prefixes;

/// What is known about the flow that carried a hit.
#[derive(Clone, Copy, Debug)]
pub struct FlowFacts<'a> {
    /// The far end; `None` when the join could not name it.
    pub remote: Option<SocketAddr>,
    /// Client, server, or not known: then the rules of a client apply.
    pub role: Role,
    /// Encrypted on the wire.
    pub encrypted: bool,
    /// The process at this end.
    pub process: Option<&'a ProcessFacts>,
}

/// What is known about a hit.
#[derive(Clone, Copy, Debug)]
pub struct HitFacts {
    /// The part of the message where it stood.
    pub part: Part,
    /// What kind of number it is.
    pub class: Class,
    /// How sure that is.
    pub confidence: Confidence,
}

/// The rules that a hit breaks.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Verdict {
    /// The gravest.
    pub rule: Rule,
    /// The others, the gravest first.
    pub also_breaks: Vec<Rule>,
    /// How soon a person must act.
    pub severity: Severity,
}

/// A configuration, ready to judge with.
#[derive(Debug)]
pub struct Policy {
    inspect: Vec<Inspect>,
    prefixes: Prefixes,
    by_process: Vec<Allow>,
    system: Vec<System>,
    report: Report,
}

impl Policy {
    /// The policy that `config` spells.
    ///
    /// # Errors
    /// A prefix has more port rules than the kernel can hold; a configuration that was read from a file
    /// has been checked for that.
    pub fn new(config: &Config) -> Result<Self, Overfull> {
        Ok(Self {
            inspect: config.inspect.clone(),
            prefixes: Prefixes::new(&config.allow)?,
            by_process: config.allow.iter().filter(|entry| entry.from.is_some()).cloned().collect(),
            system: config.system.clone(),
            report: config.report.clone(),
        })
    }

    /// What `hit` in `flow` breaks; `None` when it breaks nothing or is not to be told.
    pub fn verdict(&self, flow: &FlowFacts<'_>, hit: &HitFacts) -> Option<Verdict> {
        if !self.tells(hit) || flow.remote.is_some_and(|remote| address::canonical(remote.ip()).is_loopback())
        {
            return None;
        }
        let mut broken = broken(flow, hit.part, self.waives(flow)).into_iter();
        let rule = broken.next()?;
        Some(Verdict { rule, also_breaks: broken.collect(), severity: severity(rule, flow.role, hit) })
    }

    /// Whether `[report]` asks for hits such as this.
    pub fn tells(&self, hit: &HitFacts) -> bool {
        self.report.classes.contains(&hit.class) && self.report.min_confidence.admits(hit.confidence)
    }

    /// Everything that the entries which cover `flow` waive together.
    pub fn waives(&self, flow: &FlowFacts<'_>) -> Waives {
        let Some(remote) = flow.remote else { return Waives::NONE };
        let (ip, port) = (address::canonical(remote.ip()), remote.port());
        let covering = self.by_process.iter().filter(|entry| covers(entry, ip, port, flow.process));
        covering.map(|entry| entry.waives).fold(self.prefixes.waives(ip, port), Waives::union)
    }

    /// Whether `[[inspect]]` lets `process` be read: by one of the `only`, if there are any, and by no
    /// `except`. An entry that cannot be decided keeps the process out: reading it was not asked for.
    pub fn in_scope(&self, process: Option<&ProcessFacts>) -> bool {
        let mut only = self.inspect.iter().filter_map(|entry| entry.only.as_ref()).peekable();
        let mut except = self.inspect.iter().filter_map(|entry| entry.except.as_ref());
        let asked_for = only.peek().is_none() || only.any(|it| it.fits(process) == Some(true));
        asked_for && except.all(|it| it.fits(process) == Some(false))
    }

    /// True when `[[inspect]]` leaves anything out, so that the scope must be asked for each process.
    pub fn limits_scope(&self) -> bool {
        !self.inspect.is_empty()
    }

    /// The first `[[system]]` that `process` belongs to.
    pub fn system_of(&self, process: &ProcessFacts) -> Option<&System> {
        self.system.iter().find(|system| system.matches.fits(Some(process)) == Some(true))
    }

    /// The entries that hold for every process, as the kernel's longest-prefix table needs them: each
    /// prefix with the rules of all wider ones that cover it. Each prefix once; an empty value ends what
    /// a wider prefix allows. Entries with `from` are judged here only.
    pub fn allow_prefixes(&self) -> Vec<(AllowKey, AllowRules)> {
        self.prefixes.to_kernel()
    }
}

fn covers(entry: &Allow, ip: IpAddr, port: u16, process: Option<&ProcessFacts>) -> bool {
    let port_fits = entry.ports.is_empty() || entry.ports.iter().any(|(lo, hi)| (*lo..=*hi).contains(&port));
    let is_from = |from: &crate::config::Matcher| from.fits(process) == Some(true);
    port_fits && entry.to.contains(&ip) && entry.from.as_ref().is_none_or(is_from)
}

/// The rules broken, the gravest first.
fn broken(flow: &FlowFacts<'_>, part: Part, waives: Waives) -> Vec<Rule> {
    let allowed = waives.contains(Waives::NOT_ALLOWED);
    let rules = [
        (part.is_url() && !allowed, Rule::CprInUrl),
        (flow.role != Role::Server && !allowed, Rule::NotAllowed),
        (!flow.encrypted && !waives.contains(Waives::CLEARTEXT), Rule::Cleartext),
    ];
    rules.into_iter().filter_map(|(broken, rule)| broken.then_some(rule)).collect()
}

/// How grave a hit is that an offline scan found, which knows nothing of recipients.
pub fn severity_of_found(hit: &HitFacts) -> Severity {
    severity(Rule::Found, Role::Unknown, hit)
}

fn severity(rule: Rule, role: Role, hit: &HitFacts) -> Severity {
    let by_rule = match rule {
        Rule::CprInUrl if role != Role::Server => Severity::Critical,
        Rule::MassExposure => Severity::Critical,
        Rule::CprInUrl | Rule::NotAllowed | Rule::Cleartext | Rule::MailCleartext => Severity::High,
        Rule::Found => Severity::Medium,
    };
    let by_class = match hit.class {
        Class::Cpr => by_rule,
        Class::Replacement => by_rule.lowered(),
        Class::Test => Severity::Low,
    };
    match hit.confidence {
        Confidence::High | Confidence::Medium => by_class,
        Confidence::Low => by_class.lowered(),
        Confidence::None => by_class.lowered().lowered(),
    }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
