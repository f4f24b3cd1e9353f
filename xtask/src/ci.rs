//! `ci`: the project's own test command as its README gives it, other kernels, then every gate.
//!
//! *Limits*: under 40 minutes on two cores from nothing.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use cprvagt_tests::live;
use nix::unistd::geteuid;

use crate::refusal::{MISSING, refuse};
use crate::{shell, test, vm};

/// Pinned, so that a newer one cannot turn the gates red by itself.
const DENY_INSTALL: &str = "install cargo-deny --locked --version 0.20.2";

/// Other kernels, and the tests in which they have the largest part: what attaches, and each tap. On the oldest and the
/// newest when the capture code is not what docs/kernels.md was made from; otherwise on Debian 12's alone. All tests on
/// all kernels are what `cargo xtask vm --page` is for, before a change lands.
const KERNEL_TESTS: &str = "cgroup:: cleanup:: discovery::a_file kernel:: ktls:: libraries::sends mounts:: \
                            privileges::each resident:: tls:: wire::";
const ONE_KERNEL: &str = "6.1";
const BOTH_ENDS: &str = "5.10 newest";

/// What is checked beside the tests, and how.
const GATES: [(&str, &str); 6] = [
    ("house style", "xtask tidy"),
    ("format", "fmt --all --check"),
    ("lints", "clippy --all-targets -- -D warnings"),
    ("documentation", "doc --no-deps"),
    ("locked dependencies", "fetch --locked"),
    ("dependency rules", "deny --offline check bans licenses sources"),
];

/// Runs tests and gates; the last line is `N passed, N failed, N skipped`, a failed gate being a failure.
pub fn run() -> Result<()> {
    if !geteuid().is_root() {
        return refuse(MISSING, "ci: the live tests need root");
    }
    let here = tests("xtask test")?;
    let kernels = if vm::has_seen_this_code()? { ONE_KERNEL } else { BOTH_ENDS };
    let elsewhere = tests(&format!("xtask vm {kernels} -- {KERNEL_TESTS}"))?;
    let tested = here.passed && elsewhere.passed;
    let sum = std::array::from_fn(|index| here.sum[index] + elsewhere.sum[index]);
    // Without it its gate fails, and the run still ends with its last line.
    install_deny().unwrap_or_else(|error| eprintln!("{error:#}"));
    let failed: Vec<&str> =
        GATES.into_iter().filter(|(_, arguments)| !passes(arguments)).map(|(gate, _)| gate).collect();
    println!("gate advisories: skipped: it needs the network");
    for line in here.failures.iter().chain(&elsewhere.failures) {
        println!("{line}");
    }
    for (gate, _) in GATES {
        println!("gate {gate}: {}", if failed.contains(&gate) { "FAILED" } else { "ok" });
    }
    println!("{}", closing_line(sum, failed.len()));
    if !tested || !failed.is_empty() {
        bail!("tests passed: {tested}; gates failed: {}", failed.len());
    }
    Ok(())
}

/// How a run of tests ended.
#[derive(Default)]
struct Ended {
    passed: bool,
    /// Passed, failed, skipped.
    sum: [usize; 3],
    /// The lines that told what failed, to be repeated where the output ends.
    failures: Vec<String>,
}

/// Runs tests and takes the three numbers of the last line.
fn tests(command: &str) -> Result<Ended> {
    let (mut last, mut telling, mut ended) = (String::new(), false, Ended::default());
    ended.passed = test::pass_through(&mut shell::cargo(command), |line| {
        telling = line.contains(test::FAILED) || (telling && line.starts_with("    "));
        if telling {
            ended.failures.push(line.to_owned());
        }
        last = line.to_owned();
    })?;
    ended.sum = sum(&last).unwrap_or([0, usize::from(!ended.passed), 0]);
    Ok(ended)
}

/// The numbers of `N passed, N failed, N skipped`.
fn sum(line: &str) -> Option<[usize; 3]> {
    let mut parts = line.split(", ");
    let mut number = |what| parts.next()?.strip_suffix(what)?.trim().parse().ok();
    Some([number("passed")?, number("failed")?, number("skipped")?])
}

fn closing_line([passed, failed, skipped]: [usize; 3], gates_failed: usize) -> String {
    format!("{passed} passed, {} failed, {skipped} skipped", failed + gates_failed)
}

fn passes(arguments: &str) -> bool {
    let mut cargo = shell::cargo(arguments);
    cargo.env("RUSTDOCFLAGS", "-D warnings");
    shell::run(&mut cargo).map_err(|error| eprintln!("{error:#}")).is_ok()
}

fn install_deny() -> Result<()> {
    let own: &Path = &shell::cargo_bin().join("cargo-deny");
    let there = live::which("cargo-deny").unwrap_or_else(|| own.to_owned());
    if Command::new(there).arg("--version").output().is_ok_and(|output| output.status.success()) {
        return Ok(());
    }
    shell::run(&mut shell::cargo(DENY_INSTALL)).context("installing cargo-deny")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_line_counts_failed_gates() {
        let sum = sum("12 passed, 0 failed, 3 skipped").expect("it is a closing line");
        assert_eq!(closing_line(sum, 1), "12 passed, 1 failed, 3 skipped");
        assert_eq!(super::sum("error: could not compile"), None);
    }
}
