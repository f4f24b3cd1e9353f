//! `test`: sets up, builds agent and collector, runs every test that this machine can run, and sums up.
//!
//! Live tests are in binaries of their own (package `cprvagt-tests`) and run one at a time: they share
//! the kernel.  What they need and this machine lacks they say as `skipped: NAME: reason`.  What failed is told
//! once more at the end, with its last lines, where nobody has to search for it.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::build::{self, Programs};
use crate::vm::releases;
use crate::{go, python, relatives, setup, shell};

const UNIT: &str = "test --no-fail-fast --workspace --exclude cprvagt-bench --exclude cprvagt-ebpf \
                    --exclude cprvagt-tests -- --show-output";
const LIVE: &str = "test --no-fail-fast --package cprvagt-tests -- --show-output --test-threads=1";

/// What the line of a failed test has behind the place where it ran.
pub const FAILED: &str = ": FAILED: ";
/// Lines of a failed test's output that are told at the end.
const FAILURE_LINES: usize = 30;

/// Runs all tests.
pub fn run() -> Result<()> {
    setup::for_tests()?;
    let programs = build::programs(build::Profile::Dev)?;
    python::packages()?;
    go::programs()?;
    relatives::programs()?;
    releases::unpack()?;
    let mut tally = Tally::default();
    for tests in [UNIT, LIVE] {
        tally.add(run_tests(tests, &programs)?);
    }
    for skipped in &tally.skips {
        println!("skipped: {skipped}");
    }
    for failure in &tally.failures {
        print!("{failure}");
    }
    println!("{tally}");
    if tally.failed > 0 {
        bail!("some tests failed");
    }
    Ok(())
}

/// What test runs ended with.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Tests that ran and passed.
    pub passed: usize,
    /// Tests that failed; a run that did not come to an end counts as one.
    pub failed: usize,
    /// Tests marked as ignored.
    pub ignored: usize,
    /// `NAME: reason` of tests that said they could not run.
    pub skips: Vec<String>,
    /// What each failed test said.
    pub failures: Vec<Failure>,
    /// Whether the lines that come are of the part in which the harness repeats what failed.
    among_failures: bool,
}

/// A failed test and what it printed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Failure {
    name: String,
    output: Vec<String>,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let output: Vec<&str> = self.output.iter().map(String::as_str).collect();
        tell_failure(f, "here", &self.name, &output)
    }
}

/// Tells what failed, where, and the last lines of what it printed, indented.
///
/// # Errors
/// `out` does not take it.
pub fn tell_failure(
    out: &mut impl std::fmt::Write,
    place: &str,
    what: &str,
    output: &[&str],
) -> std::fmt::Result {
    writeln!(out, "{place}{FAILED}{what}")?;
    output[output.len().saturating_sub(FAILURE_LINES)..]
        .iter()
        .try_for_each(|line| writeln!(out, "    {line}"))
}

impl Tally {
    /// Takes one line that a test binary or cargo printed.
    pub fn read(&mut self, line: &str) {
        if let Some(skip) = line.strip_prefix("skipped: ") {
            self.skips.push(skip.to_owned());
        } else if let Some(result) = line.strip_prefix("test result: ") {
            self.passed += count(result, "passed");
            self.failed += count(result, "failed");
            self.ignored += count(result, "ignored");
            self.among_failures = false;
        } else {
            self.read_failure(line);
        }
    }

    /// The harness repeats what failed between two lines `failures:`, the second one before a bare list of names.
    fn read_failure(&mut self, line: &str) {
        if line == "failures:" {
            self.among_failures = !self.among_failures;
        } else if self.among_failures {
            let header = line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" stdout ----"));
            if let Some(name) = header {
                self.failures.push(Failure { name: name.to_owned(), output: Vec::new() });
            } else if let Some(failure) = self.failures.last_mut().filter(|_| !line.is_empty()) {
                failure.output.push(line.to_owned());
            }
        }
    }

    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
        self.skips.extend(other.skips);
        self.failures.extend(other.failures);
    }

    /// Tests that said they could not run; the test harness counts them as passed.
    fn whole_tests_skipped(&self) -> usize {
        // `NAME (part): reason` is a part of a test that otherwise ran.
        self.skips.iter().filter(|skip| !skip.split(':').next().unwrap_or_default().contains('(')).count()
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let skipped = self.whole_tests_skipped();
        let passed = self.passed.saturating_sub(skipped);
        write!(f, "{passed} passed, {} failed, {} skipped", self.failed, skipped + self.ignored)
    }
}

fn run_tests(arguments: &str, programs: &Programs) -> Result<Tally> {
    let mut cargo = shell::cargo(arguments);
    cargo.env("CPRVAGT_BIN", &programs.agent).env("CPRVAGT_COLLECTOR_BIN", &programs.collector);
    cargo.env("CPRVAGT_GO", go::folder()).env("CPRVAGT_PYTHON", python::folder());
    cargo.env("CPRVAGT_OPENSSL", releases::folder()).env("CPRVAGT_RELATIVES", relatives::folder());
    let mut tally = Tally::default();
    let ended_well = pass_through(&mut cargo, |line| tally.read(line))?;
    if !ended_well && tally.failed == 0 {
        tally.failed = 1; // did not compile, or a test binary was killed
    }
    Ok(tally)
}

/// Runs it, printing each line of its standard output when it comes; true when it succeeded.
///
/// # Errors
/// When it cannot start.
pub fn pass_through(command: &mut Command, mut each: impl FnMut(&str)) -> Result<bool> {
    shell::announce(command);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("starting cargo")?;
    let mut lines = BufReader::new(child.stdout.take().expect("piped"));
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        let text = String::from_utf8_lossy(&line);
        each(text.trim_end());
        std::io::stdout().write_all(text.as_bytes())?;
        line.clear();
    }
    Ok(child.wait()?.success())
}

fn count(result: &str, what: &str) -> usize {
    let part = result.split([';', '.']).find_map(|part| part.trim().strip_suffix(what));
    part.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_summed_and_skips_are_not_passes() {
        let mut tally = Tally::default();
        for line in [
            "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s",
            "skipped: needs_a_kernel: needs root",
            "skipped: programs (node): node is not installed",
            "test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out",
            "test x ... ok",
        ] {
            tally.read(line);
        }
        assert_eq!(tally.to_string(), "6 passed, 3 failed, 2 skipped");
    }

    #[test]
    fn what_failed_is_kept_and_nothing_else() {
        let mut tally = Tally::default();
        let printed = "\
            successes:\n\n---- well stdout ----\nfine\n\nsuccesses:\n    well\n\n\
            failures:\n\n---- a::b stdout ----\none\n\ntwo\n\n---- c stdout ----\nthree\n\n\
            failures:\n    a::b\n    c\n\n\
            test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out\n\
            successes:\n\n---- also_well stdout ----\nfine";
        printed.lines().for_each(|line| tally.read(line));
        let failure = |name: &str, output: &[&str]| Failure {
            name: name.to_owned(),
            output: output.iter().map(|line| (*line).to_owned()).collect(),
        };
        assert_eq!(tally.failures, [failure("a::b", &["one", "two"]), failure("c", &["three"])]);
        assert_eq!(tally.failures[0].to_string(), "here: FAILED: a::b\n    one\n    two\n");
    }
}
