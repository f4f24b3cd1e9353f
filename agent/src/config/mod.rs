//! What the operator decided: `agent.toml`, read whole or not at all.
//!
//! *Invariants*: an unknown key is an error; each error names file, line, column and the nearest valid key.
//! A key that this version cannot act on is refused, or told by `check` as without effect; never silently
//! accepted.
//! *Units*: sizes in bytes, lines and columns from 1, columns in characters.
//! *Not here*: what follows from the decisions (`judge`), reading the pseudonym key (`pseudonym`).

mod document;
mod matcher;
mod sections;
pub(crate) mod size;

use std::io;
use std::path::{Path, PathBuf};

use cprvagt_report::{Class, Level};
use ipnet::IpNet;

pub use document::Place;
pub use matcher::{Matcher, Pattern};

use crate::judge::Waives;

/// Where the configuration lies when `--config` does not say.
pub const DEFAULT_PATH: &str = "/etc/cprvagt/agent.toml";

/// Largest configuration file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// One agent's configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `[capture]`
    pub capture: Capture,
    /// `[[inspect]]`, in the order of the file.
    pub inspect: Vec<Inspect>,
    /// `[[allow]]`, in the order of the file.
    pub allow: Vec<Allow>,
    /// `[[system]]`, in the order of the file.
    pub system: Vec<System>,
    /// `[report]`
    pub report: Report,
    /// `[pseudonym]`
    pub pseudonym: Pseudonym,
    /// Sections that are valid and do nothing in this version.
    pub without_effect: Vec<(&'static str, Place)>,
}

/// `[capture]`: how much is held between kernel and agent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Capture {
    /// Size of each ring: a power of two from 64 KiB to 1 GiB.
    pub ring_bytes: u32,
}

/// `[[inspect]]`: whose traffic may be read.
#[derive(Clone, Debug, PartialEq)]
pub struct Inspect {
    /// Read these.
    pub only: Option<Matcher>,
    /// Do not read these.
    pub except: Option<Matcher>,
}

/// `[[allow]]`: a destination that may receive numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Allow {
    /// Addresses, with no host bits set; an IPv4 prefix is never written as a mapped IPv6 one.
    pub to: IpNet,
    /// Inclusive ranges of ports; empty: every port.
    pub ports: Vec<(u16, u16)>,
    /// Whose traffic the entry covers; `None`: everybody's.
    pub from: Option<Matcher>,
    /// The reason, for people.
    pub because: String,
    /// The rules that it waives.
    pub waives: Waives,
    /// Where the entry stands in the file.
    pub at: Place,
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
    /// File with 64 hex digits; `None`: a random key for this run.
    pub key_file: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            capture: Capture { ring_bytes: 16 << 20 },
            inspect: vec![],
            allow: vec![],
            system: vec![],
            report: Report { min_confidence: Level::Medium, classes: vec![Class::Cpr, Class::Replacement] },
            pseudonym: Pseudonym::default(),
            without_effect: vec![],
        }
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("config: {path}: {cause}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// The file is not valid; one problem a line.
    #[error("{}", problems.iter().map(|it| format!("config: {}:{it}", path.display())).collect::<Vec<_>>().join("\n"))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Every problem, in the order of the file. Never empty.
        problems: Vec<Problem>,
    },
}

/// One thing that is wrong, and where.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{at}: {what}")]
pub struct Problem {
    /// Where.
    pub at: Place,
    /// What is wrong and what would be right.
    pub what: String,
}

impl Config {
    /// The configuration in the file at `path`.
    ///
    /// # Errors
    /// The file is missing, unreadable, or not valid as a whole.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let unreadable = |cause| ConfigError::Unreadable { path: path.to_owned(), cause };
        let text = read(path).map_err(unreadable)?;
        Self::parse(&text).map_err(|problems| ConfigError::Invalid { path: path.to_owned(), problems })
    }

    /// The configuration named on the command line, else the default file, else the built-in defaults.
    /// With it comes the file that was read, `None` for the built-in defaults.
    ///
    /// # Errors
    /// As [`Config::load`]; only a missing *default* file is none.
    pub fn find(named: Option<&Path>) -> Result<(Self, Option<PathBuf>), ConfigError> {
        let path = named.unwrap_or(Path::new(DEFAULT_PATH));
        match Self::load(path) {
            Err(ConfigError::Unreadable { cause, .. })
                if named.is_none() && cause.kind() == io::ErrorKind::NotFound =>
            {
                Ok((Self::default(), None))
            }
            loaded => Ok((loaded?, Some(path.to_owned()))),
        }
    }

    /// The configuration that `text` spells.
    ///
    /// # Errors
    /// Every problem found, in the order of the text.
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        sections::read(text)
    }
}

fn read(path: &Path) -> io::Result<String> {
    let bytes = std::fs::metadata(path)?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("{bytes} bytes; the most is {FILE_BYTES_MAX}")));
    }
    std::fs::read_to_string(path)
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
