//! Who takes part.

use anyhow::Result;
use cprvagt_cpr::{Backend, Grammar, find};

use crate::measure::Contender;
use crate::rival::{Hyperscan, INSTALLED, Pcre2, Re2, RustRegex, Tally};

/// Those that are compared with, where they take part.
pub const RIVALS: [&str; 5] = ["hyperscan", "vectorscan", "pcre2-jit", "re2", "rust-regex"];

/// Names the file of Vectorscan's library. Without it Vectorscan takes no part.
const VECTORSCAN: &str = "CPRVAGT_VECTORSCAN";

/// Every contender that looks for numbers, Hyperscan first.
pub fn contenders(with_all: bool) -> Result<Vec<Contender<'static>>> {
    let mut hyperscan = Hyperscan::load(INSTALLED)?;
    let mut list: Vec<Contender<'static>> = vec![("hyperscan", Box::new(move |text| hyperscan.tally(text)))];
    for backend in Backend::all() {
        list.push((backend.name(), Box::new(move |text| own(text, Grammar::Core, backend))));
    }
    list.push(("full", Box::new(|text| own(text, Grammar::Full, Backend::best()))));
    if let Some(file) = std::env::var_os(VECTORSCAN) {
        let mut vectorscan = Hyperscan::load(file)?;
        list.push(("vectorscan", Box::new(move |text| vectorscan.tally(text))));
    }
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
pub fn read(text: &[u8]) -> Tally {
    let (words, rest) = text.as_chunks::<8>();
    let sum = words.iter().fold(0, |sum: u64, word| sum.wrapping_add(u64::from_le_bytes(*word)));
    Tally { count: 0, places: rest.iter().fold(sum, |sum, byte| sum.wrapping_add(u64::from(*byte))) }
}
