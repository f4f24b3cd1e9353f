//! `fuzz`: lets libFuzzer drive the targets of `fuzz/`, each for a while.
//!
//! The compiler's own pass counts edges, so the stable compiler is enough. What is built so lies in a folder
//! of its own. libFuzzer is written in C++ and needs a C++ compiler.
//!
//! *Invariants*: `fuzz/corpus` is only read. Inputs that reach new code go to `fuzz/NAME` below the target folder
//! and are taken up by the next run; inputs that fail are kept there too, in `failed`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use cprvagt_tests::live;

use crate::refusal::{MISSING, refuse};
use crate::shell;

/// Counts edges and tells libFuzzer what is compared; panics also where numbers overflow.
const RUSTFLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 -Cdebug-assertions=yes \
    -Coverflow-checks=yes";
/// Longest that one input may take, in seconds, and most memory, in MiB.
const BOUNDS: [&str; 2] = ["-timeout=10", "-rss_limit_mb=1024"];

/// Which targets, and how long.
#[derive(clap::Args)]
pub struct Arguments {
    /// The target; all of them, one after another, when left out.
    name: Option<String>,
    /// Seconds for each target.
    #[arg(long = "for", value_name = "SECONDS", default_value_t = 60)]
    seconds: u64,
}

/// Builds and runs.
pub fn run(arguments: &Arguments) -> Result<()> {
    let names = match &arguments.name {
        Some(name) => vec![known(name)?],
        None => targets()?,
    };
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".into());
    if live::which(&compiler).is_none() {
        return refuse(MISSING, format!("fuzz: no C++ compiler named {compiler}; apt install g++"));
    }
    let programs = build()?;
    let mut failed = Vec::new();
    for name in names {
        if !drive(&programs, &name, arguments.seconds)? {
            failed.push(name);
        }
    }
    ensure!(failed.is_empty(), "fuzz: {} failed; the inputs are told above", failed.join(", "));
    Ok(())
}

/// The names of all targets, sorted.
fn targets() -> Result<Vec<String>> {
    let folder = shell::root().join("fuzz/fuzz_targets");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        names.extend(entry?.path().file_stem().map(|stem| stem.display().to_string()));
    }
    names.sort();
    Ok(names)
}

fn known(name: &str) -> Result<String> {
    let names = targets()?;
    ensure!(
        names.iter().any(|it| it == name),
        "fuzz: no target named {name:?}; there are {}",
        names.join(", ")
    );
    Ok(name.to_owned())
}

/// Builds all targets and returns the folder of the programs.
fn build() -> Result<PathBuf> {
    let folder = shell::target_folder().join("fuzz/build");
    let host = host()?;
    // With a target named, the flags do not reach build scripts and macros.
    let mut cargo = shell::cargo("build --release --package cprvagt-fuzz --features libfuzzer --bins");
    cargo.args(["--target", &host]).arg("--target-dir").arg(&folder).env("RUSTFLAGS", RUSTFLAGS);
    shell::run(&mut cargo)?;
    Ok(folder.join(host).join("release"))
}

/// The triple that the compiler builds for by itself.
///
/// # Errors
/// There is no compiler, or it does not say.
pub fn host() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("starting rustc")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc does not say what it builds for")
}

/// Lets libFuzzer drive one target and prints a line; false when an input failed.
fn drive(programs: &Path, name: &str, seconds: u64) -> Result<bool> {
    let finds = shell::target_folder().join("fuzz").join(name);
    let failed = finds.join("failed");
    fs::create_dir_all(&failed).with_context(|| failed.display().to_string())?;
    let mut command = Command::new(programs.join(name));
    command.arg(format!("-max_total_time={seconds}")).args(BOUNDS).arg("-print_final_stats=1");
    // libFuzzer reads folders to their depth, so that failed inputs are tried again until they are mended.
    command.arg(format!("-artifact_prefix={}/", failed.display()));
    command.arg(&finds).arg(shell::root().join("fuzz/corpus").join(name));
    shell::announce(&command);
    let log = finds.with_extension("log");
    let output = fs::File::create(&log).with_context(|| log.display().to_string())?;
    let (out, err) = (output.try_clone()?, output);
    let status = command.stdin(Stdio::null()).stdout(out).stderr(err).status();
    let status = status.with_context(|| format!("starting {name}"))?;
    let text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    println!("{}", summary(name, &text));
    if status.success() {
        return Ok(true);
    }
    for line in text.lines().filter(|line| tells_why(line)) {
        println!("  {line}");
    }
    println!("  see {}", log.display());
    Ok(false)
}

/// Runs, new inputs, and edges reached, as libFuzzer's log has them.
fn summary(name: &str, log: &str) -> String {
    let stat = |key: &str| {
        let line = log.lines().find_map(|line| line.strip_prefix("stat::")?.strip_prefix(key));
        line.map_or("?", |rest| rest.trim_start_matches(':').trim())
    };
    let edges = log.lines().filter_map(|line| line.split(" cov: ").nth(1)).next_back();
    let edges = edges.and_then(|rest| rest.split_whitespace().next()).unwrap_or("?");
    let (runs, new) = (stat("number_of_executed_units"), stat("new_units_added"));
    format!("{name:<16} {runs:>10} runs {new:>6} new inputs {edges:>6} edges")
}

/// Lines that say what failed and where the input is.
fn tells_why(line: &str) -> bool {
    ["panicked at", "SUMMARY:", "Test unit written to"].iter().any(|mark| line.contains(mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "INFO: seed corpus\n#2\tINITED cov: 120 ft: 121 corp: 1/1b\n#9\tNEW    cov: 345 ft: 400\n\
        stat::number_of_executed_units: 6543\nstat::new_units_added:          21\n";

    #[test]
    fn a_log_is_summed_up() {
        let line = summary("cpr_scan", LOG);
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words, ["cpr_scan", "6543", "runs", "21", "new", "inputs", "345", "edges"]);
        assert!(summary("cpr_scan", "").contains("? runs"));
    }

    #[test]
    fn there_are_targets_and_others_are_refused() {
        let names = targets().unwrap();
        assert!(names.contains(&"report_open".to_owned()), "{names:?}");
        assert!(known("report_open").is_ok() && known("report").is_err());
    }
}
