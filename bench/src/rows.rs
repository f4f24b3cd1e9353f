//! What was measured, as rows for whoever prints them.

use serde_json::{Value, json};

use crate::contenders::RIVALS;
use crate::corpora::Corpus;
use crate::measure::{Contender, Rounds};

/// Behind Hyperscan comes the core grammar with the fastest backend.
const FASTEST: usize = 1;

/// One row for each contender: Hyperscan is the first, the read bound the last.
pub fn rows(
    corpus: &Corpus,
    place: &str,
    contenders: &[Contender<'_>],
    rounds: &Rounds,
    bytes: usize,
) -> Vec<Value> {
    let last = contenders.len() - 1;
    let rivals = (0..last).filter(|at| RIVALS.contains(&contenders[*at].0));
    let best =
        rivals.min_by(|a, b| rounds.seconds(*a).total_cmp(&rounds.seconds(*b))).expect("Hyperscan is one");
    let row = |(at, (name, _)): (usize, &Contender<'_>)| {
        json!({
            "corpus": corpus.name.to_string(),
            "place": place,
            "contender": name,
            "gb_per_s": bytes as f64 / rounds.seconds(at) / 1e9,
            "times_hyperscan": rounds.ratio(at, 0),
            "times_best_rival": rounds.ratio(at, best),
            "share_of_core": rounds.ratio(at, FASTEST),
            "share_of_read": rounds.ratio(at, last),
        })
    };
    contenders.iter().enumerate().map(row).collect()
}
