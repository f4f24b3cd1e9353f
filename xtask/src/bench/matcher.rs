//! `bench matcher`: the matcher against the engines that could take its place, in one program.
//!
//! The program checks first that all find the same candidates, then measures, and prints what it measured as JSON. The
//! page `docs/benchmarks/matcher.md` is made of that.
//!
//! *Limits*: `--check` holds the figures against [`BARS`], of which [`NOISE`] is forgiven.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::{measured, vectorscan};
use crate::{setup, shell};

const BUILD: &str = "build --release --package cprvagt-bench";
const PAGE: &str = "docs/benchmarks/matcher.md";

/// A machine's speed drifts: so much of a bar counts.
const NOISE: f64 = 0.9;

/// The backends that have bars.
const BACKENDS: [&str; 3] = ["avx512", "avx2", "portable"];

/// What is asked of the core grammar: at a place, on each of these corpora, so much of a measure for each backend.
struct Bar {
    place: &'static str,
    corpora: &'static str,
    measure: Measure,
    least: [f64; 3],
}

#[derive(Clone, Copy)]
enum Measure {
    TimesHyperscan,
    TimesBestRival,
    ShareOfRead,
}

const BARS: [Bar; 5] = [
    Bar { place: "hot 16384", corpora: "ab", measure: Measure::TimesHyperscan, least: [12.0, 8.0, 1.8] },
    Bar { place: "hot 200", corpora: "a", measure: Measure::TimesHyperscan, least: [7.0, 5.5, 2.3] },
    Bar { place: "streamed", corpora: "abc", measure: Measure::ShareOfRead, least: [0.85, 0.80, 0.24] },
    Bar { place: "streamed", corpora: "d", measure: Measure::TimesHyperscan, least: [9.0, 7.5, 1.6] },
    Bar { place: "streamed", corpora: "e", measure: Measure::TimesBestRival, least: [3.5, 3.0, 1.5] },
];

/// The full grammar has at least this share of the core's speed, with the same backend.
const FULL_MIN: f64 = 0.75;

/// What the program prints.
#[derive(Deserialize)]
struct Measured {
    mib: u64,
    rounds: u64,
    found: Vec<Found>,
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Found {
    corpus: String,
    candidates: u64,
}

#[derive(Deserialize)]
struct Row {
    corpus: String,
    place: String,
    contender: String,
    gb_per_s: f64,
    times_hyperscan: f64,
    times_best_rival: f64,
    share_of_core: f64,
    share_of_read: f64,
}

/// One bar on one corpus, and what was measured.
struct Verdict {
    what: String,
    measured: f64,
    least: f64,
}

/// Installs the rivals, builds, measures, prints the table and writes the page.
pub fn run(check: bool) -> Result<()> {
    setup::for_matcher()?;
    shell::run(&mut shell::cargo(BUILD))?;
    let program = shell::target_folder().join("release/cprvagt-bench");
    let mut command = Command::new(&program);
    command.envs(vectorscan::library().map(|file| ("CPRVAGT_VECTORSCAN", file)));
    let measured: Measured = measured(&mut command)?;
    let verdicts = verdicts(&measured.rows);
    let tables = tables(&measured)? + &verdict_table(&verdicts)?;
    println!("{tables}");
    let page = shell::root().join(PAGE);
    fs::create_dir_all(page.parent().expect("it is in a folder"))?;
    fs::write(&page, head(&measured) + &tables).with_context(|| page.display().to_string())?;
    let missed: Vec<&str> =
        verdicts.iter().filter(|verdict| !verdict.holds()).map(|v| v.what.as_str()).collect();
    if check && !missed.is_empty() {
        bail!("bench matcher: missed by more than noise: {}", missed.join("; "));
    }
    Ok(())
}

impl Verdict {
    fn holds(&self) -> bool {
        self.measured >= self.least * NOISE
    }
}

impl Measure {
    fn of(self, row: &Row) -> f64 {
        match self {
            Self::TimesHyperscan => row.times_hyperscan,
            Self::TimesBestRival => row.times_best_rival,
            Self::ShareOfRead => row.share_of_read,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::TimesHyperscan => "times Hyperscan",
            Self::TimesBestRival => "times the best rival",
            Self::ShareOfRead => "share of the read bound",
        }
    }
}

/// All bars of the backends that were measured.
fn verdicts(rows: &[Row]) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for row in rows {
        let Some(backend) = BACKENDS.iter().position(|backend| row.contender == *backend) else { continue };
        for bar in BARS.iter().filter(|bar| row.place == bar.place && bar.corpora.contains(&row.corpus)) {
            let what = format!("{}: {} {}, {}", row.contender, row.corpus, row.place, bar.measure.name());
            verdicts.push(Verdict { what, measured: bar.measure.of(row), least: bar.least[backend] });
        }
    }
    verdicts.extend(rows.iter().filter(|row| row.contender == "full").map(|full| {
        let what = format!("full: {} {}, share of the core's speed", full.corpus, full.place);
        Verdict { what, measured: full.share_of_core, least: FULL_MIN }
    }));
    verdicts
}

fn head(measured: &Measured) -> String {
    let processor = processor(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default());
    format!(
        "# The matcher against other engines\n\n\
         Written by `cargo xtask bench matcher`. Processor: {processor}, one core. {} MiB of each corpus; a figure is the \
         median of {} rounds in which the contenders take turns, a ratio the median of the rounds' ratios. What the \
         corpora are, and how each rival is used, is told in `crates/cpr/tests/corpora` and `bench/src/rival.rs`.\n\n\
         Before anything is measured, all contenders must find the same candidates in the same places. `full` is the \
         full grammar with the fastest backend. `read` adds up all bytes and looks for nothing. Backends that this \
         processor does not have are not in the tables: nothing is known of their speed.\n\n",
        measured.mib, measured.rounds
    )
}

/// The name of the processor, and the numbers that tell which it is where a hypervisor has taken its name away.
fn processor(cpuinfo: &str) -> String {
    let value = |key: &str| {
        let mut pairs = cpuinfo.lines().filter_map(|line| line.split_once(':'));
        pairs.find(|(name, _)| name.trim() == key).map_or("unknown", |(_, value)| value.trim())
    };
    let [name, family, model] = ["model name", "cpu family", "model"].map(value);
    format!("{name} (family {family}, model {model})")
}

/// One table for each place: GB/s, and in brackets times Hyperscan and share of the read bound.
fn tables(measured: &Measured) -> Result<String> {
    let mut text = String::new();
    let found: Vec<String> =
        measured.found.iter().map(|found| format!("{} {}", found.corpus, found.candidates)).collect();
    writeln!(text, "Candidates: {}.", found.join(", "))?;
    for place in distinct(measured.rows.iter().map(|row| row.place.as_str())) {
        let rows: Vec<&Row> = measured.rows.iter().filter(|row| row.place == place).collect();
        let corpora = distinct(rows.iter().map(|row| row.corpus.as_str()));
        writeln!(
            text,
            "\n## {place}\n\nGB/s (times Hyperscan, share of read)\n\n| | {} |",
            corpora.join(" | ")
        )?;
        writeln!(text, "|---|{}", "---|".repeat(corpora.len()))?;
        for contender in distinct(rows.iter().map(|row| row.contender.as_str())) {
            let cells = rows.iter().filter(|row| row.contender == contender).map(|row| {
                format!("{:.2} ({:.2}, {:.2})", row.gb_per_s, row.times_hyperscan, row.share_of_read)
            });
            writeln!(text, "| {contender} | {} |", cells.collect::<Vec<_>>().join(" | "))?;
        }
    }
    Ok(text)
}

fn verdict_table(verdicts: &[Verdict]) -> Result<String> {
    let mut text = String::from("\n## Bars\n\n| what | measured | at least | |\n|---|---|---|---|\n");
    for verdict in verdicts {
        let (measured, least) = (verdict.measured, verdict.least);
        let word = match (measured >= least, verdict.holds()) {
            (true, _) => "met",
            (false, true) => "within noise",
            (false, false) => "missed",
        };
        writeln!(text, "| {} | {measured:.2} | {least:.2} | {word} |", verdict.what)?;
    }
    Ok(text)
}

/// Each once, in the order of their first appearance.
fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut distinct = Vec::new();
    for name in names {
        if !distinct.contains(&name) {
            distinct.push(name);
        }
    }
    distinct
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(contender: &str, corpus: &str, place: &str, gb_per_s: f64, ratio: f64) -> Row {
        Row {
            corpus: corpus.into(),
            place: place.into(),
            contender: contender.into(),
            gb_per_s,
            times_hyperscan: ratio,
            times_best_rival: ratio,
            share_of_core: gb_per_s,
            share_of_read: ratio,
        }
    }

    fn check(rows: &[Row], expected: &[(f64, f64, bool)]) {
        let found: Vec<_> =
            verdicts(rows).iter().map(|verdict| (verdict.measured, verdict.least, verdict.holds())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn each_backend_has_its_bar_and_noise_is_forgiven() {
        check(&[row("avx2", "a", "hot 16384", 1.0, 8.1)], &[(8.1, 8.0, true)]);
        check(&[row("avx2", "b", "hot 16384", 1.0, 7.3)], &[(7.3, 8.0, true)]);
        check(&[row("avx2", "a", "hot 16384", 1.0, 7.1)], &[(7.1, 8.0, false)]);
        check(&[row("portable", "e", "streamed", 1.0, 1.6)], &[(1.6, 1.5, true)]);
        check(&[row("portable", "c", "streamed", 1.0, 0.2)], &[(0.2, 0.24, false)]);
        check(&[row("avx2", "c", "hot 16384", 1.0, 1.0), row("hyperscan", "a", "hot 200", 1.0, 1.0)], &[]);
    }

    #[test]
    fn the_processor_is_named() {
        let cpuinfo = "cpu family\t: 6\nmodel\t\t: 143\nmodel name\t: Some Processor\nstepping\t: 8\n";
        assert_eq!(processor(cpuinfo), "Some Processor (family 6, model 143)");
        assert_eq!(processor(""), "unknown (family unknown, model unknown)");
    }

    #[test]
    fn the_full_grammar_is_held_against_the_core() {
        check(&[row("full", "d", "hot 200", 0.8, 9.0)], &[(0.8, 0.75, true)]);
        check(&[row("full", "d", "hot 200", 0.6, 9.0)], &[(0.6, 0.75, false)]);
    }
}
