//! The agent's command: reads the command line, does what it says, and ends with the contract's exit code.
#![deny(unsafe_code)]

mod capture;
mod check;
mod cli;
mod config;
mod doctor;
mod host;
mod inspect;
mod join;
mod judge;
mod ledger;
mod logging;
mod pipeline;
mod privacy;
mod process;
mod pseudonym;
mod record;
mod screen;
mod scrub;
mod watch;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command, Exit, Exits};

fn main() -> ExitCode {
    let cli = Cli::parse();
    logging::init(cli.verbose);
    let exit = run(&cli).unwrap_or_else(|failure| {
        tell(&failure.text);
        failure.exit
    });
    exit.into()
}

/// Why the command failed, in words for a person.
struct Failure {
    text: String,
    exit: Exit,
}

impl<E: Exits> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { text: error.to_string(), exit: error.exit() }
    }
}

fn run(cli: &Cli) -> Result<Exit, Failure> {
    match &cli.command {
        Command::Watch(options) => watch(cli, options),
        Command::Check => {
            check::run(cli.config.as_deref(), &mut io::stdout())?;
            Ok(Exit::Success)
        }
        Command::Doctor(options) => Ok(examine(options.json)),
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

fn examine(json: bool) -> Exit {
    let findings = doctor::examine(&doctor::Machine::default(), capture::probe_load);
    match doctor::tell(&findings, json, &mut io::stdout()) {
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
