//! The grammar read naively: every separator tried at every offset. What every backend must agree with.
#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(clippy::unwrap_used, reason = "tests")]

use cprvagt_cpr::{Backend, Candidate, Grammar, Shape, find};
use fastrand::Rng;

/// Every separator, its shape, and whether the core grammar has it.
const SEPARATORS: [(&str, Shape, bool); 19] = [
    ("", Shape::Bare, true),
    ("-", Shape::Hyphen, true),
    (".", Shape::Dot, true),
    ("/", Shape::Slash, true),
    ("_", Shape::Underscore, true),
    ("+", Shape::Plus, true),
    (" ", Shape::Space, true),
    ("\u{a0}", Shape::Space, true),
    ("\u{2010}", Shape::Hyphen, true),
    ("\u{2011}", Shape::Hyphen, true),
    ("\u{2012}", Shape::Dash, true),
    ("\u{2013}", Shape::Dash, true),
    ("%2D", Shape::Hyphen, true),
    ("%2d", Shape::Hyphen, true),
    ("%20", Shape::Space, true),
    (" - ", Shape::SpacedHyphen, true),
    ("\t", Shape::Space, false),
    ("\u{ad}", Shape::SoftHyphen, false),
    ("\u{2212}", Shape::Dash, false),
];

/// All candidates of a text.
pub fn naive(text: &[u8], grammar: Grammar) -> Vec<Candidate> {
    (0..text.len()).filter_map(|start| naive_at(text, start, grammar)).collect()
}

fn naive_at(text: &[u8], start: usize, grammar: Grammar) -> Option<Candidate> {
    let is_digit = |at: usize| text.get(at).is_some_and(u8::is_ascii_digit);
    let are_digits = |at: usize, count: usize| (at..at + count).all(is_digit);
    let value = |at: usize| (text[at] - b'0') * 10 + (text[at + 1] - b'0');
    if !are_digits(start, 6) || !matches!(value(start), 1..=31 | 61..=91) || !matches!(value(start + 2), 1..=12) {
        return None;
    }
    if start > 0 && is_digit(start - 1) && !(grammar == Grammar::Full && ends_with_escape(&text[..start])) {
        return None;
    }
    SEPARATORS.into_iter().find_map(|(separator, shape, is_core)| {
        let serial = start + 6 + separator.len();
        let is_written = text[start + 6..].starts_with(separator.as_bytes());
        let is_whole = is_written && are_digits(serial, 4) && !is_digit(serial + 4);
        (is_whole && (is_core || grammar == Grammar::Full)).then_some(Candidate { start, end: serial + 4, shape })
    })
}

/// `%HH`, `%25HH`, `\xHH` or `\uHHHH`.
fn ends_with_escape(text: &[u8]) -> bool {
    [("%", 2), ("%25", 2), ("\\x", 2), ("\\u", 4)].into_iter().any(|(opening, digits): (&str, usize)| {
        text.len().checked_sub(digits).is_some_and(|at| {
            text[..at].ends_with(opening.as_bytes()) && text[at..].iter().all(u8::is_ascii_hexdigit)
        })
    })
}

/// Panics where a backend and the naive reading differ; the message has places and shapes, and no digits.
pub fn check(text: &[u8], what: &str) {
    for grammar in [Grammar::Core, Grammar::Full] {
        let expected = naive(text, grammar);
        for backend in Backend::all() {
            let mut found = Vec::with_capacity(expected.len());
            find(text, grammar, backend, &mut |candidate| found.push(candidate));
            assert!(
                found == expected,
                "{} {grammar:?} differs from the naive reading: {what}, {} bytes: {found:?}, {expected:?}",
                backend.name(),
                text.len()
            );
        }
    }
}

/// Bytes that are full of numbers, of what nearly is one, and of what makes one out of a neighbour.
pub fn soup(random: &mut Rng, len: usize) -> Vec<u8> {
    const GLUE: [&str; 22] = [
        "-", "-", " ", "\t", ".", "/", "_", "+", "%", "%2", "%20", "%2D", "%25", "\\u00", "\\x", "\u{a0}", "\u{ad}",
        "\u{2010}", "\u{2013}", "\u{2014}", "\u{2212}", " - ",
    ];
    let mut text = Vec::with_capacity(len + 16);
    while text.len() < len {
        match random.u32(0..8) {
            0 | 1 => text.extend_from_slice(random.choice(GLUE).unwrap().as_bytes()),
            2 => text.extend_from_slice(date(random).as_bytes()),
            3 => text.extend_from_slice(format!("{:04}", random.u32(0..10_000)).as_bytes()),
            4 => text.push(random.u8(b'0'..=b'9')),
            5 => text.push(random.choice(*b"09/:%a \x80\xB9\xF0\xFF").unwrap()),
            _ => {
                let glue = random.choice(GLUE).unwrap();
                let number = format!("{}{glue}{:04}", date(random), random.u32(0..10_000));
                text.extend_from_slice(number.as_bytes());
            }
        }
    }
    text.truncate(len);
    text
}

/// Six digits that often name a day and a month.
fn date(random: &mut Rng) -> String {
    let days = [random.u32(1..=31), random.u32(61..=91), random.u32(0..100)];
    let months = [random.u32(1..=12), random.u32(1..=12), random.u32(0..100)];
    let (day, month) = (random.choice(days).unwrap(), random.choice(months).unwrap());
    format!("{day:02}{month:02}{:02}", random.u32(0..100))
}
