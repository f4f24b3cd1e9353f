//! What the operator decided: `collector.toml`, read whole or not at all.
//!
//! *Invariants*: an unknown key is an error; each error names file, line, column and the nearest valid key.
//! Nothing leaves loopback unencrypted.
//! *Units*: lines and columns from 1, columns in characters; days, hours and seconds as named.
//! *Not here*: reading the files that it names.

mod sections;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls::pki_types::ServerName;

pub use cprvagt_settings::{Place, Problem, SettingsError as ConfigError};

/// Where the configuration lies when `--config` does not say.
pub const DEFAULT_PATH: &str = "/etc/cprvagt/collector.toml";

/// One collector's configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `[data] dir`: database, keys and authority.
    pub data_dir: PathBuf,
    /// `[agents]`
    pub agents: Agents,
    /// `[web]`
    pub web: Web,
    /// `[certificates] days`: life of an agent's certificate, 1 to 398.
    pub certificate_days: u32,
    /// `[outlets]`
    pub outlets: Outlets,
}

/// `[agents]`: where agents deliver.
#[derive(Clone, Debug, PartialEq)]
pub struct Agents {
    /// Address to listen at; port 0 takes a free one.
    pub listen: SocketAddr,
    /// What stands in the certificate of the embedded authority. Never empty.
    pub names: Vec<ServerName<'static>>,
    /// A certificate given instead.
    pub certificate: Option<CertificateFiles>,
}

/// `[web]`: where people read.
#[derive(Clone, Debug, PartialEq)]
pub struct Web {
    /// Address to listen at; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The certificate; without one `listen` is loopback.
    pub certificate: Option<CertificateFiles>,
    /// Hours until a person must log in again, 1 to 168.
    pub session_hours: u16,
}

/// A certificate chain and its private key, both in PEM.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CertificateFiles {
    /// The chain, the server's own certificate first.
    pub certificate: PathBuf,
    /// The key of the first.
    pub key: PathBuf,
}

/// `[outlets]`: where incidents are forwarded to.
#[derive(Clone, Debug, PartialEq)]
pub struct Outlets {
    /// An incident that changes is told again at most once in this time; 1 second to 1 day.
    pub quiet: Duration,
    /// File that gets a JSON line for each event.
    pub file: Option<PathBuf>,
    /// Addresses that get a request for each event; names differ.
    pub webhooks: Vec<Webhook>,
}

/// `[[outlets.webhook]]`. Its address is not shown, since such addresses often hold a token.
#[derive(Clone, Eq, PartialEq)]
pub struct Webhook {
    /// The operator's name for it.
    pub name: String,
    /// Address, `https:`, or `http:` to loopback.
    pub url: String,
    /// File with the secret that signs.
    pub secret_file: PathBuf,
    /// File with the authorities that its certificate may come from; absent: the system's.
    pub ca_file: Option<PathBuf>,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Default for Config {
    fn default() -> Self {
        let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let localhost = ServerName::try_from("localhost").expect("localhost is a DNS name");
        Self {
            data_dir: "/var/lib/cprvagt-collector".into(),
            agents: Agents { listen: loopback(8443), names: vec![localhost], certificate: None },
            web: Web { listen: loopback(8080), certificate: None, session_hours: 8 },
            certificate_days: 30,
            outlets: Outlets { quiet: Duration::from_secs(60), file: None, webhooks: vec![] },
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
