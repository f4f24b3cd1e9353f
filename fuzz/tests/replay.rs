//! Each target over its corpus and over mutations of it: what libFuzzer does, in little and the same every time.
#![allow(clippy::unwrap_used, reason = "a panic is the report")]

use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;

use cprvagt_fuzz::{TARGETS, Target};
use fastrand::Rng;

/// Mutations of a target's corpus, spread over its seeds.
const MUTATIONS: usize = 3000;
/// The same where each run takes several operations on a curve, which are slow when not optimised.
const MUTATIONS_SEALED: usize = 100;
/// Most changes of one mutation.
const CHANGES_MAX: usize = 4;

/// Name and bytes of each seed of a target.
fn seeds(name: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{name} has no seed");
    files.iter().map(|file| (file.display().to_string(), fs::read(file).unwrap())).collect()
}

/// The bytes with a few changes: a flipped bit, an interesting byte, a piece cut out, doubled or taken from `other`.
fn mutate(random: &mut Rng, bytes: &[u8], other: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..random.usize(1..=CHANGES_MAX) {
        let at = random.usize(..=bytes.len());
        let end = random.usize(at..=bytes.len()).min(at + 64);
        let from = random.usize(..=other.len());
        match random.u8(..6) {
            0 | 1 if at < bytes.len() => bytes[at] ^= 1 << random.u8(..8),
            2 if at < bytes.len() => bytes[at] = random.choice([0, 0x7f, 0x80, 0xff, b'0', b'\n']).unwrap(),
            3 => drop(bytes.drain(at..end)),
            4 => bytes.splice(at..at, bytes[at..end].to_vec()).for_each(drop),
            _ => bytes.splice(at..at, other[from..].iter().copied().take(64)).for_each(drop),
        }
    }
    bytes
}

/// Runs one input; a panic is told with what brings it back.
fn run((name, target): Target, what: &str, bytes: &[u8]) {
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| target(bytes)));
    assert!(outcome.is_ok(), "{name} fails on {what}: {}", bytes.escape_ascii());
}

fn replay(target: Target) {
    let seeds = seeds(target.0);
    let mut random = Rng::with_seed(1);
    let mutations = if target.0 == "report_open" { MUTATIONS_SEALED } else { MUTATIONS };
    for (file, seed) in &seeds {
        run(target, file, seed);
        for number in 0..mutations / seeds.len() {
            let (_, other) = random.choice(&seeds).unwrap();
            let mutated = mutate(&mut random, seed, other);
            run(target, &format!("mutation {number} of {file}"), &mutated);
        }
    }
}

#[test]
fn every_corpus_and_its_mutations() {
    std::thread::scope(|scope| {
        let running: Vec<_> =
            TARGETS.map(|target| (target.0, scope.spawn(move || replay(target)))).into_iter().collect();
        let failed: Vec<_> =
            running.into_iter().filter_map(|(name, run)| run.join().is_err().then_some(name)).collect();
        assert!(failed.is_empty(), "{failed:?}");
    });
}

/// A target without a folder, or a folder without a target, is dead.
#[test]
fn every_target_has_a_corpus_and_a_program() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let names = |folder: &str| {
        let entries = fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path());
        let mut names: Vec<_> =
            entries.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    let targets: Vec<_> = TARGETS.map(|(name, _)| name.to_owned()).into();
    assert_eq!(names("corpus"), targets);
    assert_eq!(names("fuzz_targets"), targets);
}
