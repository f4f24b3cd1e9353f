//! Times contenders against each other: in one process, on one core, in rounds that each begins with another of them,
//! because a machine's speed drifts. The first round is for warming up. What counts is the processor time of the thread,
//! so that other programs on the core do not.

use std::hint::black_box;

use nix::time::{ClockId, clock_gettime};

use crate::rival::Tally;

/// What takes part: its name, and what it does with a text.
pub type Contender<'a> = (&'static str, Box<dyn FnMut(&[u8]) -> Tally + 'a>);

/// Seconds of each contender in each round.
pub struct Rounds {
    seconds: Vec<Vec<f64>>,
}

impl Rounds {
    /// Every contender reads all `pieces`, `repeats` times, in each of `rounds` rounds.
    pub fn run(contenders: &mut [Contender<'_>], pieces: &[&[u8]], repeats: usize, rounds: usize) -> Self {
        let count = contenders.len();
        let mut seconds = vec![Vec::with_capacity(rounds); count];
        for round in 0..=rounds {
            for turn in 0..count {
                let at = (round + turn) % count;
                let took = time(&mut contenders[at].1, pieces, repeats);
                if round > 0 {
                    seconds[at].push(took);
                }
            }
        }
        Self { seconds }
    }

    /// The median time of one contender.
    pub fn seconds(&self, contender: usize) -> f64 {
        median(self.seconds[contender].clone())
    }

    /// How many times faster than `other` a contender is: the median over rounds.
    pub fn ratio(&self, contender: usize, other: usize) -> f64 {
        let pairs = self.seconds[contender].iter().zip(&self.seconds[other]);
        median(pairs.map(|(own, other)| other / own).collect())
    }
}

fn time(contender: &mut dyn FnMut(&[u8]) -> Tally, pieces: &[&[u8]], repeats: usize) -> f64 {
    let started = processor_seconds();
    for _ in 0..repeats {
        for piece in pieces {
            black_box(contender(black_box(piece)));
        }
    }
    processor_seconds() - started
}

fn processor_seconds() -> f64 {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("every kernel has this clock");
    std::time::Duration::from(time).as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
