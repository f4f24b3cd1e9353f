//! `cprvagt scan`: numbers in files, folders and standard input, found by the agent's own decoders and matcher.
//!
//! Each file is a stream of its own, as if it had been sent over one connection.
//!
//! *Invariants*: standard output has leak objects, or lines made of them: no number, and names scrubbed. What is not
//! read is told on standard error, its name scrubbed too, and everything else is still searched.
//! *Limits*: [`READ_BYTES`] of a file at a time, beside what a decoder holds. A file is read up to the length that it
//! had when it was opened.
//! *Not here*: network captures, and what files hold that are compressed in another way than gzip, zstd and zip.

mod answer;
mod format;
mod inputs;

use std::io;
use std::path::Path;

use cprvagt_report::{Leak, Moment, Rule, Scrubbed, Source};
use zeroize::Zeroizing;

use crate::cli::{self, Exit, Exits};
use crate::config::Config;
use crate::fields::Origin;
use crate::inspect::{Counted, Finding, Inspected, Inspector, Lens};
use crate::judge::{self, HitFacts, Overfull, Policy};
use crate::privacy;
use crate::pseudonym::{Key, KeyError};
use crate::scrub::Scrubber;

use answer::{Answer, Sum};
use format::Format;
use inputs::{Found, Input, Note, Unread};

/// Bytes that are read at a time.
const READ_BYTES: usize = 64 << 10;

/// Why nothing, or not all, was searched; what cannot be read is not among it.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// The configuration's allow list, which a scan does not use.
    #[error(transparent)]
    Policy(#[from] Overfull),
    /// The pseudonym key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The process could not be shut against dumps.
    #[error("core dumps could not be forbidden: {0}; plaintext might reach the disk, so nothing was read")]
    Dumps(nix::Error),
    /// Nobody reads the answer.
    #[error("standard output: {0}")]
    Output(#[from] io::Error),
}

impl Exits for ScanError {
    fn exit(&self) -> Exit {
        match self {
            Self::Policy(error) => error.exit(),
            Self::Key(error) => error.exit(),
            Self::Dumps(_) => Exit::Unable,
            Self::Output(_) => Exit::Failure,
        }
    }
}

/// Searches what the command line names, and tells what it found.
///
/// # Errors
/// What kept it from searching, or from telling. A path that cannot be read shows in the exit code alone.
pub fn run(config: &Config, options: &cli::Scan) -> Result<Exit, ScanError> {
    privacy::forbid_dumps().map_err(ScanError::Dumps)?;
    let now_unix = options.now.unwrap_or_else(|| Moment::now().0).as_second();
    let (policy, key) = (Policy::new(config, now_unix)?, Key::of(config)?);
    let mut scan = Scan {
        // Each number for itself: its reasons are its own.
        lens: Lens {
            key: &key,
            sealer: None,
            policy: &policy,
            fields: None,
            floor: None,
            origin: Origin::default(),
            now_unix,
        },
        scrubber: Scrubber::at(now_unix),
        answer: Answer::new(options),
        buffer: Zeroizing::new(vec![0; READ_BYTES]),
        inspected: Inspected::default(),
        undecoded: Counted::default(),
        sum: Sum::default(),
    };
    for path in &options.paths {
        scan.path(path)?;
    }
    scan.answer.close(&scan.sum);
    Ok(match scan.sum {
        Sum { unread: 1.., .. } => Exit::Config,
        Sum { found: 1.., .. } => Exit::Partial,
        _ => Exit::Success,
    })
}

struct Scan<'a> {
    lens: Lens<'a>,
    scrubber: Scrubber,
    answer: Answer,
    buffer: Zeroizing<Vec<u8>>,
    inspected: Inspected,
    /// What a bound kept from being decoded in the file at hand.
    undecoded: Counted,
    sum: Sum,
}

impl Scan<'_> {
    /// Searches what is at `path`, or in the folder there.
    fn path(&mut self, path: &Path) -> io::Result<()> {
        inputs::of(path).try_for_each(|found| match found {
            Found::Input(input) => self.file(input),
            Found::LeftOut(path, note) => {
                self.note(&path, &note);
                Ok(())
            }
            Found::Unread(path, unread) => {
                self.unread(&path, &unread);
                Ok(())
            }
        })
    }

    fn file(&mut self, mut input: Input) -> io::Result<()> {
        let path = self.name(&input.path);
        self.sum.files += 1;
        self.undecoded = Counted::default();
        let mut inspector = Inspector::stream();
        loop {
            let is_first = input.taken == 0;
            let count = match input.take(&mut self.buffer) {
                Ok(count) => count,
                Err(cause) => {
                    self.unread(&input.path, &Unread::Broken { behind: input.taken, cause });
                    break;
                }
            };
            match is_first.then(|| Format::of(&self.buffer[..count])).flatten() {
                Some(Format::Capture(name)) => {
                    self.unread(&input.path, &Unread::Capture(name));
                    return Ok(());
                }
                Some(Format::Compressed(name)) => self.note(&input.path, &Note::Compressed(name)),
                None => {}
            }
            if count == 0 {
                break;
            }
            inspector.push(&self.buffer[..count], &self.lens, &mut self.inspected);
            self.tell(&path)?;
        }
        inspector.finish(&self.lens, &mut self.inspected);
        self.tell(&path)?;
        self.note_undecoded(&input.path);
        if input.has_more() {
            self.note(&input.path, &Note::Grew { behind: input.taken });
        }
        Ok(())
    }

    /// Tells what has been found since the last time.
    fn tell(&mut self, path: &Scrubbed) -> io::Result<()> {
        let Inspected { findings, counted } = std::mem::take(&mut self.inspected);
        self.sum.bytes += counted.text_bytes + counted.unread_bytes();
        self.sum.opaque_bytes += counted.opaque_bytes;
        self.undecoded.window_bytes += counted.window_bytes;
        self.undecoded.limit_bytes += counted.limit_bytes;
        self.sum.found += findings.len() as u64;
        findings.into_iter().try_for_each(|finding| {
            let why = finding.why;
            self.answer.leak(&leak(finding, path), &why)
        })
    }

    /// Tells what a bound kept from being decoded.
    fn note_undecoded(&self, path: &Path) {
        let Counted { window_bytes, limit_bytes, .. } = self.undecoded;
        let causes = [
            (window_bytes, "they look further back than is kept"),
            (limit_bytes, "they become too much for their size"),
        ];
        for (bytes, why) in causes.into_iter().filter(|(bytes, _)| *bytes > 0) {
            self.note(path, &Note::Undecoded { bytes, why });
        }
    }

    fn unread(&mut self, path: &Path, unread: &Unread) {
        self.sum.unread += 1;
        self.answer.aside(&self.name(path), unread);
    }

    fn note(&self, path: &Path, note: &Note) {
        self.answer.aside(&self.name(path), note);
    }

    fn name(&self, path: &Path) -> Scrubbed {
        self.scrubber.name(path.as_os_str().as_encoded_bytes())
    }
}

/// What is told of a number in a file: no rule was applied to it but being found.
fn leak(finding: Finding, path: &Scrubbed) -> Leak {
    let facts = HitFacts::at(&finding.location, finding.class, finding.confidence);
    let source = Source { path: path.clone(), offset: finding.offset };
    Leak { source: Some(source), ..finding.into_leak(Rule::Found, judge::severity_of_found(&facts)) }
}
