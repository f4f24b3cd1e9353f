//! The command line, and the exit codes that scripts rely on.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use cprvagt_report::AgentId;

/// Longest life of a token.
const TOKEN_LIFE_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How a command ends. The numbers are part of the contract.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Exit {
    /// All is well.
    Success = 0,
    /// Wrong configuration or usage.
    Config = 2,
    /// A privilege is missing.
    Unable = 4,
    /// Something is already running.
    Busy = 5,
    /// Something failed that should not (EX_SOFTWARE of sysexits.h).
    Failure = 70,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

const EXAMPLES: &str = "\
Examples:
  cprvagt-collector check                     is the configuration valid?
  cprvagt-collector serve                     take in reports, show and forward incidents
  cprvagt-collector token --for 2h            a token for one new agent
  cprvagt-collector account add anna          an account for the web pages
  cprvagt-collector incidents                 what leaked, to whom, how many citizens
  cprvagt-collector outlets                   is everything told that should be?

Exit codes: 2 configuration or usage, 4 missing privilege, 5 already running, 70 a failure.";

/// Takes in what agents found, keeps it as incidents, shows and forwards them.
#[derive(Debug, Parser)]
#[command(name = "cprvagt-collector", version, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// The configuration file [default: /etc/cprvagt/collector.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Tell more about the collector itself, on standard error; repeat for still more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Take in reports, show and forward incidents, until stopped
    #[command(after_help = "\
Examples:
  cprvagt-collector serve
  cprvagt-collector serve --config ./collector.toml -v

Prints the addresses and \"ready\" on standard error once it listens. SIGTERM or Ctrl-C ends it; SIGHUP
reads the certificate files again.")]
    Serve,
    /// Make a token with which one new agent enrols
    #[command(after_help = "\
Examples:
  cprvagt-collector token
  cprvagt-collector token --for 2h --note \"web01, change 4711\"

The token is printed once; only a hash of it is kept.")]
    Token(Token),
    /// List incidents, newest first, with the citizens of each recipient and in total
    #[command(after_help = "\
Examples:
  cprvagt-collector incidents
  cprvagt-collector incidents --site tracker.example
  cprvagt-collector incidents --json | jq .citizens

Works beside a running collector. With --json: one cprvagt.incident/1 object a line, then one
cprvagt.totals/1 object. With --site the sums are those of that site, and the object names it. --limit
shortens the list, not the sums.")]
    Incidents(Incidents),
    /// List the enrolled agents and when each was last heard, or revoke one
    #[command(after_help = "\
Examples:
  cprvagt-collector agents
  cprvagt-collector agents revoke 0193b8a1-7c5e-7d10-8f2a-3b1c5d7e9f01

\"dropped\" counts what is no longer kept of an agent because it sent too much of it: reports that cannot
be read, and ledgers.")]
    Agents(Agents),
    /// List the outlets: how far each is, why it waits, and what was held back from it
    #[command(after_help = "\
Example:
  cprvagt-collector outlets

An event is held back when it could hold a readable number, or when its row cannot be read. It stays in
the outbox; once the cause is mended, replay delivers it.")]
    Outlets,
    /// Accounts for the web pages
    #[command(subcommand)]
    Account(Account),
    /// Validate the configuration
    #[command(after_help = "Example:\n  cprvagt-collector check --config ./collector.toml")]
    Check,
    /// Send an outlet again what it has had, from an event or a time on
    #[command(after_help = "\
Examples:
  cprvagt-collector replay --outlet siem --from 2026-01-31T12:00:00Z
  cprvagt-collector replay --outlet file --from 1042

Receivers know an event sent again by its delivery id and its uid.")]
    Replay(Replay),
    /// Write man pages and shell completions, for packages
    #[command(hide = true)]
    Manual {
        /// Into this folder
        folder: PathBuf,
    },
}

/// Options of `token`.
#[derive(Args, Clone, Debug)]
pub struct Token {
    /// How long it can be used, such as 30m, 24h or 7d; at most 30d
    #[arg(long = "for", value_name = "TIME", default_value = "24h", value_parser = token_life)]
    pub life: Duration,
    /// What it is for, kept beside its hash
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub note: String,
}

/// Options of `incidents`.
#[derive(Args, Clone, Debug)]
pub struct Incidents {
    /// One cprvagt.incident/1 object a line on standard output
    #[arg(long)]
    pub json: bool,
    /// Only those with this recipient site
    #[arg(long, value_name = "SITE")]
    pub site: Option<String>,
    /// At most this many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: Option<u32>,
}

/// Options of `agents`.
#[derive(Args, Clone, Debug)]
pub struct Agents {
    /// What to do; without it agents are listed.
    #[command(subcommand)]
    pub what: Option<AgentsCommand>,
}

/// What to do with agents.
#[derive(Clone, Debug, Subcommand)]
pub enum AgentsCommand {
    /// Refuse an agent from its next request on, for good
    #[command(after_help = "\
Example:
  cprvagt-collector agents revoke 0193b8a1-7c5e-7d10-8f2a-3b1c5d7e9f01

What it reported before stays. Its host can enrol again as a new agent, with a new token.")]
    Revoke(RevokeAgent),
}

/// Options of `agents revoke`.
#[derive(Args, Clone, Debug)]
pub struct RevokeAgent {
    /// The agent's id, as listed by `cprvagt-collector agents`
    #[arg(value_name = "ID", value_parser = agent_id)]
    pub agent: AgentId,
}

/// What to do with accounts.
#[derive(Debug, Subcommand)]
pub enum Account {
    /// Add an account; the password is asked for, or read from standard input
    #[command(after_help = "\
Examples:
  cprvagt-collector account add anna
  cprvagt-collector account add bo --role admin < password-file

The password is never given on the command line, where other users could read it.")]
    Add(AddAccount),
    /// Give an account a new password and end its sessions
    #[command(after_help = "Example:\n  cprvagt-collector account password anna")]
    Password(NamedAccount),
    /// List the accounts
    #[command(after_help = "Example:\n  cprvagt-collector account list")]
    List,
    /// Let an account in no more, and end its sessions
    #[command(after_help = "Example:\n  cprvagt-collector account disable anna")]
    Disable(NamedAccount),
}

/// Options of `account add`.
#[derive(Args, Clone, Debug)]
pub struct AddAccount {
    /// The name to log in with: letters, digits, `.`, `_`, `-`, `@`
    #[arg(value_parser = account_name)]
    pub name: String,
    /// What it may do
    #[arg(long, value_enum, default_value_t = Role::Analyst)]
    pub role: Role,
}

/// An account by its name.
#[derive(Args, Clone, Debug)]
pub struct NamedAccount {
    /// The name
    #[arg(value_parser = account_name)]
    pub name: String,
}

/// What an account may do.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Role {
    /// Read the pages
    Analyst,
    /// Read the pages; later versions let it change things
    Admin,
}

/// Options of `replay`.
#[derive(Args, Clone, Debug)]
pub struct Replay {
    /// The outlet's name: "file", or that of a webhook
    #[arg(long, value_name = "NAME")]
    pub outlet: String,
    /// The first event to send again: its number, or a point in time
    #[arg(long, value_name = "ID|RFC3339", value_parser = replay_from)]
    pub from: ReplayFrom,
}

/// Where a replay begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ReplayFrom {
    /// With this event of the outbox.
    Event(i64),
    /// With the first event made at or after this time.
    Time(jiff::Timestamp),
}

/// A whole number and `m`, `h` or `d`; from a minute to [`TOKEN_LIFE_MAX`].
fn token_life(text: &str) -> Result<Duration, String> {
    let wrong = || "write a number and m, h or d, such as 24h; at most 30d".to_owned();
    let (number, seconds) = match text.char_indices().next_back() {
        Some((at, 'm')) => (&text[..at], 60),
        Some((at, 'h')) => (&text[..at], 60 * 60),
        Some((at, 'd')) => (&text[..at], 24 * 60 * 60),
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let life = Duration::from_secs(number.checked_mul(seconds).ok_or_else(wrong)?);
    Some(life).filter(|life| !life.is_zero() && *life <= TOKEN_LIFE_MAX).ok_or_else(wrong)
}

fn account_name(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_alphanumeric() || "._-@".contains(c);
    match text.chars().count() {
        1..=64 if text.chars().all(fits) => Ok(text.to_owned()),
        _ => Err("a name has 1 to 64 letters, digits, '.', '_', '-' or '@'".to_owned()),
    }
}

fn agent_id(text: &str) -> Result<AgentId, String> {
    text.parse().map(AgentId).map_err(|_| "an agent's id is a UUID, as in the list".to_owned())
}

fn replay_from(text: &str) -> Result<ReplayFrom, String> {
    match (text.parse::<i64>(), text.parse()) {
        (Ok(event), _) if event >= 0 => Ok(ReplayFrom::Event(event)),
        (_, Ok(time)) => Ok(ReplayFrom::Time(time)),
        _ => Err("write an event's number, or a time such as 2026-01-31T12:00:00Z".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn lives_of_tokens() {
        let cases = [
            ("24h", Some(86_400)),
            ("30m", Some(1800)),
            ("30d", Some(2_592_000)),
            ("31d", None),
            ("0h", None),
            ("24", None),
            ("h", None),
            ("", None),
            ("-1h", None),
            ("99999999999999999999d", None),
            ("9999999999999999999d", None),
            ("1ø", None),
        ];
        for (text, expected) in cases {
            assert_eq!(token_life(text).ok().map(|life| life.as_secs()), expected, "{text}");
        }
    }

    #[test]
    fn replays_begin_with_an_event_or_a_time() {
        assert_eq!(replay_from("12"), Ok(ReplayFrom::Event(12)));
        assert!(matches!(replay_from("2026-01-31T12:00:00Z"), Ok(ReplayFrom::Time(_))));
        for bad in ["", "-1", "yesterday", "2026-01-31"] {
            assert!(replay_from(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn usage_errors_exit_with_2() {
        for line in [
            "cprvagt-collector",
            "cprvagt-collector server",
            "cprvagt-collector token --for 0h",
            "cprvagt-collector incidents --limit 0",
            "cprvagt-collector account add",
            "cprvagt-collector account add a/b",
            "cprvagt-collector account add anna --role root",
            "cprvagt-collector account add anna --password secret",
            "cprvagt-collector replay --outlet file",
            "cprvagt-collector agents revoke",
            "cprvagt-collector agents revoke web1",
        ] {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn help_has_examples() {
        let commands =
            ["", "serve", "token", "incidents", "agents", "account add", "account password", "account list"];
        for command in
            commands.into_iter().chain(["account disable", "agents revoke", "check", "outlets", "replay"])
        {
            let line = format!("cprvagt-collector {command} --help").replace("  ", " ");
            let help = parse(&line).unwrap_err();
            assert_eq!(help.exit_code(), 0, "{line}");
            assert!(help.to_string().contains("Example"), "{line}");
        }
    }
}
