//! What the operator decided: `agent.toml`, read whole or not at all.
//!
//! *Invariants*: an unknown key is an error; each error names file, line, column and the nearest valid key.
//! A key that this version cannot act on is refused, never silently accepted.
//! *Units*: sizes in bytes, lines and columns from 1, columns in characters.
//! *Not here*: what follows from the decisions (`judge`), reading the pseudonym key (`pseudonym`).

mod allow;
mod changes;
mod collector_url;
mod matcher;
mod recipient;
mod relay;
mod rules;
mod sections;

use std::path::{Path, PathBuf};
use std::time::Duration;

use cprvagt_report::{Class, Level};

pub use allow::{Allow, Target};
pub use changes::{changes, entry as described};
pub use collector_url::{BadUrl, CollectorUrl};
pub use cprvagt_settings::{Place, Problem, SettingsError as ConfigError};
pub use matcher::{ContainerPattern, Matcher, Pattern};
#[cfg(test)]
pub use recipient::RecipientKind;
pub use recipient::{Recipient, read_recipients};
pub use relay::Relay;
pub use rules::Rules;

/// Where the configuration lies when `--config` does not say.
pub const DEFAULT_PATH: &str = "/etc/cprvagt/agent.toml";

/// A day.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// One agent's configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `[capture]`
    pub capture: Capture,
    /// `[[inspect]]`, in the order of the file.
    pub inspect: Vec<Inspect>,
    /// `[[allow]]`, in the order of the file.
    pub allow: Vec<Allow>,
    /// `[[recipient]]`: what is added to the built-in recipients.
    pub recipient: Vec<Recipient>,
    /// `[[system]]`, in the order of the file.
    pub system: Vec<System>,
    /// `[[relay]]`, in the order of the file.
    pub relay: Vec<Relay>,
    /// `[rules]`
    pub rules: Rules,
    /// `[report]`
    pub report: Report,
    /// `[pseudonym]`
    pub pseudonym: Pseudonym,
    /// `[spool]`
    pub spool: Spool,
    /// `[collector]`
    pub collector: Collector,
}

/// `[capture]`: how much is held between kernel and agent, and where probes are put.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Capture {
    /// Size of each ring: a power of two from 64 KiB to 1 GiB.
    pub ring_bytes: u32,
    /// Where in a function its probe is put.
    pub probe_site: ProbeSites,
}

/// Where in a function its probe is put.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ProbeSites {
    /// On the first instruction that the kernel need not step, if there is one before the arguments change.
    Cheap,
    /// On the function's first instruction.
    Entry,
}

impl ProbeSites {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Cheap, Self::Entry];

    /// Whether it is [`Self::Entry`].
    pub fn is_entry(self) -> bool {
        self == Self::Entry
    }

    /// Its name in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cheap => "cheap",
            Self::Entry => "entry",
        }
    }
}

/// `[[inspect]]`: whose traffic may be read.
#[derive(Clone, Debug, PartialEq)]
pub struct Inspect {
    /// Read these.
    pub only: Option<Matcher>,
    /// Do not read these.
    pub except: Option<Matcher>,
}

/// `[[system]]`: who answers for a workload.
#[derive(Clone, Debug, PartialEq)]
pub struct System {
    /// What the organisation calls it.
    pub name: String,
    /// Who made or runs it.
    pub vendor: Option<String>,
    /// The data controller.
    pub controller: Option<String>,
    /// Who processes the data for the controller.
    pub processor: Option<String>,
    /// How rules are tuned for it, ahead of `[rules]`.
    pub rules: Rules,
    /// Which processes belong to it.
    pub matches: Matcher,
}

/// `[report]`: which hits are told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Report {
    /// The lowest confidence told.
    pub min_confidence: Level,
    /// The classes told.
    pub classes: Vec<Class>,
}

/// `[pseudonym]`: the key that makes citizens countable.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Pseudonym {
    /// File with 64 hex digits; `None`: the enrolment's, else a random key for this run.
    pub key_file: Option<PathBuf>,
}

/// `[spool]`: where reports wait until the collector has them, and how much of the disk they may take.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Spool {
    /// The folder.
    pub dir: PathBuf,
    /// Most that it holds, in bytes: 64 MiB to 1 TiB. The oldest reports go first, told as a gap.
    pub bytes_max: u64,
    /// Longest that a report waits: 1 to 3650 days. Older ones go, told as a gap.
    pub age_max: Duration,
}

/// `[collector]`: who gets the reports.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Collector {
    /// Its address; `None`: the one that the host enrolled at.
    pub url: Option<CollectorUrl>,
    /// The folder of the certificate and the keys.
    pub enrolment: PathBuf,
}

impl Default for Spool {
    fn default() -> Self {
        Self { dir: "/var/lib/cprvagt/spool".into(), bytes_max: 1 << 30, age_max: 30 * DAY }
    }
}

impl Default for Collector {
    fn default() -> Self {
        Self { url: None, enrolment: "/var/lib/cprvagt/enrolment".into() }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            capture: Capture { ring_bytes: 16 << 20, probe_site: ProbeSites::Cheap },
            inspect: vec![],
            allow: vec![],
            recipient: vec![],
            system: vec![],
            relay: vec![],
            rules: Rules::default(),
            report: Report { min_confidence: Level::Medium, classes: vec![Class::Cpr, Class::Replacement] },
            pseudonym: Pseudonym::default(),
            spool: Spool::default(),
            collector: Collector::default(),
        }
    }
}

impl Config {
    /// The configuration named on the command line, else the default file, else the built-in defaults.
    /// With it comes the file that was read, `None` for the built-in defaults.
    ///
    /// # Errors
    /// The file is missing, unreadable, or not valid as a whole; only a missing *default* file is none.
    pub fn find(named: Option<&Path>) -> Result<(Self, Option<PathBuf>), ConfigError> {
        cprvagt_settings::find(named, Path::new(DEFAULT_PATH), Self::parse)
    }

    /// The same, with the text.
    ///
    /// # Errors
    /// As [`Config::find`].
    pub fn find_text(named: Option<&Path>) -> Result<(String, Self), ConfigError> {
        let parse = |text: &str| Self::parse(text).map(|config| (text.to_owned(), config));
        Ok(cprvagt_settings::find(named, Path::new(DEFAULT_PATH), parse)?.0)
    }

    /// The configuration that `text` spells.
    ///
    /// # Errors
    /// Every problem found, in the order of the text.
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        sections::read(text)
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
