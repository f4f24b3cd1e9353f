//! Compares the matcher with the engines that could take its place, and prints what was measured as JSON.
//!
//! `cprvagt-bench [MIB]`: so many MiB of each corpus, 128 unless said. See `cargo xtask bench matcher`.

mod contenders;
#[path = "../../crates/cpr/tests/corpora/mod.rs"]
mod corpora;
mod measure;
mod rival;
mod rows;

use anyhow::{Context, Result, ensure};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use serde_json::{Value, json};

use contenders::{contenders, read};
use corpora::Corpus;
use measure::Rounds;
use rows::rows;

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
