//! Who may receive what: which rules a hit breaks, and how grave that is.
//!
//! | rule | where this host is the client | where it is the server |
//! |---|---|---|
//! | `cpr-in-url` | critical: the recipient's logs and Referers spread it | high: the page must change |
//! | `not-allowed` | critical where the recipient counts visitors, sells advertising and the like; else high | does not apply: answering a citizen is no leak |
//! | `cleartext` | high | high |
//! | `mass-exposure` | does not apply | critical, where the client is not allowed |
//! | `mail-cleartext` | high, beside `cleartext` | high, beside `cleartext` |
//!
//! The gravest rule is told as `rule`; the severity is the highest of all rules broken. `[rules]` and `[[system]]` may
//! give a rule another severity, or switch it off. A replacement number is one step less grave (it names a person only
//! inside the organisation that made it), so is a hit of low confidence; one of no confidence is two steps less grave; a
//! test number is always low.
//!
//! *Invariants*: no I/O and no clock; the same facts always give the same verdict. What is not known about a flow or a
//! process never allows anything, and never brings a process into the scope of inspection. The names that a flow and its
//! messages give decide before those that were learned for its address; where there are several, all must be allowed.
//! *Not here*: which addresses are this host's own, loopback apart: the kernel programs decide that.

pub mod address;
mod entries;
mod names;
mod prefixes;
mod recipients;
mod severity;
mod waives;

use std::collections::BTreeSet;
use std::net::SocketAddr;

use cprvagt_abi::Role;
use cprvagt_report::{Class, Confidence, Location, Part, Rule, Severity};

use crate::config::{Config, Inspect, Recipient, Relay, Report, Rules, System};
use crate::process::ProcessFacts;

pub use names::{HostName, NamePattern};
pub use prefixes::{KernelEntry, Overfull, flatten, turn};
pub use severity::of_found as severity_of_found;
pub use waives::Waives;

use entries::Entries;
use prefixes::Prefixes;
use recipients::Recipients;

/// More distinct citizens than this in one response are many, unless the configuration says otherwise.
const MASS_EXPOSURE_CITIZENS: u32 = 25;
/// Header fields of a response whose value is a URL that the browser goes to (RFC 9110, 8.7 and 10.2.2; RFC 8288; the
/// HTML standard for Refresh).
const URL_FIELDS: [&str; 4] = ["location", "content-location", "link", "refresh"];

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
    /// What the far end is called.
    pub names: &'a FarNames,
}

/// What the far end of a flow is called.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct FarNames {
    /// By the flow itself: the name in its ClientHello, the host that the message names.
    pub own: Vec<HostName>,
    /// By DNS answers that had its address.
    pub learned: Vec<HostName>,
}

impl FarNames {
    /// The names that decide.
    fn deciding(&self) -> &[HostName] {
        if self.own.is_empty() { &self.learned } else { &self.own }
    }
}

/// What is known about a hit.
#[derive(Clone, Copy, Debug)]
pub struct HitFacts {
    /// Whether it stood in a URL.
    pub in_url: bool,
    /// Whether it stood in a mail.
    pub in_mail: bool,
    /// What kind of number it is.
    pub class: Class,
    /// How sure that is.
    pub confidence: Confidence,
    /// Distinct citizens that the response has handed out so far, this one among them; 0 where that is not counted.
    pub citizens: u32,
}

impl HitFacts {
    /// A hit in this place of a message, alone in it.
    pub fn at(location: &Location, class: Class, confidence: Confidence) -> Self {
        let field = location.field.as_ref().map(|field| field.as_str());
        let is_url_field = |field: &str| URL_FIELDS.iter().any(|it| field.eq_ignore_ascii_case(it));
        let in_url =
            location.part.is_url() || location.part == Part::Header && field.is_some_and(is_url_field);
        let in_mail = matches!(location.part, Part::MailEnvelope | Part::MailHeader | Part::MailBody)
            || location.protocol.as_str() == "smtp";
        Self { in_url, in_mail, class, confidence, citizens: 0 }
    }
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
    entries: Entries,
    recipients: Recipients,
    system: Vec<System>,
    relay: Vec<Relay>,
    rules: Rules,
    report: Report,
    ends_unix: Option<i64>,
}

impl Policy {
    /// The policy that `config` spells at `now_unix`, in seconds since 1970: without the entries that have expired.
    ///
    /// # Errors
    /// A prefix has more port rules than the kernel can hold; a configuration that was read from a file
    /// has been checked for that.
    pub fn new(config: &Config, now_unix: i64) -> Result<Self, Overfull> {
        let holds = |ends: Option<i64>| ends.is_none_or(|ends| now_unix < ends);
        let in_force = || config.allow.iter().filter(|entry| holds(entry.ends_unix()));
        Ok(Self {
            inspect: config.inspect.clone(),
            prefixes: Prefixes::new(in_force())?,
            entries: Entries::new(in_force()),
            recipients: Recipients::new(&config.recipient),
            system: config.system.clone(),
            relay: config.relay.clone(),
            rules: config.rules.clone(),
            report: config.report.clone(),
            ends_unix: in_force().filter_map(|entry| entry.ends_unix()).min(),
        })
    }

    /// Whether an entry has expired since the policy was made.
    pub fn is_outdated(&self, now_unix: i64) -> bool {
        self.ends_unix.is_some_and(|ends| ends <= now_unix)
    }

    /// What `hit` in `flow` breaks; `None` when it breaks nothing or is not to be told.
    pub fn verdict(&self, flow: &FlowFacts<'_>, hit: &HitFacts) -> Option<Verdict> {
        let is_loopback = flow.remote.is_some_and(|remote| address::canonical(remote.ip()).is_loopback());
        if is_loopback || !self.tells(hit.class, hit.confidence) {
            return None;
        }
        let tuning = Tuning { system: flow.process.and_then(|it| self.system_of(it)), all: &self.rules };
        let broken: Vec<Rule> =
            tuning.broken(flow, hit, self.waives(flow)).filter(|rule| !tuning.is_off(*rule)).collect();
        let known = self.recipient(flow).is_some();
        let severities = broken
            .iter()
            .map(|rule| tuning.severity(*rule).unwrap_or_else(|| severity::by_rule(*rule, flow.role, known)));
        // The order of severities is from the gravest down.
        let severity = severity::weighed(severities.min()?, hit.class, hit.confidence);
        let (rule, also_breaks) = broken.split_first()?;
        Some(Verdict { rule: *rule, also_breaks: also_breaks.to_vec(), severity })
    }

    /// Whether `[report]` asks for hits such as this.
    pub fn tells(&self, class: Class, confidence: Confidence) -> bool {
        self.report.classes.contains(&class) && self.report.min_confidence.admits(confidence)
    }

    /// Everything that the entries which cover `flow` waive together.
    pub fn waives(&self, flow: &FlowFacts<'_>) -> Waives {
        let Some(remote) = flow.remote else { return Waives::NONE };
        let (ip, port) = (address::canonical(remote.ip()), remote.port());
        let by_name = |name: &HostName| self.entries.of_name(name, port, flow.process);
        let by_names = deciding(flow).iter().map(by_name).reduce(Waives::both).unwrap_or(Waives::NONE);
        let by_process = self.entries.of_address(ip, port, flow.process);
        self.prefixes.waives(ip, port).union(by_process).union(by_names)
    }

    /// The known recipient that a flow goes to, by any of the names that decide.
    pub fn recipient(&self, flow: &FlowFacts<'_>) -> Option<&Recipient> {
        deciding(flow).iter().find_map(|name| self.recipients.find(name))
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

    /// The ports at which `process` takes what it sends on, as far as it is a relay that `[[relay]]` names.
    pub fn relay_ports_of(&self, process: &ProcessFacts) -> Vec<u16> {
        let of_it = self.relay.iter().filter(|relay| relay.matches.fits(Some(process)) == Some(true));
        of_it.flat_map(|relay| relay.ports.iter().copied()).collect()
    }

    /// The ports of all relays, each once, in order.
    pub fn relay_ports(&self) -> BTreeSet<u16> {
        self.relay.iter().flat_map(|relay| relay.ports.iter().copied()).collect()
    }

    /// The entries that hold for every process, as the kernel's longest-prefix table needs them: each
    /// prefix with the rules of all wider ones that cover it. Each prefix once; an empty value ends what
    /// a wider prefix allows. Entries with `from` and entries for names are judged here only.
    pub fn allow_prefixes(&self) -> Vec<KernelEntry> {
        self.prefixes.to_kernel()
    }
}

/// The names that say where a flow goes: none where this host is the server, which the names of a request mean.
fn deciding<'a>(flow: &FlowFacts<'a>) -> &'a [HostName] {
    if flow.role == Role::Server { &[] } else { flow.names.deciding() }
}

/// How rules are tuned for one process: by its system, else for all.
struct Tuning<'a> {
    system: Option<&'a System>,
    all: &'a Rules,
}

impl Tuning<'_> {
    /// The rules broken, the gravest first.
    fn broken(&self, flow: &FlowFacts<'_>, hit: &HitFacts, waives: Waives) -> impl Iterator<Item = Rule> {
        let is_server = flow.role == Role::Server;
        let allowed = waives.contains(Waives::NOT_ALLOWED);
        let is_mail = hit.in_mail && !flow.encrypted;
        let mail_waived = waives.contains(Waives::CLEARTEXT) || waives.contains(Waives::MAIL_CLEARTEXT);
        let clear_waived = if hit.in_mail { mail_waived } else { waives.contains(Waives::CLEARTEXT) };
        let is_mass = is_server && hit.citizens > self.mass_exposure_citizens();
        let rules = [
            (hit.in_url && !allowed, Rule::CprInUrl),
            (!is_server && !allowed, Rule::NotAllowed),
            (!flow.encrypted && !clear_waived, Rule::Cleartext),
            (is_mass && !allowed, Rule::MassExposure),
            (is_mail && !mail_waived, Rule::MailCleartext),
        ];
        rules.into_iter().filter_map(|(broken, rule)| broken.then_some(rule))
    }

    fn is_off(&self, rule: Rule) -> bool {
        self.all.off.contains(&rule) || self.system.is_some_and(|system| system.rules.off.contains(&rule))
    }

    fn severity(&self, rule: Rule) -> Option<Severity> {
        let by_system = self.system.and_then(|system| system.rules.severity_of(rule));
        by_system.or_else(|| self.all.severity_of(rule))
    }

    fn mass_exposure_citizens(&self) -> u32 {
        let by_system = self.system.and_then(|system| system.rules.mass_exposure_citizens);
        by_system.or(self.all.mass_exposure_citizens).unwrap_or(MASS_EXPOSURE_CITIZENS)
    }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "policy_tests.rs"]
mod policy_tests;
