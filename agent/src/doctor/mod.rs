//! `cprvagt doctor`: what this machine can and cannot observe, and what is lost without each capability.
//!
//! *Invariants*: every finding names the live test behind it, and says what is, where, what is lost and what to do; nothing is changed.
//! *Not here*: loading programs; the capture half hands in the function that tries.

mod capabilities;
mod checks;
mod coverage;
mod evidence;
mod libraries;
mod mounts;

use std::fmt::Display;
use std::io::{self, Write};
use std::path::PathBuf;

use crate::capture::ProbeReach;
use crate::cli::Exit;
use crate::run::Landlock;

pub use coverage::Coverage;
pub use mounts::find_cgroup2;

/// Widest line of the table, in columns.
const WIDTH: usize = 80;

/// Column where the text of a finding begins.
const INDENT: &str = "                          ";

/// What stands before the name of a row's test, which is long.
const TEST_INDENT: &str = "    ";

/// The schema of the JSON object.
const SCHEMA: &str = "cprvagt.doctor/1";

/// What a capability is worth on this machine.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// All of it.
    Works,
    /// Some of it is lost.
    Reduced,
    /// None of it.
    Missing,
}

impl State {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Works => "ok",
            Self::Reduced => "reduced",
            Self::Missing => "missing",
        }
    }
}

/// One capability, looked at.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// Its name.
    pub capability: &'static str,
    /// What it is worth here.
    pub state: State,
    /// Without it nothing at all can be observed.
    pub essential: bool,
    /// What was found, and where.
    pub what: String,
    /// What cannot be observed because of it; empty when it works.
    pub lost: &'static str,
    /// What to do; empty when it works.
    pub remedy: String,
}

/// The machine's files, below `root` so that a recorded machine can stand in.
#[derive(Clone, Debug)]
pub struct Machine {
    root: PathBuf,
}

impl Default for Machine {
    fn default() -> Self {
        Self { root: "/".into() }
    }
}

impl Machine {
    /// The machine whose files lie below `root`.
    #[cfg(test)]
    fn at(root: &std::path::Path) -> Self {
        Self { root: root.to_owned() }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    fn text(&self, path: &str) -> Option<String> {
        let bytes = std::fs::read(self.path(path)).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// Looks at `machine`; `probe_load` tries to load the kernel programs, and says what the kernel said; `landlock` is
/// what it can limit.
pub fn examine<E: Display>(
    machine: &Machine,
    probe_load: impl FnOnce() -> Result<ProbeReach, E>,
    landlock: Landlock,
) -> Vec<Finding> {
    let mut findings = vec![
        checks::privileges(machine),
        checks::kernel(machine),
        checks::cgroup(machine),
        checks::loading(probe_load()),
        checks::uprobes(machine),
        checks::library_discovery(machine),
        checks::lockdown(machine),
        checks::confinement(landlock),
        checks::type_information(machine),
    ];
    findings.extend(checks::tls_libraries(machine));
    findings
}

/// Everything works, something is lost, or nothing can be observed.
pub fn exit(findings: &[Finding]) -> Exit {
    if findings.iter().any(|it| it.essential && it.state == State::Missing) {
        Exit::Config
    } else if findings.iter().all(|it| it.state == State::Works) {
        Exit::Success
    } else {
        Exit::Partial
    }
}

/// Writes the findings, and how far the running daemon reads, as one JSON object or as a table.
///
/// # Errors
/// `out` does not take it.
pub fn tell(findings: &[Finding], coverage: &Coverage, json: bool, out: &mut impl Write) -> io::Result<()> {
    if json {
        return writeln!(out, "{}", to_json(findings, coverage));
    }
    out.write_all((to_table(findings) + "\n" + &coverage.to_text()).as_bytes())
}

fn to_json(findings: &[Finding], coverage: &Coverage) -> serde_json::Value {
    let of = |it: &Finding| {
        serde_json::json!({
            "capability": it.capability, "state": it.state.as_str(), "essential": it.essential,
            "what": it.what, "lost": it.lost, "remedy": it.remedy, "tests": evidence::tests(it.capability),
        })
    };
    let observes = ["everything", "some", "nothing"];
    let exit = exit(findings) as u8;
    serde_json::json!({
        "schema": SCHEMA, "observes": observes[usize::from(exit)], "exit": exit,
        "findings": findings.iter().map(of).collect::<Vec<_>>(), "daemon": coverage.to_json(),
    })
}

fn to_table(findings: &[Finding]) -> String {
    let mut table = String::new();
    for it in findings {
        let head = format!("{:<17} {:<7}", it.capability, it.state.as_str());
        table += &wrapped(&head, &it.what);
        if it.state != State::Works {
            table += &wrapped("", &format!("lost: {}", it.lost));
            table += &wrapped("", &format!("do:   {}", it.remedy));
        }
        if let Some(test) = evidence::tests(it.capability).first() {
            table += &format!("{TEST_INDENT}test: {test}\n");
        }
    }
    let sum = match exit(findings) {
        Exit::Success => "This machine can observe everything.",
        Exit::Partial => "This machine can observe some of it; what is lost is told above.",
        _ => "This machine can observe nothing until what is missing above is there.",
    };
    table + "\n" + sum + "\n"
}

fn wrapped(head: &str, text: &str) -> String {
    let first = format!("{head:<width$}", width = INDENT.len());
    let options = textwrap::Options::new(WIDTH).initial_indent(&first).subsequent_indent(INDENT);
    textwrap::fill(text, options) + "\n"
}

#[cfg(test)]
#[path = "doctor_tests.rs"]
mod tests;
