//! `cprvagt check`: is the configuration valid, and what does it do?

use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::{Path, PathBuf};

use cprvagt_report::Moment;

use crate::cli;
use crate::config::{Allow, Config, ConfigError, DEFAULT_PATH, described};
use crate::judge::Policy;
use crate::pseudonym::{Key, KeyError};
use crate::recording::{Outcome, RecordingError};
use crate::scrub::Scrubber;

/// Why the configuration is not valid.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The file.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The key that it names.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The recording.
    #[error("{path}: {cause}", path = path.display())]
    Recording {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        cause: RecordingError,
    },
    /// Nobody reads the answer.
    #[error("standard output: {0}")]
    Output(#[from] io::Error),
}

impl crate::cli::Exits for CheckError {
    fn exit(&self) -> crate::cli::Exit {
        match self {
            Self::Config(error) => error.exit(),
            Self::Key(error) => error.exit(),
            Self::Recording { .. } => crate::cli::Exit::Config,
            Self::Output(_) => crate::cli::Exit::Failure,
        }
    }
}

/// Checks the file named on the command line, else the default one, and tells what it says.
///
/// # Errors
/// The configuration, the key file that it names, or the recording is not valid.
pub fn run(named: Option<&Path>, options: &cli::Check, out: &mut impl Write) -> Result<(), CheckError> {
    let (config, path) = Config::find(named)?;
    if let Some(key_file) = &config.pseudonym.key_file {
        Key::load(key_file)?;
    }
    match path {
        Some(path) => writeln!(out, "config: {}: ok", path.display())?,
        None => writeln!(out, "config: {DEFAULT_PATH}: no such file; the built-in defaults hold")?,
    }
    for line in told(&config) {
        writeln!(out, "  {line}")?;
    }
    if let Some(recording) = &options.against {
        let failed = |cause| CheckError::Recording { path: recording.clone(), cause };
        against(&config, recording).map_err(failed)?.tell(out)?;
    }
    Ok(())
}

/// What the configuration makes of recorded leaks.
fn against(config: &Config, recording: &Path) -> Result<Outcome, RecordingError> {
    let now_unix = Moment::now().0.as_second();
    let policy = Policy::new(config, now_unix).map_err(io::Error::other)?;
    let scrubber = Scrubber::at(now_unix);
    if recording == Path::new("-") {
        return Outcome::of(&policy, io::stdin().lock(), &scrubber);
    }
    Outcome::of(&policy, BufReader::new(File::open(recording)?), &scrubber)
}

/// What the configuration means, a line each.
fn told(config: &Config) -> Vec<String> {
    let classes: Vec<&str> = config.report.classes.iter().map(|class| class.as_str()).collect();
    let mut lines = vec![
        format!(
            "{} allowed, {} in [[system]]",
            counted(config.allow.len(), "destination"),
            config.system.len()
        ),
        match config.inspect.len() {
            0 => "every process is inspected".to_owned(),
            count => format!("inspection limited by {}", counted(count, "[[inspect]] section")),
        },
        format!("told from confidence {} on, classes {}", config.report.min_confidence, classes.join(", ")),
    ];
    lines.extend(expired(config, Moment::now().0.as_second()));
    if config.pseudonym.key_file.is_none() {
        lines.push("no [pseudonym] key_file: the enrolment's key, else a random key for each run".to_owned());
    }
    let enrolled_at = "where the host enrolled".to_owned();
    let collector = config.collector.url.as_ref().map_or(enrolled_at, ToString::to_string);
    lines.push(format!("reports wait in {}, and go to: {collector}", config.spool.dir.display()));
    lines
}

/// The entries that have expired: they allow nothing.
fn expired(config: &Config, now_unix: i64) -> Vec<String> {
    let is_over = |entry: &&Allow| entry.ends_unix().is_some_and(|ends| ends <= now_unix);
    let told = |entry: &Allow| format!("expired: {}: {}", entry.at, described(entry));
    config.allow.iter().filter(is_over).map(told).collect()
}

fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<String, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.toml");
        std::fs::write(&path, text).unwrap();
        let mut out = Vec::new();
        let told = run(Some(&path), &cli::Check { against: None }, &mut out)
            .map(|()| String::from_utf8(out).unwrap());
        let plain = |text: String| text.replace(&path.display().to_string(), "FILE");
        told.map(plain).map_err(|error| plain(error.to_string()))
    }

    #[test]
    fn an_empty_file_is_the_defaults() {
        let expected = "config: FILE: ok\n  0 destinations allowed, 0 in [[system]]\n  every process is inspected\n  \
             told from confidence medium on, classes cpr, replacement\n  \
             no [pseudonym] key_file: the enrolment's key, else a random key for each run\n  \
             reports wait in /var/lib/cprvagt/spool, and go to: where the host enrolled\n";
        assert_eq!(check("").unwrap(), expected);
    }

    #[test]
    fn spool_and_collector_are_told() {
        let told = check("[spool]\ndir = \"/x\"\n[collector]\nurl = \"https://c.example\"\n").unwrap();
        assert!(told.contains("  reports wait in /x, and go to: https://c.example:443\n"), "{told}");
    }

    #[test]
    fn entries_that_have_expired_are_named() {
        let entry = |to: &str, expires: &str| {
            format!("[[allow]]\nto = \"{to}\"\nbecause = \"x\"\nexpires = {expires}\n")
        };
        let told = check(&(entry("192.0.2.1", "2020-02-29") + &entry("192.0.2.2", "9000-01-01"))).unwrap();
        let lines: Vec<&str> = told.lines().filter(|line| line.contains("expired")).collect();
        assert_eq!(lines, ["  expired: 1:1: 192.0.2.1 until 2020-02-29 waives not-allowed because \"x\""]);
    }

    #[test]
    fn a_recording_is_judged_by_the_configuration() {
        let dir = tempfile::tempdir().unwrap();
        let (config, recording) = (dir.path().join("agent.toml"), dir.path().join("leaks"));
        std::fs::write(&config, "[[allow]]\nto = \"192.0.2.1\"\nbecause = \"x\"\n").unwrap();
        let leak = cprvagt_report::sample::leak(1, "a.example");
        std::fs::write(&recording, serde_json::to_string(&leak).unwrap() + "\n").unwrap();
        let mut out = Vec::new();
        let options = cli::Check { against: Some(recording.clone()) };
        run(Some(&config), &options, &mut out).unwrap();
        let told = String::from_utf8(out).unwrap();
        assert!(told.contains("1 recorded leaks: 0 judged alike, 1 otherwise\n"), "{told}");
        std::fs::write(&recording, "x").unwrap();
        let error = run(Some(&config), &options, &mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("line 1 of the recording"), "{error}");
    }

    #[test]
    fn a_missing_key_file_is_an_error() {
        let error = check("[pseudonym]\nkey_file = \"/nowhere/key\"\n").unwrap_err();
        assert!(error.starts_with("pseudonym key: /nowhere/key: "), "{error}");
    }

    #[test]
    fn a_wrong_key_is_told_with_its_place() {
        let error = check("[[allow]]\nto = \"192.0.2.1\"\nbecuase = \"x\"\n").unwrap_err();
        assert!(
            error.contains(
                "config: FILE:3:1: unknown key \"becuase\" in [[allow]]; did you mean \"because\"?"
            )
        );
    }
}
