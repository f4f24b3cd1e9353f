//! What each command does.

mod account;
mod agents;
mod check;
mod incidents;
mod manual;
mod outlets;
mod password;
mod replay;
mod serve;
mod table;
mod token;

use std::fmt;
use std::io;
use std::path::Path;

use crate::cli::{Cli, Command, Exit};
use crate::config::{Config, ConfigError};
use crate::data_dir::{DataDir, DataError};
use crate::keys::LostKey;
use crate::listener::CertificateError;
use crate::outlets::OutletError;
use crate::privacy::NotPrivate;
use crate::serve::ServeError;
use crate::store::{Store, StoreError};

/// Why a command failed, in words for a person.
#[derive(Debug)]
pub struct Failure {
    text: String,
    exit: Exit,
}

impl Failure {
    /// How the command ends.
    pub const fn exit(&self) -> Exit {
        self.exit
    }

    fn new(exit: Exit, text: impl fmt::Display) -> Self {
        Self { text: text.to_string(), exit }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Does what the command line says.
///
/// # Errors
/// What went wrong, and the exit code for it.
pub fn run(cli: &Cli) -> Result<(), Failure> {
    let named = cli.config.as_deref();
    let out = &mut io::stdout().lock();
    match &cli.command {
        Command::Serve => serve::run(&config(named)?),
        Command::Check => check::run(named, out),
        Command::Token(options) => alone(token::run(&config(named)?, options, out)),
        Command::Incidents(options) => alone(incidents::run(&config(named)?, options, out)),
        Command::Agents(options) => alone(agents::run(&config(named)?, options, out)),
        Command::Outlets => alone(outlets::run(&config(named)?, out)),
        Command::Account(what) => alone(account::run(&config(named)?, what, out)),
        Command::Manual { folder } => manual::write(folder),
        Command::Replay(options) => alone(replay::run(&config(named)?, options, out)),
    }
}

fn config(named: Option<&Path>) -> Result<Config, Failure> {
    Ok(Config::find(named)?.0)
}

/// Runs a command that ends by itself.
fn alone(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::new(Exit::Failure, error))?.block_on(command)
}

/// The data of a collector, which may be serving meanwhile.
async fn open(config: &Config) -> Result<(DataDir, Store), Failure> {
    let data = DataDir::open(&config.data_dir)?;
    let store = Store::open(data.path()).await?;
    Ok((data, store))
}

impl From<NotPrivate> for Failure {
    fn from(error: NotPrivate) -> Self {
        Self::new(Exit::Unable, error)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::new(Exit::Config, error)
    }
}

impl From<OutletError> for Failure {
    fn from(error: OutletError) -> Self {
        Self::new(Exit::Config, error)
    }
}

impl From<CertificateError> for Failure {
    fn from(error: CertificateError) -> Self {
        let exit = match &error {
            CertificateError::Authority(_) => Exit::Failure,
            _ => Exit::Config,
        };
        Self::new(exit, error)
    }
}

impl From<DataError> for Failure {
    fn from(error: DataError) -> Self {
        let exit = match &error {
            _ if error.needs_privilege() => Exit::Unable,
            DataError::Busy { .. } => Exit::Busy,
            DataError::Open { .. } => Exit::Config,
            _ => Exit::Failure,
        };
        Self::new(exit, error)
    }
}

impl From<LostKey> for Failure {
    fn from(error: LostKey) -> Self {
        Self::new(Exit::Failure, error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let exit = match &error {
            StoreError::Busy => Exit::Busy,
            StoreError::Refused(_) => Exit::Config,
            StoreError::File { cause, .. } if cause.kind() == io::ErrorKind::PermissionDenied => Exit::Unable,
            _ => Exit::Failure,
        };
        Self::new(exit, error)
    }
}

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Self {
        match error {
            ServeError::Data(error) => error.into(),
            ServeError::Store(error) => error.into(),
            ServeError::Certificate(error) => error.into(),
            ServeError::Outlet(error) => error.into(),
            ServeError::Listen(error) => {
                let exit = match error.cause.kind() {
                    io::ErrorKind::PermissionDenied => Exit::Unable,
                    io::ErrorKind::AddrInUse => Exit::Busy,
                    _ => Exit::Config,
                };
                Self::new(exit, error)
            }
            other => Self::new(Exit::Failure, other),
        }
    }
}

/// Standard output is closed or broken.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::new(Exit::Failure, format_args!("standard output: {error}"))
    }
}
