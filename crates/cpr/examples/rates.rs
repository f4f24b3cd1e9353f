//! Prints the tables of docs/precision.md: how many values that are no personnumre pass as one.
//!
//! `cargo run --release -p cprvagt-cpr --example rates [VALUES]`, where VALUES are drawn of each kind at each clock.
#![allow(clippy::print_stdout, reason = "it prints tables")]

#[path = "../tests/people/mod.rs"]
#[allow(unused_imports, reason = "the clocks are used")]
mod people;
#[path = "../tests/rates/mod.rs"]
mod rates;

use cprvagt_cpr::{Confidence, Place, Scene, Trial, scan};
use fastrand::Rng;
use people::CLOCKS;
use rates::{ALL, Draw, KINDS, Passing, civil};

/// Values drawn of each kind unless said otherwise.
const VALUES: u64 = 1_000_000;

/// What was counted of one kind.
#[derive(Default)]
struct Drawn {
    date: u64,
    in_path: u64,
    in_query: u64,
    passes: u64,
}

fn main() {
    let values = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(VALUES);
    println!("| of all ten-digit values | {} |", CLOCKS.map(day).join(" | "));
    println!("|---|---|---|---|");
    let all = CLOCKS.map(|now| Passing::of_all(civil(now)));
    let row = |name: &str, of: fn(&Passing) -> u64| {
        let shares = all.map(|passing| format!("{} ({})", of(&passing), percent(of(&passing), ALL)));
        println!("| {name} | {} |", shares.join(" | "));
    };
    row("a day of the calendar, by its century", |it| it.date);
    row("not in the future", |it| it.past);
    row("of a person of 110 years at most", |it| it.living);
    row("with check digit or test serial: medium in a URL", |it| it.in_url);
    row("or of a listed date: passes for its field", |it| it.in_field);
    let pairs = all.map(|passing| (passing.in_field as f64 / ALL as f64).powi(2) * 1e6);
    println!(
        "| pairs of which both pass, in a million | {} |",
        pairs.map(|rate| format!("{rate:.2}")).join(" | ")
    );
    for now in CLOCKS {
        println!("\n{}, {values} values of each kind:\n", day(now));
        println!(
            "| kind | a date not in the future | medium in a path | medium in a query | passes for its field | both of two |"
        );
        println!("|---|---|---|---|---|---|");
        for (name, draw) in KINDS {
            let drawn = drawn(draw, now, values);
            let shares = [drawn.date, drawn.in_path, drawn.in_query, drawn.passes];
            let pair = (drawn.passes as f64 / values as f64).powi(2) * 1e6;
            println!(
                "| {name} | {} | {pair:.1} in a million |",
                shares.map(|count| percent(count, values)).join(" | ")
            );
        }
    }
}

fn drawn(draw: Draw, now_unix: i64, values: u64) -> Drawn {
    let (random, mut drawn) = (&mut Rng::with_seed(1), Drawn::default());
    for _ in 0..values {
        let text = format!("{:010}", draw(random, now_unix));
        let medium = |place| {
            let mut is_medium = false;
            scan(text.as_bytes(), &Scene { key: None, place, now_unix }, &mut |hit| {
                is_medium = hit.confidence >= Confidence::Medium;
            });
            u64::from(is_medium)
        };
        drawn.in_path += medium(Place::UrlPath);
        drawn.in_query += medium(Place::UrlQuery);
        scan(text.as_bytes(), &Scene { key: None, place: Place::Other, now_unix }, &mut |hit| {
            drawn.date += 1;
            drawn.passes += u64::from(hit.trial == Trial::Passes);
        });
    }
    drawn
}

fn percent(count: u64, of: u64) -> String {
    format!("{:.4} %", count as f64 * 100.0 / of as f64)
}

fn day(now: i64) -> String {
    let (year, month, day) = civil(now);
    format!("{year}-{month:02}-{day:02}")
}
