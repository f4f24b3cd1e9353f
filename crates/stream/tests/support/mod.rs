//! Runs a decoder over a stream, and the naive versions of what its callers do with windows.

#![allow(dead_code, reason = "each test program uses a part of it")]

pub mod encode;
pub mod told;

use std::collections::BTreeSet;
use std::ops::Range;

use cprvagt_stream::{Decoder, Decoding, Part, Protocol, Window};

/// MedCom's test person Nancy Ann Berggren.
pub const NANCY: &str = "2512489996";

/// A window, copied.
#[derive(Clone, Debug)]
pub struct Seen {
    pub bytes: Vec<u8>,
    pub owned: Range<usize>,
    pub protocol: Protocol,
    pub part: Part,
    pub field: Option<String>,
    pub path: Option<String>,
    pub host: Option<String>,
    pub message: u64,
    pub decodings: Vec<Decoding>,
    pub text: bool,
    pub source: Range<u64>,
    pub counted: u64,
}

/// What identifies a specific window, however it came about.
pub type Key = (u64, Part, Option<String>, Vec<Decoding>, Vec<u8>);

impl Seen {
    fn of(window: &Window<'_>) -> Self {
        Self {
            bytes: window.bytes.to_vec(),
            owned: window.owned.clone(),
            protocol: window.protocol,
            part: window.part,
            field: window.field.map(str::to_owned),
            path: window.path.map(str::to_owned),
            host: window.host.map(str::to_owned),
            message: window.message,
            decodings: window.decodings.to_vec(),
            text: window.text,
            source: window.source.clone(),
            counted: window.counted,
        }
    }

    pub fn content(&self) -> &[u8] {
        &self.bytes[self.owned.clone()]
    }

    pub fn key(&self) -> Key {
        (self.message, self.part, self.field.clone(), self.decodings.clone(), self.content().to_vec())
    }
}

/// What happens to a stream.
#[derive(Clone, Debug)]
pub enum Step {
    Push(Vec<u8>),
    Gap(u64),
    Quiet,
    Finish,
}

/// All windows of a decoder that goes through `steps`.
pub fn run(mut decoder: Decoder, steps: &[Step]) -> Vec<Seen> {
    let mut seen = Vec::new();
    let mut out = |window: Window<'_>| seen.push(Seen::of(&window));
    for step in steps {
        match step {
            Step::Push(bytes) => decoder.push(bytes, &mut out),
            Step::Gap(bytes) => decoder.gap(*bytes, &mut out),
            Step::Quiet => decoder.quiet(&mut out),
            Step::Finish => decoder.finish(&mut out),
        }
    }
    seen
}

/// A stream in pieces that end at `cuts`, then its end.
pub fn pieces(stream: &[u8], cuts: &[usize]) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut from = 0;
    for &cut in cuts.iter().chain([&stream.len()]) {
        let cut = cut.clamp(from, stream.len());
        steps.push(Step::Push(stream[from..cut].to_vec()));
        from = cut;
    }
    steps.push(Step::Finish);
    steps
}

pub fn decode(stream: &[u8], cuts: &[usize]) -> Vec<Seen> {
    run(Decoder::stream(), &pieces(stream, cuts))
}

/// The windows with a specific part.
pub fn specific(seen: &[Seen]) -> BTreeSet<Key> {
    seen.iter().filter(|window| window.part.is_specific()).map(Seen::key).collect()
}

/// A number where it starts: ten digits, perhaps a hyphen after six, touching no letter or digit.
pub fn numbers(bytes: &[u8]) -> Vec<(usize, String)> {
    (0..bytes.len()).filter_map(|start| number_at(bytes, start).map(|number| (start, number))).collect()
}

fn number_at(bytes: &[u8], start: usize) -> Option<String> {
    if start > 0 && bytes[start - 1].is_ascii_alphanumeric() {
        return None;
    }
    let mut digits = String::new();
    let mut at = start;
    while digits.len() < 10 {
        match bytes.get(at)? {
            digit @ b'0'..=b'9' => digits.push(char::from(*digit)),
            b'-' if digits.len() == 6 => {}
            _ => return None,
        }
        at += 1;
    }
    let closed = bytes.get(at).is_none_or(|byte| !byte.is_ascii_alphanumeric());
    closed.then_some(digits)
}

/// Numbers that windows own.
pub fn hits(seen: &[Seen]) -> Vec<(&Seen, String)> {
    let owned = |window: &Seen, at: usize| window.owned.contains(&at);
    seen.iter()
        .flat_map(|window| {
            let found = numbers(&window.bytes).into_iter().filter(move |(at, _)| owned(window, *at));
            found.map(move |(_, number)| (window, number))
        })
        .collect()
}

/// Message, part, field and number of each leak, after the caller's rules for what is known already.
pub fn leaks(seen: &[Seen]) -> Vec<(u64, Part, Option<String>, String)> {
    let mut leaks: Vec<(u64, Part, Option<String>, String)> = Vec::new();
    for (window, number) in hits(seen) {
        let known = leaks.iter().any(|(message, part, _, other)| {
            *message == window.message
                && *other == number
                && (*part == window.part || !window.part.is_specific())
        });
        if !known {
            leaks.push((window.message, window.part, window.field.clone(), number));
        }
    }
    leaks
}

/// What is promised of every stream without gaps: each byte is owned by a window that shows it as it stands,
/// and is counted once.
pub fn check_promises(stream: &[u8], seen: &[Seen]) {
    let counted: u64 = seen.iter().map(|window| window.counted).sum();
    assert_eq!(counted, stream.len() as u64, "every byte is counted once");
    let in_order = seen.iter().filter(|window| !window.protocol.interleaves());
    assert!(in_order.is_sorted_by_key(|window| window.message), "messages do not go back");
    let mut shown = vec![false; stream.len()];
    for window in seen {
        assert!(window.owned.end <= window.bytes.len() && window.owned.start < window.owned.end);
        assert!(window.owned.len() <= 64 * 1024, "owned length");
        assert!(window.source.end <= stream.len() as u64 && window.source.start <= window.source.end);
        let source = window.source.start as usize..window.source.end as usize;
        let as_it_stands = window.decodings.iter().all(|decoding| *decoding == Decoding::Chunked);
        if as_it_stands && (!window.part.is_specific() || window.counted > 0) {
            mark_shown(stream, window.content(), source, &mut shown);
        }
    }
    let hidden: Vec<usize> = (0..stream.len()).filter(|at| !shown[*at]).collect();
    assert!(hidden.is_empty(), "bytes that no window shows as they stand: {hidden:?}");
}

/// Marks the bytes of `source`, which `content` shows: all of them, or, where it spans chunk borders, in order
/// with others between. Which those are is for the tests of chunked bodies.
fn mark_shown(stream: &[u8], content: &[u8], source: Range<usize>, shown: &mut [bool]) {
    let piece = &stream[source.clone()];
    if content != piece {
        assert!(piece.len() > content.len(), "a window over one piece of stream shows that piece");
        let mut rest = piece.iter();
        assert!(content.iter().all(|byte| rest.any(|other| other == byte)), "content is from its source");
    }
    shown[source].fill(true);
}
