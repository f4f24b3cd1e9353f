//! All that the daemon needs to know before it starts: configuration, policy, enrolment, keys, host.

use std::path::{Path, PathBuf};

use cprvagt_report::{Host, Level, Moment};

use super::RunError;
use super::protocol::InspectSettings;
use crate::cli;
use crate::config::{Config, ConfigError};
use crate::enrol::{Enrolment, EnrolmentError};
use crate::host::this_host;
use crate::judge::{Overfull, Policy};
use crate::pseudonym::{Key, KeyError};
use crate::scrub::Scrubber;
use crate::send::protocol::Settings;

/// What is decided before the start, and again at a reload.
pub struct Plan {
    /// The file that was read.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
    /// What it says.
    pub config: Config,
    /// What follows for traffic.
    pub policy: Policy,
    enrolment: Enrolment,
    key: Key,
    host: Host,
    /// Where the status socket lies.
    pub runtime_dir: PathBuf,
    /// Whether each leak is a line of JSON on standard output.
    pub json: bool,
    min: Option<Level>,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The policy does not fit the kernel's tables.
    #[error(transparent)]
    Policy(#[from] Overfull),
    /// The host is not enrolled.
    #[error(
        "this host is not enrolled ({} has no enrolment): reports could not be sealed, and nothing is kept \
         unsealed; run: cprvagt enrol URL --token TOKEN --bundle FILE. To watch without a collector: cprvagt watch",
        .0.display()
    )]
    NotEnrolled(PathBuf),
    /// Its enrolment is broken.
    #[error(transparent)]
    Enrolment(#[from] EnrolmentError),
    /// The pseudonym key.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl Plan {
    /// The plan that the configuration file (the default one, if none is named) and the command line make.
    ///
    /// # Errors
    /// Names what is missing or wrong.
    pub fn make(config: Option<&Path>, options: &cli::Run) -> Result<Self, PlanError> {
        let path = config.unwrap_or(Path::new(crate::config::DEFAULT_PATH)).to_owned();
        let (text, config) = Config::find_text(config)?;
        let policy = Policy::new(&config, Moment::now().0.as_second())?;
        let dir = &config.collector.enrolment;
        let enrolment = Enrolment::read(dir)?.ok_or_else(|| PlanError::NotEnrolled(dir.clone()))?;
        let key = Key::of(&config)?;
        let host = this_host(&Scrubber::at(Moment::now().0.as_second()));
        let runtime_dir = options.runtime_dir.clone();
        let min = options.min.map(Level::from);
        Ok(Self { path, text, config, policy, enrolment, key, host, runtime_dir, json: options.json, min })
    }

    /// The plan that the same file makes now.
    ///
    /// # Errors
    /// As [`Plan::make`].
    pub fn reloaded(&self) -> Result<Self, RunError> {
        let options = cli::Run { runtime_dir: self.runtime_dir.clone(), json: self.json, min: None };
        let plan = Self::make(Some(&self.path), &options).map_err(RunError::Plan)?;
        Ok(Self { min: self.min, ..plan })
    }

    /// The text of the file as it is now; `None` when it cannot be read.
    pub fn text_on_disk(&self) -> Option<String> {
        std::fs::read_to_string(&self.path).ok()
    }

    /// Makes the policy anew without the entries that have expired, if any has.
    ///
    /// # Errors
    /// The policy does not fit the kernel's tables.
    pub fn policy_if_outdated(&self) -> Result<Option<Policy>, PlanError> {
        let now_unix = Moment::now().0.as_second();
        let is_outdated = self.policy.is_outdated(now_unix);
        Ok(is_outdated.then(|| Policy::new(&self.config, now_unix)).transpose()?)
    }

    /// What differs in `next` and cannot be changed while the daemon runs.
    pub fn needs_restart(&self, next: &Self) -> Vec<&'static str> {
        let differs = [
            (self.config.capture != next.config.capture, "[capture]"),
            (self.config.spool.dir != next.config.spool.dir, "[spool] dir"),
            (*self.key.to_bytes() != *next.key.to_bytes(), "[pseudonym] key_file"),
            (self.config.collector.enrolment != next.config.collector.enrolment, "[collector] enrolment"),
        ];
        differs.into_iter().filter(|(differs, _)| *differs).map(|(_, what)| what).collect()
    }

    /// Whether `next` sends reports to a port that the send process may still reach.
    pub fn reaches_as(&self, next: &Self) -> bool {
        let port = |plan: &Self| plan.config.collector.url.as_ref().unwrap_or(&plan.enrolment.url).port();
        port(self) == port(next)
    }

    /// What the send process works with.
    pub fn send_settings(&self) -> Settings {
        Settings::of(&self.config, self.host.clone())
    }

    /// What the inspect process works with.
    pub fn inspect_settings(&self) -> InspectSettings {
        InspectSettings {
            config: self.text.clone(),
            pseudonym_key: *self.key.to_bytes(),
            controller: self.enrolment.controller.sealing_key.clone(),
            collector: self.enrolment.sealing_key.clone(),
            host: self.host.clone(),
            json: self.json,
            min: self.min,
        }
    }
}
