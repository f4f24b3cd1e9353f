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
    /// `doctor`: this machine can do some of it; `scan`: something was found; `spool`: something is damaged, or still
    /// waits; `verify`: no.
    Partial = 1,
    /// Wrong configuration or usage; `doctor`: this machine can do none of it; `scan`: something could not be read.
    Config = 2,
    /// `status`: no daemon is running; `verify`: the capture cannot tell.
    NoAnswer = 3,
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
  cprvagt status                        how the daemon is doing
  cprvagt watch --json --for 60         one JSON object a line, for a minute
  cprvagt check --config ./agent.toml   is this configuration valid?

Exit codes: 2 configuration or usage, 3 not running, 4 missing privilege or kernel feature,
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
    #[command(after_help = "\
Examples:
  cprvagt check --config ./agent.toml
  cprvagt check --config ./new.toml --against leaks.jsonl

A recording is what `cprvagt watch --json` wrote; it holds no numbers.")]
    Check(Check),
    /// Tell what this machine can and cannot observe
    #[command(after_help = "\
Examples:
  cprvagt doctor
  cprvagt doctor --json

Exit codes: 0 everything can be observed, 1 some of it, 2 nothing.")]
    Doctor(Doctor),
    /// The daemon: watches, and reports to the collector
    #[command(after_help = "\
Examples:
  cprvagt run                       under systemd, or in the foreground
  cprvagt run --json                each leak also as a line of JSON on standard output

The host must be enrolled (cprvagt enrol). SIGHUP reads the configuration again, whole or not at all;
SIGTERM and Ctrl-C end it after what was found is in the spool.")]
    Run(Run),
    /// A process of the daemon, started by it
    #[command(hide = true)]
    Part {
        /// Which
        #[arg(value_enum)]
        part: Part,
    },
    /// Search files, folders and standard input
    #[command(after_help = "\
Examples:
  cprvagt scan export.csv logs/            each number found, a line
  cprvagt scan --explain request.http      and why it counts as one
  pg_dump app | cprvagt scan --json -      one JSON object a line
  cprvagt scan --min any --now 2027-03-15T00:00:00Z samples/

Numbers are masked, and numbers in names of files are left out. Folders are read in the order of names; links in
them are not followed. Network captures are not read and compressed files not unpacked in this version.

Exit codes: 0 nothing found, 1 something found, 2 something could not be read.")]
    Scan(Scan),
    /// Follow a made-up leak through the whole agent (not in this version)
    SelfTest(Later),
    /// Tell how the running daemon is doing
    #[command(after_help = "\
Examples:
  cprvagt status
  cprvagt status --json

Exit codes: 0 it runs, 3 it does not.")]
    Status(Status),
    /// Compare a leak with a packet capture
    #[command(after_help = "\
Examples:
  tcpdump -i any -w capture.pcap tcp    while cprvagt watch --json > leaks.jsonl
  cprvagt verify leaks.jsonl --pcap capture.pcap --id 0190b3a4-5c6d-7e8f-9a0b-1c2d3e4f5a6b
  tail -n 1 leaks.jsonl | cprvagt verify - --pcap capture.pcap --json

Finds the connection by its hello's random and the TLS records of the leak by their place and length. Nothing is
decrypted, and no key is needed. pcap and pcapng are read, over Ethernet, Linux cooked, raw IP and loopback links.

Exit codes: 0 yes, 1 no, 2 leak or capture cannot be read, 3 the capture cannot tell.")]
    Verify(Verify),
    /// Propose allow entries (not in this version)
    Learn(Later),
    /// Make a data controller's keys
    #[command(after_help = "\
Example:
  cprvagt keys new --controller \"Myndighed X\" --out ./keys

Run it where the controller keeps its secrets, not on a watched host and not on the collector.")]
    Keys(Keys),
    /// Make this host an agent of a collector
    #[command(after_help = "\
Examples:
  cprvagt enrol https://collector.example:8443 --token - --bundle myndighed.bundle < token
  cprvagt enrol https://collector.example:8443 --token cprvagt1.SECRET.AUTHORITY \\
    --bundle myndighed.bundle --replace

`cprvagt-collector token` prints a token. It works once. With `--token -` it is read from standard input,
where no list of processes shows it.")]
    Enrol(Enrol),
    /// Look into the spool, mend it, empty it
    #[command(after_help = "\
Examples:
  cprvagt spool list
  cprvagt spool fsck --json
  cprvagt spool flush --for 60

What the reports say is sealed to the collector and never shown.")]
    Spool(Spool),
    /// Write man pages and shell completions, for packages
    #[command(hide = true)]
    Manual {
        /// Into this folder
        folder: PathBuf,
    },
}

/// Options of `keys`.
#[derive(Args, Clone, Debug)]
pub struct Keys {
    /// What to do.
    #[command(subcommand)]
    pub command: KeysCommand,
}

/// The commands of `keys`.
#[derive(Clone, Debug, Subcommand)]
pub enum KeysCommand {
    /// Make NAME.bundle for the controller's hosts and NAME.identity for the controller alone
    #[command(after_help = "Example:\n  cprvagt keys new --controller \"Myndighed X\" --out ./keys")]
    New(KeysNew),
}

/// Options of `keys new`.
#[derive(Args, Clone, Debug)]
pub struct KeysNew {
    /// The data controller's name; the files are called after it
    #[arg(long, value_name = "NAME")]
    pub controller: String,
    /// The folder for both files; nothing in it is overwritten
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// Options of `enrol`.
#[derive(Args, Clone)]
pub struct Enrol {
    /// The collector: https://HOST:PORT
    pub url: String,
    /// The one-time token; "-" reads it from standard input
    #[arg(long, value_name = "TOKEN")]
    pub token: String,
    /// The data controller's bundle
    #[arg(long, value_name = "FILE")]
    pub bundle: PathBuf,
    /// Put the new enrolment in the place of the one that there is
    #[arg(long)]
    pub replace: bool,
}

impl std::fmt::Debug for Enrol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The token is a secret.
        write!(f, "Enrol({}, {}, replace {})", self.url, self.bundle.display(), self.replace)
    }
}

/// Options of `spool`.
#[derive(Args, Clone, Debug)]
pub struct Spool {
    /// What to do.
    #[command(subcommand)]
    pub command: SpoolCommand,
    /// The spool's folder [default: the configuration's]
    #[arg(long, global = true, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// The commands of `spool`.
#[derive(Clone, Debug, Subcommand)]
pub enum SpoolCommand {
    /// Show what waits: files and reports, never their content
    #[command(after_help = "Examples:\n  cprvagt spool list\n  cprvagt spool list --json --dir ./copy")]
    List {
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Look for damage
    #[command(after_help = "\
Examples:
  cprvagt spool fsck
  cprvagt spool fsck --repair

Exit codes: 0 all is well, 1 something is wrong, or was and is repaired, 5 a daemon is running (--repair).")]
    Fsck {
        /// Cut torn ends, set unreadable files aside
        #[arg(long)]
        repair: bool,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Write everything that waits into a file, still sealed, and leave it waiting
    #[command(after_help = "\
Example:
  cprvagt spool export reports.cprvagt

The file holds deliveries as the collector takes them, each with its length before it (4 bytes, little
endian).")]
    Export {
        /// The new file
        file: PathBuf,
    },
    /// Wait until everything is delivered, or deliver it when no daemon runs
    #[command(after_help = "\
Example:
  cprvagt spool flush --for 60

Exit codes: 0 nothing waits any more, 1 something still waits.")]
    Flush {
        /// Give up after this many seconds
        #[arg(long = "for", value_name = "SECONDS", value_parser = seconds, default_value = "60")]
        duration: Duration,
        /// Where the daemon's status socket lies, if one runs
        #[arg(long, value_name = "DIR", default_value = crate::run::RUNTIME_DIR)]
        runtime_dir: PathBuf,
    },
}

/// Options of `check`.
#[derive(Args, Clone, Debug, Default)]
pub struct Check {
    /// Judge these recorded leaks anew, and tell what would be otherwise; "-" is standard input
    #[arg(long, value_name = "RECORDING")]
    pub against: Option<PathBuf>,
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

/// Options of `run`.
#[derive(Args, Clone, Debug)]
pub struct Run {
    /// Each leak also as a line of JSON on standard output, and the ledger at the end
    #[arg(long)]
    pub json: bool,
    /// Lowest confidence told [default: the configuration's, else medium]
    #[arg(long, value_name = "LEVEL", value_enum)]
    pub min: Option<MinLevel>,
    /// Where the status socket lies
    #[arg(long, value_name = "DIR", env = "RUNTIME_DIRECTORY", default_value = crate::run::RUNTIME_DIR)]
    pub runtime_dir: PathBuf,
}

/// Options of `status`.
#[derive(Args, Clone, Debug)]
pub struct Status {
    /// One JSON object on standard output
    #[arg(long)]
    pub json: bool,
    /// Where the daemon's status socket lies
    #[arg(long, value_name = "DIR", default_value = crate::run::RUNTIME_DIR)]
    pub runtime_dir: PathBuf,
}

/// The daemon's other processes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Part {
    /// Opens probe events for capture
    Broker,
    /// Reads the ring and finds numbers
    Inspect,
    /// Keeps the spool and delivers
    Send,
}

/// Options of `scan`.
#[derive(Args, Clone, Debug)]
pub struct Scan {
    /// Files and folders; "-" is standard input
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// One leak object a line on standard output
    #[arg(long)]
    pub json: bool,
    /// Lowest confidence shown [default: the configuration's, else medium]
    #[arg(long, value_name = "LEVEL", value_enum)]
    pub min: Option<MinLevel>,
    /// The time that ages and time stamps are judged at [default: now]
    #[arg(long, value_name = "RFC3339")]
    pub now: Option<jiff::Timestamp>,
    /// Under each number, what speaks for and against it, in decibans
    #[arg(long)]
    pub explain: bool,
}

/// Options of `verify`.
#[derive(Args, Clone, Debug)]
pub struct Verify {
    /// A leak, or a file of leaks, as watch --json writes them; "-" is standard input
    #[arg(value_name = "LEAK")]
    pub leak: PathBuf,
    /// The capture
    #[arg(long, value_name = "FILE")]
    pub pcap: PathBuf,
    /// Which leak of the file
    #[arg(long, value_name = "ID")]
    pub id: Option<uuid::Uuid>,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}

/// Options of `doctor`.
#[derive(Args, Clone, Debug)]
pub struct Doctor {
    /// One JSON object on standard output
    #[arg(long)]
    pub json: bool,
    /// Where the daemon's status socket lies, if one runs
    #[arg(long, value_name = "DIR", default_value = crate::run::RUNTIME_DIR)]
    pub runtime_dir: PathBuf,
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
            Self::Check(_) => "check",
            Self::Doctor(_) => "doctor",
            Self::Run(_) => "run",
            Self::Part { .. } => "part",
            Self::Scan(_) => "scan",
            Self::SelfTest(_) => "self-test",
            Self::Status(_) => "status",
            Self::Verify(_) => "verify",
            Self::Learn(_) => "learn",
            Self::Keys(_) => "keys",
            Self::Enrol(_) => "enrol",
            Self::Spool(_) => "spool",
            Self::Manual { .. } => "manual",
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
            "cprvagt verify leak.json",
            "cprvagt verify leak.json --pcap x --id seven",
        ] {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn scan_takes_its_options_and_at_least_one_path() {
        let line = "cprvagt scan --json --min any --now 2027-03-15T00:00:00Z --explain - a ./b";
        let Command::Scan(scan) = parse(line).unwrap().command else { panic!("not scan") };
        assert_eq!(scan.paths, [PathBuf::from("-"), "a".into(), "./b".into()]);
        assert!(scan.json && scan.explain && scan.min == Some(MinLevel::Any));
        assert_eq!(scan.now.map(|now| now.as_second()), Some(1_805_068_800));
        for line in ["cprvagt scan", "cprvagt scan --now yesterday -"] {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn commands_of_later_versions_are_known_with_any_arguments() {
        for line in ["cprvagt self-test --json", "cprvagt learn"] {
            let name = line.split(' ').nth(1).unwrap();
            assert_eq!(parse(line).unwrap().command.name(), name);
        }
    }

    #[test]
    fn keys_enrol_and_spool_take_their_options() {
        let Command::Keys(keys) = parse("cprvagt keys new --controller x --out ./keys").unwrap().command
        else {
            panic!("not keys")
        };
        let KeysCommand::New(keys) = keys.command;
        assert_eq!((&keys.controller[..], keys.out), ("x", "./keys".into()));
        let enrol = parse("cprvagt enrol https://c.example --token - --bundle b --replace").unwrap();
        let Command::Enrol(enrol) = enrol.command else { panic!("not enrol") };
        assert_eq!((&enrol.url[..], &enrol.token[..], enrol.replace), ("https://c.example", "-", true));
        let spool = parse("cprvagt spool flush --for 2 --dir ./copy").unwrap();
        let Command::Spool(spool) = spool.command else { panic!("not spool") };
        assert_eq!(spool.dir, Some("./copy".into()));
        assert!(matches!(spool.command, SpoolCommand::Flush { duration, .. } if duration.as_secs() == 2));
    }

    #[test]
    fn a_token_is_not_shown() {
        let enrol = parse("cprvagt enrol https://c.example --token s3cr3t --bundle b").unwrap();
        assert!(!format!("{enrol:?}").contains("s3cr3t"));
    }

    #[test]
    fn help_has_examples() {
        for line in [
            "cprvagt --help",
            "cprvagt watch --help",
            "cprvagt doctor --help",
            "cprvagt check --help",
            "cprvagt keys --help",
            "cprvagt keys new --help",
            "cprvagt enrol --help",
            "cprvagt spool --help",
            "cprvagt verify --help",
            "cprvagt spool list --help",
            "cprvagt spool fsck --help",
            "cprvagt spool export --help",
            "cprvagt spool flush --help",
        ] {
            let help = parse(line).unwrap_err();
            assert_eq!(help.exit_code(), 0);
            assert!(help.to_string().contains("Example"), "{line}");
        }
    }
}
