//! The agent's command: reads the command line, does what it says, and ends with the contract's exit code.
#![deny(unsafe_code)]

mod bundle;
mod capture;
mod channel;
mod check;
mod cli;
mod command;
mod config;
mod container;
mod doctor;
mod enrol;
mod fields;
mod host;
mod inspect;
mod join;
mod judge;
mod keys;
mod ledger;
mod logging;
mod manual;
mod nap;
mod owner;
mod package;
mod pipeline;
mod privacy;
mod process;
mod procfs;
mod pseudonym;
mod recent;
mod record;
mod recording;
mod run;
mod scan;
mod screen;
mod scrub;
mod secret_file;
mod send;
mod spool_tool;
mod taken;
mod tls_files;
mod verify;
mod watch;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    logging::init(cli.verbose);
    let exit = command::obey(&cli).unwrap_or_else(|failure| {
        // Nobody is left to tell when standard error is closed.
        let _ = writeln!(io::stderr(), "{}", failure.text);
        failure.exit
    });
    exit.into()
}
