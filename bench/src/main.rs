//! Compares the matcher with the engines that could take its place, and prints what was measured as JSON.
//!
//! `cprvagt-bench [MIB]`: so many MiB of each corpus, 128 unless said. See `cargo xtask bench matcher`.

#[path = "../../crates/cpr/tests/corpora/mod.rs"]
mod corpora;
mod measure;
mod rival;

use anyhow::{Context, Result, ensure};
use cprvagt_cpr::{Backend, Grammar, find};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use serde_json::{Value, json};

use corpora::Corpus;
use measure::{Contender, Rounds};
use rival::{Hyperscan, Pcre2, Re2, RustRegex, Tally};

const SEED: u64 = 20_240_607;
/// Rounds that count.
const ROUNDS: usize = 7;
/// What is read again and again, so that it lies in the nearest caches.
const HOT_BYTES: usize = 256 * 1024;
/// Lengths of the pieces of hot text.
const HOT_PIECES: [usize; 4] = [200, 1024, 4096, 16_384];
/// Bytes that each contender reads in a round of hot text.
const HOT_ROUND_BYTES: usize = 16 << 20;

fn main() -> Result<()> {
    let mib: usize = std::env::args().nth(1).map_or(Ok(128), |mib| mib.parse()).context("MIB is a number")?;
    stay_on_this_core()?;
    let corpora = corpora::all(mib << 20, SEED);
    let mut found = Vec::new();
    for corpus in &corpora {
        found.push(json!({ "corpus": corpus.name.to_string(), "candidates": agree(corpus)? }));
    }
    let mut rows = Vec::new();
    for corpus in &corpora {
        rows.extend(streamed(corpus)?);
        rows.extend(hot(corpus)?);
    }
    println!("{}", json!({ "mib": mib, "rounds": ROUNDS, "found": found, "rows": rows }));
    Ok(())
}

fn stay_on_this_core() -> Result<()> {
    let mut cores = CpuSet::new();
    cores.set(nix::sched::sched_getcpu()?)?;
    sched_setaffinity(Pid::from_raw(0), &cores).context("staying on one core")
}

/// Every contender that looks for numbers, Hyperscan first.
fn contenders(with_all: bool) -> Result<Vec<Contender<'static>>> {
    let mut hyperscan = Hyperscan::new()?;
    let mut list: Vec<Contender<'static>> =
        vec![("hyperscan", Box::new(move |text| hyperscan.tally(text)))];
    for backend in Backend::all() {
        list.push((backend.name(), Box::new(move |text| own(text, Grammar::Core, backend))));
    }
    list.push(("full", Box::new(|text| own(text, Grammar::Full, Backend::best()))));
    if with_all {
        let (mut pcre2, mut re2, mut rust_regex) = (Pcre2::new()?, Re2::new()?, RustRegex::new()?);
        list.push(("pcre2-jit", Box::new(move |text| pcre2.tally(text))));
        list.push(("re2", Box::new(move |text| re2.tally(text))));
        list.push(("rust-regex", Box::new(move |text| rust_regex.tally(text))));
    }
    Ok(list)
}

fn own(text: &[u8], grammar: Grammar, backend: Backend) -> Tally {
    let mut tally = Tally::default();
    find(text, grammar, backend, &mut |candidate| tally.add(candidate.start, candidate.end));
    tally
}

/// What bounds everybody: reading the text.
fn read(text: &[u8]) -> Tally {
    let (words, rest) = text.as_chunks::<8>();
    let sum = words.iter().fold(0, |sum: u64, word| sum.wrapping_add(u64::from_le_bytes(*word)));
    Tally { count: 0, places: rest.iter().fold(sum, |sum, byte| sum.wrapping_add(u64::from(*byte))) }
}

/// How many candidates all find, in the same places; the full grammar finds more.
fn agree(corpus: &Corpus) -> Result<u64> {
    let mut tallies = Vec::new();
    for (name, contender) in &mut contenders(true)? {
        tallies.push((*name, contender(&corpus.bytes)));
    }
    let expected = tallies[0].1;
    for (name, tally) in tallies.iter().filter(|(name, _)| *name != "full") {
        ensure!(*tally == expected, "corpus {}: {name} finds {tally:?}, hyperscan {expected:?}", corpus.name);
    }
    Ok(expected.count)
}

fn streamed(corpus: &Corpus) -> Result<Vec<Value>> {
    let mut contenders = contenders(true)?;
    contenders.push(("read", Box::new(read)));
    let rounds = Rounds::run(&mut contenders, &[&corpus.bytes], 1, ROUNDS);
    Ok(rows(corpus, "streamed", &contenders, &rounds, corpus.bytes.len()))
}

fn hot(corpus: &Corpus) -> Result<Vec<Value>> {
    let mut all = Vec::new();
    let text = &corpus.bytes[..HOT_BYTES.min(corpus.bytes.len())];
    for length in HOT_PIECES {
        let mut contenders = contenders(false)?;
        contenders.push(("read", Box::new(read)));
        let pieces: Vec<&[u8]> = text.chunks_exact(length).collect();
        let repeats = HOT_ROUND_BYTES / text.len();
        let rounds = Rounds::run(&mut contenders, &pieces, repeats, ROUNDS);
        let bytes = repeats * pieces.len() * length;
        all.extend(rows(corpus, &format!("hot {length}"), &contenders, &rounds, bytes));
    }
    Ok(all)
}

/// One row for each contender: Hyperscan is the first, the read bound the last.
fn rows(corpus: &Corpus, place: &str, contenders: &[Contender<'_>], rounds: &Rounds, bytes: usize) -> Vec<Value> {
    let last = contenders.len() - 1;
    let row = |(at, (name, _)): (usize, &Contender<'_>)| {
        json!({
            "corpus": corpus.name.to_string(),
            "place": place,
            "contender": name,
            "gb_per_s": bytes as f64 / rounds.seconds(at) / 1e9,
            "times_hyperscan": rounds.ratio(at, 0),
            "share_of_read": rounds.ratio(at, last),
        })
    };
    contenders.iter().enumerate().map(row).collect()
}
