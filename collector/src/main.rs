//! The collector's command: reads the command line, does what it says, and ends with the contract's exit code.
#![forbid(unsafe_code)]

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;
use cprvagt_collector::{cli, commands, logging, privacy};

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    logging::init(cli.verbose);
    let exit = privacy::close_up().map_err(commands::Failure::from).and_then(|()| commands::run(&cli));
    match exit {
        Ok(()) => cli::Exit::Success.into(),
        Err(failure) => {
            // Nobody is left to tell when standard error is closed.
            let _ = writeln!(io::stderr(), "{failure}");
            failure.exit().into()
        }
    }
}
