//! Recorded leaks, judged anew: what would be otherwise under another policy.
//!
//! A recording is what `watch --json` or `run --json` wrote: a leak a line. It holds no numbers, and all that a policy
//! asks for but the user and the cgroup of a process and the image of its container: entries and systems by those fit no
//! recorded leak. Whether citizens were many is taken as it was recorded.
//!
//! *Limits*: [`LINE_BYTES_MAX`] bytes of a line; [`ROWS_MAX`] kinds of change are told, and how many leaks are of others.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read as _, Write};

use cprvagt_abi::Role;
use cprvagt_report::{Direction, LEAK_SCHEMA, Leak, Rule, Scrubbed};

use crate::judge::{FarNames, FlowFacts, HitFacts, HostName, Policy};
use crate::process::ProcessFacts;
use crate::scrub::Scrubber;

/// Longest line that is read: a leak whose names all have their full length is a tenth of it.
const LINE_BYTES_MAX: u64 = 1 << 20;
/// Kinds of change that are told.
const ROWS_MAX: usize = 1000;

/// Why a recording cannot be judged.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// It cannot be read.
    #[error("the recording cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// A line is no object that the agent writes. Nothing of it is told.
    #[error("line {0} of the recording is no leak and no ledger, as watch --json writes them")]
    Malformed(usize),
}

/// What a policy makes of a recording.
#[derive(Debug, Default, Eq, PartialEq)]
pub struct Outcome {
    leaks: usize,
    /// Leaks that would be judged alike.
    same: usize,
    /// What changes, and of how many leaks.
    rows: BTreeMap<String, usize>,
    /// Leaks that change and found no row.
    others: usize,
}

impl Outcome {
    /// Judges each leak that `lines` tell.
    ///
    /// # Errors
    /// A line cannot be read, or is no object of the agent.
    pub fn of(policy: &Policy, mut lines: impl BufRead, scrubber: &Scrubber) -> Result<Self, RecordingError> {
        let mut outcome = Self::default();
        for number in 1.. {
            let mut line = Vec::new();
            if lines.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)? == 0 {
                break;
            }
            if let Some(leak) = leak(&line).ok_or(RecordingError::Malformed(number))? {
                outcome.add(policy, &leak, scrubber);
            }
        }
        Ok(outcome)
    }

    fn add(&mut self, policy: &Policy, leak: &Leak, scrubber: &Scrubber) {
        self.leaks += 1;
        let (before, after) = (recorded(leak), judged(policy, leak));
        if before == after {
            self.same += 1;
            return;
        }
        let row = format!("{}: {before} -> {after}", way(leak, scrubber));
        if self.rows.len() >= ROWS_MAX && !self.rows.contains_key(&row) {
            self.others += 1;
        } else {
            *self.rows.entry(row).or_default() += 1;
        }
    }

    /// Tells it, a kind of change a line.
    ///
    /// # Errors
    /// Nobody reads.
    pub fn tell(&self, out: &mut impl Write) -> io::Result<()> {
        let changed = self.leaks - self.same;
        writeln!(out, "{} recorded leaks: {} judged alike, {changed} otherwise", self.leaks, self.same)?;
        for (row, count) in &self.rows {
            writeln!(out, "{count:>8} {row}")?;
        }
        if self.others > 0 {
            writeln!(out, "{:>8} in other ways", self.others)?;
        }
        Ok(())
    }
}

/// The leak in a line; `Some(None)` for another object, `None` for what is none.
fn leak(line: &[u8]) -> Option<Option<Leak>> {
    let object: serde_json::Value = serde_json::from_slice(line).ok()?;
    match object["schema"].as_str()? {
        LEAK_SCHEMA => serde_json::from_value(object).ok().map(Some),
        _ => Some(None),
    }
}

fn recorded(leak: &Leak) -> String {
    words(leak.severity.as_str(), [leak.rule].into_iter().chain(leak.also_breaks.iter().copied()))
}

fn judged(policy: &Policy, leak: &Leak) -> String {
    let destination = leak.destination.as_ref();
    let host = destination.and_then(|it| it.host.as_ref());
    let own = host.and_then(|host| HostName::of_authority(host.as_str())).into_iter().collect();
    let names = FarNames { own, learned: Vec::new() };
    let process = leak.process.as_ref().map(facts);
    let remote = destination.and_then(|it| Some(std::net::SocketAddr::new(it.ip?, it.port?)));
    let is_server = matches!(leak.direction, Some(Direction::Request | Direction::Response));
    let flow = FlowFacts {
        remote,
        role: if is_server { Role::Server } else { Role::Client },
        encrypted: leak.transport.as_ref().is_some_and(|it| it.encrypted),
        process: process.as_ref(),
        names: &names,
    };
    let was_mass = leak.rule == Rule::MassExposure || leak.also_breaks.contains(&Rule::MassExposure);
    let hit = HitFacts::at(&leak.location, leak.class, leak.confidence);
    let hit = HitFacts { citizens: if was_mass { u32::MAX } else { 0 }, ..hit };
    policy.verdict(&flow, &hit).map_or_else(
        || "nothing".to_owned(),
        |it| words(it.severity.as_str(), [it.rule].into_iter().chain(it.also_breaks)),
    )
}

fn words(severity: &str, rules: impl Iterator<Item = Rule>) -> String {
    rules.fold(severity.to_owned(), |text, rule| text + " " + rule.as_str())
}

/// What a leak says of a process that entries ask for.
fn facts(process: &cprvagt_report::Process) -> ProcessFacts {
    let text = |name: &Option<Scrubbed>| name.as_ref().map(|name| name.as_str().to_owned());
    ProcessFacts {
        exe: text(&process.exe),
        unit: text(&process.unit),
        container: text(&process.container),
        ..ProcessFacts::of_pid(process.pid.unwrap_or_default())
    }
}

/// From whom to whom, scrubbed once more: nobody knows who wrote the recording.
fn way(leak: &Leak, scrubber: &Scrubber) -> String {
    let name = |name: &Scrubbed| scrubber.name(name.as_str()).to_string();
    let process = leak.process.as_ref();
    let program = process.and_then(|it| it.exe.as_ref().or(it.comm.as_ref())).map(name);
    let destination = leak.destination.as_ref();
    let address = destination.and_then(|it| it.ip).map(|ip| ip.to_string());
    let to = destination.and_then(|it| it.host.as_ref()).map(name).or(address);
    let port = destination.and_then(|it| it.port).map_or_else(String::new, |port| format!(" port {port}"));
    let unknown = || "unknown".to_owned();
    format!("{} to {}{port}", program.unwrap_or_else(unknown), to.unwrap_or_else(unknown))
}

#[cfg(test)]
mod tests {
    use cprvagt_report::sample;

    use super::*;
    use crate::config::Config;

    fn outcome(policy: &str, lines: &str) -> Result<String, RecordingError> {
        let policy = Policy::new(&Config::parse(policy).unwrap(), 0).unwrap();
        let mut out = Vec::new();
        Outcome::of(&policy, lines.as_bytes(), &Scrubber::at(0))?.tell(&mut out).unwrap();
        Ok(String::from_utf8(out).unwrap())
    }

    fn line(leak: &Leak) -> String {
        serde_json::to_string(leak).unwrap() + "\n"
    }

    fn allow(to: &str) -> String {
        format!("[[allow]]\nto = \"{to}\"\nbecause = \"x\"\n")
    }

    const LEDGER: &str = "{\"schema\":\"cprvagt.ledger/1\"}\n";

    #[test]
    fn recorded_leaks_are_judged_anew() {
        let leak = sample::leak(1, "stats.example");
        let nginx = Leak {
            process: Some(cprvagt_report::Process {
                exe: Some(sample::name("/usr/sbin/nginx")),
                ..Default::default()
            }),
            ..leak.clone()
        };
        let recording = line(&leak) + LEDGER + &line(&leak) + &line(&nginx);
        let (unknown, of_nginx) =
            ("unknown to stats.example port 443", "/usr/sbin/nginx to stats.example port 443");
        let from_nginx = allow("192.0.2.0/24") + "from = { exe = \"/usr/sbin/*\" }\n";
        let both = |after: &str| {
            format!(
                "3 recorded leaks: 0 judged alike, 3 otherwise\n       1 {of_nginx}: high not-allowed -> {after}\n       \
                 2 {unknown}: high not-allowed -> {after}\n"
            )
        };
        let cases = [
            (String::new(), "3 recorded leaks: 3 judged alike, 0 otherwise\n".to_owned()),
            (allow("stats.example"), both("nothing")),
            (allow("192.0.2.1"), both("nothing")),
            (allow("other.example"), "3 recorded leaks: 3 judged alike, 0 otherwise\n".to_owned()),
            ("[rules]\nseverity = { not-allowed = \"low\" }\n".to_owned(), both("low not-allowed")),
            (
                from_nginx,
                format!(
                    "3 recorded leaks: 2 judged alike, 1 otherwise\n       1 {of_nginx}: high not-allowed -> nothing\n"
                ),
            ),
        ];
        for (policy, expected) in cases {
            assert_eq!(outcome(&policy, &recording).unwrap(), expected, "{policy}");
        }
    }

    #[test]
    fn what_is_no_recording_is_told_by_its_line() {
        for text in ["x\n", "{}\n", "{\"schema\":\"cprvagt.leak/1\"}\n", "\n", "{\"schema\":7}\n"] {
            let error = outcome("", &(LEDGER.to_owned() + text)).unwrap_err().to_string();
            assert!(error.starts_with("line 2 of the recording"), "{error}");
        }
        let long = "\"".to_owned() + &"x".repeat(LINE_BYTES_MAX as usize + 9) + "\"\n";
        assert!(outcome("", &long).is_err());
        assert_eq!(outcome("", "").unwrap(), "0 recorded leaks: 0 judged alike, 0 otherwise\n");
    }

    #[test]
    fn kinds_of_change_are_bounded() {
        let leaks = (0..ROWS_MAX + 7).map(|n| line(&sample::leak(1, &format!("n{n}.example"))));
        let told = outcome(&allow("192.0.2.1"), &leaks.collect::<String>()).unwrap();
        assert_eq!(told.lines().count(), 1 + ROWS_MAX + 1);
        assert!(told.ends_with("       7 in other ways\n"), "{told}");
    }
}
