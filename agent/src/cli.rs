//! The command line, and the exit codes that scripts rely on.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use cprvagt_report::Level;

/// How a command ends. The numbers are part of the contract.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Exit {
    /// All is well.
    Success = 0,
    /// `doctor`: this machine can do some of it.
    Partial = 1,
    /// Wrong configuration or usage; `doctor`: this machine can do none of it.
    Config = 2,
    /// A privilege or a kernel feature is missing.
    Unable = 4,
    /// Something is already running.
    Busy = 5,
    /// The command is in the contract and not in this version (EX_USAGE of sysexits.h).
    NotInThisVersion = 64,
    /// Something failed that should not (EX_SOFTWARE of sysexits.h).
    Failure = 70,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error that knows how the command ends because of it.
pub trait Exits: std::error::Error {
    /// The exit code for this error.
    fn exit(&self) -> Exit;
}

impl Exits for crate::config::ConfigError {
    fn exit(&self) -> Exit {
        Exit::Config
    }
}

impl Exits for crate::judge::Overfull {
    fn exit(&self) -> Exit {
        Exit::Config
    }
}

impl Exits for crate::pseudonym::KeyError {
    fn exit(&self) -> Exit {
        match self {
            Self::NoRandom(_) => Exit::Unable,
            _ => Exit::Config,
        }
    }
}

const EXAMPLES: &str = "\
Examples:
  cprvagt doctor                        what this machine can and cannot observe
  cprvagt watch                         a live table of leaks until Ctrl-C
  cprvagt watch --json --for 60         one JSON object a line, for a minute
  cprvagt check --config ./agent.toml   is this configuration valid?

Exit codes: 2 configuration or usage, 4 missing privilege or kernel feature,
5 already running, 64 not in this version.";

/// Finds Danish CPR numbers in what this host sends out.
#[derive(Debug, Parser)]
#[command(name = "cprvagt", version, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// The configuration file [default: /etc/cprvagt/agent.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Tell more about the agent itself, on standard error; repeat for still more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
}

/// The commands of the contract.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Watch in the foreground and show each leak
    #[command(after_help = "\
Examples:
  cprvagt watch
  cprvagt watch --min low --for 600
  cprvagt watch --json > leaks.jsonl

Prints \"ready\" on standard error once every probe is in place. Ctrl-C ends it.")]
    Watch(Watch),
    /// Validate the configuration
    #[command(after_help = "Example:\n  cprvagt check --config ./agent.toml")]
    Check,
    /// Tell what this machine can and cannot observe
    #[command(after_help = "\
Examples:
  cprvagt doctor
  cprvagt doctor --json

Exit codes: 0 everything can be observed, 1 some of it, 2 nothing.")]
    Doctor(Doctor),
    /// The daemon (not in this version)
    Run(Later),
    /// Search files, folders and captures (not in this version)
    Scan(Later),
    /// Follow a made-up leak through the whole agent (not in this version)
    SelfTest(Later),
    /// Ask the running daemon (not in this version)
    Status(Later),
    /// Propose allow entries (not in this version)
    Learn(Later),
    /// Make a controller's keys (not in this version)
    Keys(Later),
    /// Enrol at a collector (not in this version)
    Enrol(Later),
    /// Look into the spool (not in this version)
    Spool(Later),
}

/// Options of `watch`.
#[derive(Args, Clone, Debug, Default)]
pub struct Watch {
    /// Stop after this many seconds
    #[arg(long = "for", value_name = "SECONDS", value_parser = seconds)]
    pub duration: Option<Duration>,
    /// Lowest confidence shown [default: the configuration's, else medium]
    #[arg(long, value_name = "LEVEL", value_enum)]
    pub min: Option<MinLevel>,
    /// One leak object a line on standard output, then one ledger object
    #[arg(long)]
    pub json: bool,
}

/// Options of `doctor`.
#[derive(Args, Clone, Copy, Debug)]
pub struct Doctor {
    /// One JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

/// Anything: a command that this version does not have.
#[derive(Args, Clone, Debug)]
pub struct Later {
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

/// LEVEL on the command line.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum MinLevel {
    /// Only high confidence
    High,
    /// Medium and up
    Medium,
    /// Low and up
    Low,
    /// Every candidate that passes grammar and calendar
    Any,
}

impl From<MinLevel> for Level {
    fn from(level: MinLevel) -> Self {
        match level {
            MinLevel::High => Self::High,
            MinLevel::Medium => Self::Medium,
            MinLevel::Low => Self::Low,
            MinLevel::Any => Self::Any,
        }
    }
}

impl Command {
    /// The command's name, for a message.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Watch(_) => "watch",
            Self::Check => "check",
            Self::Doctor(_) => "doctor",
            Self::Run(_) => "run",
            Self::Scan(_) => "scan",
            Self::SelfTest(_) => "self-test",
            Self::Status(_) => "status",
            Self::Learn(_) => "learn",
            Self::Keys(_) => "keys",
            Self::Enrol(_) => "enrol",
            Self::Spool(_) => "spool",
        }
    }
}

/// Seconds, whole or with decimals, more than 0.
fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = || "a number of seconds above 0 is needed".to_owned();
    let seconds: f64 = text.parse().map_err(|_| wrong())?;
    Duration::try_from_secs_f64(seconds).ok().filter(|it| !it.is_zero()).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn watch_takes_its_options() {
        let cli = parse("cprvagt watch --for 1.5 --min any --json --config x.toml").unwrap();
        assert_eq!(cli.config, Some("x.toml".into()));
        let Command::Watch(watch) = cli.command else { panic!("not watch") };
        assert_eq!(watch.duration, Some(Duration::from_millis(1500)));
        assert_eq!(watch.min.map(Level::from), Some(Level::Any));
        assert!(watch.json);
    }

    #[test]
    fn usage_errors_exit_with_2() {
        for line in [
            "cprvagt",
            "cprvagt wacth",
            "cprvagt watch --for 0",
            "cprvagt watch --for -1",
            "cprvagt watch --for x",
            "cprvagt watch --for inf",
            "cprvagt watch --min tiny",
            "cprvagt check --jsno",
        ] {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn commands_of_later_versions_are_known_with_any_arguments() {
        for line in [
            "cprvagt run",
            "cprvagt scan --json --min low -",
            "cprvagt self-test",
            "cprvagt status --json",
            "cprvagt learn",
            "cprvagt keys new",
            "cprvagt enrol https://collector.example --token t --bundle b",
            "cprvagt spool list",
        ] {
            let name = line.split(' ').nth(1).unwrap();
            assert_eq!(parse(line).unwrap().command.name(), name);
        }
    }

    #[test]
    fn help_has_examples() {
        for line in
            ["cprvagt --help", "cprvagt watch --help", "cprvagt doctor --help", "cprvagt check --help"]
        {
            let help = parse(line).unwrap_err();
            assert_eq!(help.exit_code(), 0);
            assert!(help.to_string().contains("Example"), "{line}");
        }
    }
}
