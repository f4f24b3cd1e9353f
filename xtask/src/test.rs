//! `test`: sets up, builds agent and collector, runs every test that this machine can run, and sums up.
//!
//! Live tests are in binaries of their own (package `cprvagt-tests`) and run one at a time: they share
//! the kernel.  What they need and this machine lacks they say as `skipped: NAME: reason`.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::build::{self, Programs};
use crate::{setup, shell};

const UNIT: &str =
    "test --no-fail-fast --workspace --exclude cprvagt-ebpf --exclude cprvagt-tests -- --show-output";
const LIVE: &str = "test --no-fail-fast --package cprvagt-tests -- --show-output --test-threads=1";

/// Runs all tests.
pub fn run() -> Result<()> {
    setup::for_tests()?;
    let programs = build::programs(build::Profile::Dev)?;
    let mut tally = Tally::default();
    for tests in [UNIT, LIVE] {
        tally.add(run_tests(tests, &programs)?);
    }
    for skipped in &tally.skips {
        println!("skipped: {skipped}");
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
        }
    }

    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
        self.skips.extend(other.skips);
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
}
