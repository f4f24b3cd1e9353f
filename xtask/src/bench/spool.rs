//! `bench spool`: how many leaks a second become durable on a host, and in a collector.
//!
//! Three programs measure and print one JSON line each: the spool against raw grouped writes of the same bytes,
//! the collector's store alone, and a whole collector that agents deliver to over mutual TLS. All write below the
//! target folder, which must be on a real disk. Each runs several times; the medians count.
//!
//! *Limits*: `--check` holds the medians against [`RATIO_MIN`] and [`ROWS_MIN`].

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use cprvagt_tests::collector::Collector;
use serde_json::Value;

use super::median;
use crate::shell;

/// All at once, so that nothing is built twice.
const BUILD: &str = "build --release --package cprvagt-collector --package cprvagt-spool --bins \
    --example spool_rate --example store_rate --example serve_rate";
/// Runs of each program.
const RUNS: usize = 3;
/// The spool's rate is at least this share of that of raw writes.
const RATIO_MIN: f64 = 0.5;
/// Occurrences that a collector takes in a second, at least.
const ROWS_MIN: f64 = 20_000.0;
/// Seconds of one run of the spool.
const SPOOL_SECONDS: &str = "10";
/// Occurrences of one run of the store.
const STORE_ROWS: &str = "300000";
/// Agents that deliver at once, and reports of 200 leaks that each of them has.
const AGENTS: usize = 4;
const AGENT_REPORTS: &str = "400";

/// Builds, measures, and prints a table.
pub fn run(check: bool) -> Result<()> {
    shell::run(&mut shell::cargo(BUILD))?;
    let release = shell::target_folder().join("release");
    let example = |name| release.join("examples").join(name);
    let folder = shell::target_folder().join("bench");
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    println!("{:<40} {:>12} {:>12} {:>7}", "median of runs", "each second", "raw writes", "ratio");
    let ratio = spool(&example("spool_rate"), &folder)?;
    store(&example("store_rate"), &folder)?;
    let rows = serve(&example("serve_rate"), &release.join("cprvagt-collector"), &folder)?;
    println!("the first by hand: {} DIR {SPOOL_SECONDS}", example("spool_rate").display());
    if check && ratio < RATIO_MIN {
        bail!("bench spool: {ratio:.2} of the rate of raw writes; at least {RATIO_MIN} are asked for");
    }
    if check && rows < ROWS_MIN {
        bail!("bench spool: the collector takes {rows:.0} rows a second; at least {ROWS_MIN} are asked for");
    }
    Ok(())
}

fn spool(program: &Path, folder: &Path) -> Result<f64> {
    let runs = repeated(|run| {
        let dir = scratch(folder, &format!("spool{run}"))?;
        measure(Command::new(program).arg(dir).arg(SPOOL_SECONDS), "")
    })?;
    let [spooled, raw, ratio] =
        ["spool_leaks_per_s", "raw_leaks_per_s", "ratio"].map(|key| middle(&runs, key));
    println!("{:<40} {:>12.0} {:>12.0} {:>7.2}", "spool: leaks, fdatasync each 800", spooled?, raw?, ratio?);
    middle(&runs, "ratio")
}

fn store(program: &Path, folder: &Path) -> Result<f64> {
    let runs = repeated(|run| {
        let dir = scratch(folder, &format!("store{run}"))?;
        measure(Command::new(program).args([STORE_ROWS, "16"]).arg(dir), "")
    })?;
    row("store alone: rows", &runs)
}

/// A collector of its own for each run, as `serve` starts it.
fn serve(client: &Path, program: &Path, folder: &Path) -> Result<f64> {
    let runs = repeated(|run| {
        let dir = scratch(folder, &format!("serve{run}"))?;
        let collector = Collector::start(program, &dir, "")?;
        let tokens = (0..AGENTS).map(|_| collector.token()).collect::<Result<Vec<_>>>()?.join("\n");
        let address = collector.agents_url().trim_start_matches("https://");
        measure(Command::new(client).args([address, AGENT_REPORTS]), &tokens)
    })?;
    row("collector over TLS: rows", &runs)
}

fn row(name: &str, runs: &[Value]) -> Result<f64> {
    let rows = middle(runs, "rows_per_second")?;
    println!("{name:<40} {rows:>12.0}");
    Ok(rows)
}

fn repeated(mut run: impl FnMut(usize) -> Result<Value>) -> Result<Vec<Value>> {
    (0..RUNS).map(&mut run).collect()
}

/// An empty folder; what an earlier run left is removed.
fn scratch(folder: &Path, name: &str) -> Result<PathBuf> {
    let dir = folder.join(name);
    if dir.exists() {
        fs::remove_dir_all(&dir).with_context(|| dir.display().to_string())?;
    }
    fs::create_dir(&dir).with_context(|| dir.display().to_string())?;
    Ok(dir)
}

/// Runs a program that reads `input` and prints what it measured.
fn measure(command: &mut Command, input: &str) -> Result<Value> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("starting it")?;
    child.stdin.take().expect("piped").write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "{} failed", command.get_program().display());
    serde_json::from_slice(&output.stdout).context("it did not print what it measured")
}

fn middle(runs: &[Value], key: &str) -> Result<f64> {
    let values: Option<Vec<f64>> = runs.iter().map(|run| run[key].as_f64()).collect();
    values.map(median).with_context(|| format!("{key} is missing"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_middle_of_runs_counts_and_each_must_have_it() {
        let runs = [json!({ "ratio": 0.9 }), json!({ "ratio": 0.2 }), json!({ "ratio": 0.6 })];
        assert_eq!(middle(&runs, "ratio").unwrap(), 0.6);
        assert!(middle(&runs, "rows").is_err());
    }
}
