//! `bench stream`: how fast streams are decoded and matched, against the matcher, a decompressor or the Huffman code of HTTP/2 alone.
//!
//! A program measures by its processor time and prints one JSON array.
//!
//! *Limits*: `--check` holds the rows against [`BARS`].

use std::process::Command;

use anyhow::{Result, bail};
use serde::Deserialize;

use super::measured;
use crate::shell;

const BUILD: &str = "build --release --package cprvagt-stream --example decode_rate";

/// What is asked of a row: GB/s, and the share of what it is compared with.
const BARS: [(&str, f64, f64); 4] = [
    ("json 16 KiB", 3.0, 0.0),
    ("json 1 KiB", 1.0, 0.0),
    ("gzip 64 KiB", 0.0, 0.9),
    ("http/2 requests", 0.0, 0.6),
];

#[derive(Deserialize)]
struct Row {
    name: String,
    gb_per_s: f64,
    ratio: f64,
}

/// Builds, measures, and prints a table.
pub fn run(check: bool) -> Result<()> {
    shell::run(&mut shell::cargo(BUILD))?;
    let program = shell::target_folder().join("release/examples/decode_rate");
    let rows: Vec<Row> = measured(&mut Command::new(program))?;
    println!("{:<20} {:>8} {:>24}", "decoded and matched", "GB/s", "share of a part alone");
    for row in &rows {
        println!("{:<20} {:>8.2} {:>24.2}", row.name, row.gb_per_s, row.ratio);
    }
    let short = |(name, rate, ratio): &&(&str, f64, f64)| {
        rows.iter().any(|row| row.name == *name && (row.gb_per_s < *rate || row.ratio < *ratio))
    };
    let short: Vec<&str> = BARS.iter().filter(short).map(|(name, ..)| *name).collect();
    if check && !short.is_empty() {
        bail!("bench stream: less than asked for: {}", short.join(", "));
    }
    Ok(())
}
