//! From a command on the command line to the part of the program that does it.

use std::io::{self, Write};

use crate::cli::{self, Cli, Command, Exit, Exits};
use crate::{capture, check, config, doctor, enrol, keys, manual, run, scan, spool_tool, verify, watch};

/// Why the command failed, in words for a person.
pub struct Failure {
    /// The words.
    pub text: String,
    /// How the command ends because of it.
    pub exit: Exit,
}

impl<E: Exits> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { text: error.to_string(), exit: error.exit() }
    }
}

/// Does what the command line says.
///
/// # Errors
/// As the command it names.
pub fn obey(cli: &Cli) -> Result<Exit, Failure> {
    match &cli.command {
        Command::Watch(options) => watch(cli, options),
        Command::Check(options) => {
            check::run(cli.config.as_deref(), options, &mut io::stdout())?;
            Ok(Exit::Success)
        }
        Command::Doctor(options) => Ok(examine(options)),
        Command::Keys(options) => {
            let cli::KeysCommand::New(new) = &options.command;
            keys::new(new, &mut io::stdout())?;
            Ok(Exit::Success)
        }
        Command::Enrol(options) => {
            let (config, _) = config::Config::find(cli.config.as_deref())?;
            enrol::run(options, &config, &mut io::stdout())?;
            Ok(Exit::Success)
        }
        Command::Spool(options) => {
            let (config, _) = config::Config::find(cli.config.as_deref())?;
            Ok(spool_tool::run(options, config, &mut io::stdout())?)
        }
        Command::Run(options) => {
            run::run(cli.config.as_deref(), options, cli.verbose)?;
            Ok(Exit::Success)
        }
        Command::Part { part } => {
            run::part(*part)?;
            Ok(Exit::Success)
        }
        Command::Scan(options) => scan(cli, options),
        Command::Manual { folder } => {
            manual::write(folder)?;
            Ok(Exit::Success)
        }
        Command::Status(options) => Ok(status(options)?),
        Command::Verify(options) => Ok(verify::run(options, &mut io::stdout())?),
        later => {
            tell(&format!("cprvagt {}: not in this version", later.name()));
            Ok(Exit::NotInThisVersion)
        }
    }
}

fn watch(cli: &Cli, options: &cli::Watch) -> Result<Exit, Failure> {
    let (mut config, _) = config::Config::find(cli.config.as_deref())?;
    if let Some(min) = options.min {
        config.report.min_confidence = min.into();
    }
    watch::run(&config, options)?;
    Ok(Exit::Success)
}

fn scan(cli: &Cli, options: &cli::Scan) -> Result<Exit, Failure> {
    let (mut config, _) = config::Config::find(cli.config.as_deref())?;
    if let Some(min) = options.min {
        config.report.min_confidence = min.into();
    }
    Ok(scan::run(&config, options)?)
}

fn status(options: &cli::Status) -> Result<Exit, run::RunError> {
    let Some(status) = run::ask(&options.runtime_dir)? else {
        tell("cprvagt run is not running here");
        return Ok(Exit::NoAnswer);
    };
    let text = if options.json { status.to_string() } else { run::lines(&status).join("\n") };
    writeln!(io::stdout(), "{text}")?;
    Ok(Exit::Success)
}

fn examine(options: &cli::Doctor) -> Exit {
    let findings = doctor::examine(&doctor::Machine::default(), capture::probe_load, run::landlock());
    let coverage = doctor::Coverage::ask(&options.runtime_dir);
    match doctor::tell(&findings, &coverage, options.json, &mut io::stdout()) {
        Ok(()) => doctor::exit(&findings),
        Err(error) => {
            tell(&format!("standard output: {error}"));
            Exit::Failure
        }
    }
}

/// Writes to standard error; nobody is left to tell when that is closed.
fn tell(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
