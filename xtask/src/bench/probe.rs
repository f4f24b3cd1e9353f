//! `bench probe`: what the agent costs a program that it watches.
//!
//! Rounds with and without the agent alternate in one run, since a machine's speed drifts; a ratio is the
//! median of the rounds' ratios.
//!
//! *Limits*: `--check` holds a ratio against [`RATIO_MAX`].

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use cprvagt_tests::agent::Agent;
use cprvagt_tests::lab::{Lab, Service};
use cprvagt_tests::network::Family;
use nix::unistd::geteuid;

use super::median;
use crate::build;
use crate::refusal::{MISSING, refuse};

/// Pairs of rounds; the first is thrown away.
const ROUNDS: usize = 6;
/// Writes and requests of a round.
const COUNT: &str = "20000";
/// A 1 KiB write may take at most so many times longer with the agent.
const RATIO_MAX: f64 = 4.0;

/// Measures, and prints a table; needs root.
pub fn run(check: bool) -> Result<()> {
    if !geteuid().is_root() {
        return refuse(
            MISSING,
            "bench: root is needed, to load kernel programs and to build the lab network",
        );
    }
    let program = build::programs(build::Profile::Release)?.agent;
    let ratio = probe(&program)?;
    if check && ratio > RATIO_MAX {
        bail!(
            "bench probe: a write takes {ratio:.2} times as long with the agent; at most {RATIO_MAX} are allowed"
        );
    }
    Ok(())
}

/// Microseconds of one round.
struct Round {
    write: f64,
    request: f64,
}

fn probe(program: &Path) -> Result<f64> {
    let mut lab = Lab::new()?;
    let recipient = lab.recipient("bench.example", Service::Https, Family::V4)?;
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        without.push(round(&lab, &recipient.host)?);
        let agent = Agent::start_program(program, lab.scratch(), "", &[])?;
        with.push(round(&lab, &recipient.host)?);
        agent.stop()?;
    }
    println!("{:<22} {:>12} {:>12} {:>7}", "microseconds each", "without", "with agent", "ratio");
    row("request of 1 KiB", &without, &with, |round| round.request);
    Ok(row("TLS write of 1 KiB", &without, &with, |round| round.write))
}

fn row(name: &str, without: &[Round], with: &[Round], pick: fn(&Round) -> f64) -> f64 {
    let pairs: Vec<_> = without.iter().zip(with).skip(1).map(|(a, b)| (pick(a), pick(b))).collect();
    let ratio = median(pairs.iter().map(|(a, b)| b / a).collect());
    let (a, b) =
        (median(pairs.iter().map(|it| it.0).collect()), median(pairs.iter().map(|it| it.1).collect()));
    println!("{name:<22} {a:>12.2} {b:>12.2} {ratio:>7.2}");
    ratio
}

fn round(lab: &Lab, host: &str) -> Result<Round> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/programs/write_bench.py");
    let mut command = lab.command("/usr/bin/python3")?;
    command.arg(script).args([host, "443"]).arg(lab.authority().file()).arg(COUNT);
    let output = command.output().context("running the timed program")?;
    ensure!(output.status.success(), "the timed program failed: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    let mut numbers = text.split_whitespace().map(str::parse::<f64>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(write)), Some(Ok(request))) => Ok(Round { write, request }),
        _ => bail!("the timed program printed {text:?}"),
    }
}
