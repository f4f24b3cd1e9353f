//! `bench`: what the agent costs, and how much it, its matcher and the collector get done.
//!
//! What is compared alternates in one run, since a machine's speed drifts; `--check` holds the result against a bar.

mod discovery;
mod matcher;
mod probe;
mod spool;
mod stream;
mod vectorscan;
mod wire;

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde::de::DeserializeOwned;

/// Which benchmark.
#[derive(clap::Args)]
pub struct Arguments {
    /// What is measured.
    name: Name,
    /// Fail when a bar is missed.
    #[arg(long)]
    check: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Name {
    /// Processor time of the agent at its start with 2,000 processes, and while 200 a second are started. Needs root.
    Discovery,
    /// The matcher against the engines that could take its place. Writes docs/benchmarks/matcher.md.
    Matcher,
    /// 1 KiB TLS writes and requests of one program, with and without the agent. Needs root.
    Probe,
    /// Leaks a second that become durable: in the spool, and in the collector.
    Spool,
    /// Streams, decoded and matched, against the matcher or a decompressor alone.
    Stream,
    /// Requests and bulk in clear, with and without the agent, and where loss begins. Needs root.
    Wire,
}

/// Runs the benchmark and prints its table.
pub fn run(arguments: &Arguments) -> Result<()> {
    match arguments.name {
        Name::Discovery => discovery::run(arguments.check),
        Name::Matcher => matcher::run(arguments.check),
        Name::Probe => probe::run(arguments.check),
        Name::Spool => spool::run(arguments.check),
        Name::Stream => stream::run(arguments.check),
        Name::Wire => wire::run(arguments.check),
    }
}

/// What a program prints as JSON of what it measured.
fn measured<T: DeserializeOwned>(command: &mut Command) -> Result<T> {
    let output = command.stderr(Stdio::inherit()).output().context("starting it")?;
    ensure!(output.status.success(), "{} failed", command.get_program().display());
    serde_json::from_slice(&output.stdout).context("it did not print what it measured")
}

/// Runs a program that prints so many numbers.
fn numbers<const COUNT: usize>(command: &mut Command) -> Result<[f64; COUNT]> {
    let output = command.output().context("running the timed program")?;
    ensure!(output.status.success(), "the timed program failed: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    let numbers: Vec<f64> = text.split_whitespace().filter_map(|number| number.parse().ok()).collect();
    <[f64; COUNT]>::try_from(numbers).ok().with_context(|| format!("the timed program printed {text:?}"))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
