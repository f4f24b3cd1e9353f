//! What `scan` prints: a line or an object for each number, and why it has its score; beside that, what was not read.
//!
//! *Invariants*: a number is told by its leak object alone, which holds none; a path comes in scrubbed.

use std::fmt::Display;
use std::io::{self, Write};

use cprvagt_cpr::Why;
use cprvagt_report::{Class, Explained, Leak, Score, Scrubbed, Step};
use cprvagt_settings::size;

use crate::cli;

/// Prints.
pub struct Answer {
    json: bool,
    explain: bool,
}

/// Everything counted.
#[derive(Debug, Default)]
pub struct Sum {
    /// Numbers told.
    pub found: u64,
    /// Files opened.
    pub files: u64,
    /// Paths that were not read, or not to their end.
    pub unread: u64,
    /// Bytes searched.
    pub bytes: u64,
    /// Those of them that are no text.
    pub opaque_bytes: u64,
}

impl Answer {
    /// As the command line asks for it.
    pub fn new(options: &cli::Scan) -> Self {
        Self { json: options.json, explain: options.explain }
    }

    /// Tells a number.
    ///
    /// # Errors
    /// Standard output is closed or broken.
    pub fn leak(&self, leak: &Leak, why: &Why) -> io::Result<()> {
        let mut out = io::stdout().lock();
        match (self.json, self.explain) {
            (true, false) => leak.write_line(&mut out),
            (true, true) => Explained { leak, explain: steps(why).collect() }.write_line(&mut out),
            (false, false) => writeln!(out, "{}", line(leak)),
            (false, true) => writeln!(out, "{}\n{}", line(leak), explained(leak, why)),
        }
    }

    /// Tells what a person should know of a path beside what was found in it.
    pub fn aside(&self, path: &Scrubbed, what: &impl Display) {
        // Nobody is left to tell when standard error is closed.
        let _ = writeln!(io::stderr(), "scan: {path}: {what}");
    }

    /// Sums up, for a person.
    pub fn close(&self, sum: &Sum) {
        if !self.json {
            let _ = writeln!(io::stderr(), "{}", summary(sum));
        }
    }
}

/// Where, how sure, what shape, in which part of a message, and which citizen.
fn line(leak: &Leak) -> String {
    let at = leak.source.as_ref().map(|source| format!("{}:{}: ", source.path, source.offset));
    let class = if leak.class == Class::Cpr { String::new() } else { format!(" ({})", leak.class) };
    let location = &leak.location;
    let field = location.field.as_ref().map(|field| format!(" {field}"));
    let path = location.path.as_ref().map(|path| format!(" of {path}"));
    let citizen: String = leak.pseudonym.to_string().chars().take(8).collect();
    format!(
        "{}{} {}{class} in {}{}{}, citizen {citizen}",
        at.unwrap_or_default(),
        leak.confidence,
        leak.masked,
        location.part,
        field.unwrap_or_default(),
        path.unwrap_or_default(),
    )
}

/// A line for each clue, the sum under them.
fn explained(leak: &Leak, why: &Why) -> String {
    let row = |score: Score, text: &str| format!("{:>+10.1}  {text}", score.decibans());
    let mut rows: Vec<String> = steps(why).map(|step| row(step.decibans, step.meaning.as_str())).collect();
    let sum = format!("= {:+.1}", leak.score.decibans());
    rows.push(format!("{sum:>10}  decibans: {}", leak.confidence));
    rows.join("\n")
}

fn steps(why: &Why) -> impl Iterator<Item = Step> {
    why.reasons().map(|reason| Step {
        clue: reason.clue.as_str().into(),
        decibans: Score::from_tenths(reason.weight.tenths().into()),
        meaning: reason.clue.meaning().into(),
    })
}

fn summary(sum: &Sum) -> String {
    let counted = |count: u64, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
    let found = if sum.found == 0 { "nothing found".to_owned() } else { format!("{} found", sum.found) };
    let opaque = match sum.opaque_bytes {
        0 => String::new(),
        bytes => format!(", {} of it no text", size::show(bytes)),
    };
    let unread = if sum.unread == 0 { String::new() } else { format!("; {} not read", sum.unread) };
    format!("{found} in {}, {}{opaque}{unread}", counted(sum.files, "file"), size::show(sum.bytes))
}
