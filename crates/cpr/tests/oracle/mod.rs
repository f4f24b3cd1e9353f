//! The grammar read naively: every separator tried at every offset. What every backend must agree with.
#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(clippy::unwrap_used, reason = "tests")]

use cprvagt_cpr::{Backend, Candidate, Grammar, Layout, Order, Shape, find};
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
    let is_full = grammar == Grammar::Full;
    let apart = |start| dated(text, start).or_else(|| wide(text, start));
    let starts = (0..text.len()).filter(|start| are_digits(text, *start, 1));
    let at = |start| plain(text, start, grammar).or_else(|| apart(start).filter(|_| is_full));
    starts.filter_map(at).collect()
}

fn are_digits(text: &[u8], at: usize, count: usize) -> bool {
    (at..at + count).all(|at| text.get(at).is_some_and(u8::is_ascii_digit))
}

fn value(text: &[u8], at: usize) -> u8 {
    (text[at] - b'0') * 10 + (text[at + 1] - b'0')
}

fn is_day_and_month(day: u8, month: u8) -> bool {
    matches!(day, 1..=31 | 61..=91) && matches!(month, 1..=12)
}

fn is_open(text: &[u8], start: usize, grammar: Grammar) -> bool {
    start == 0
        || !are_digits(text, start - 1, 1)
        || (grammar == Grammar::Full && ends_with_escape(&text[..start]))
}

fn plain(text: &[u8], start: usize, grammar: Grammar) -> Option<Candidate> {
    let is_date = are_digits(text, start, 6) && is_day_and_month(value(text, start), value(text, start + 2));
    if !is_date || !is_open(text, start, grammar) {
        return None;
    }
    let (end, shape) = serial(text, start + 6, grammar)?;
    Some(Candidate { start, end, shape, layout: Layout::Plain })
}

/// Where the separator and the serial at `at` end, and their shape.
fn serial(text: &[u8], at: usize, grammar: Grammar) -> Option<(usize, Shape)> {
    SEPARATORS.into_iter().find_map(|(separator, shape, is_core)| {
        let serial = at + separator.len();
        let is_written =
            text[at..].starts_with(separator.as_bytes()) && (is_core || grammar == Grammar::Full);
        let is_whole = is_written && are_digits(text, serial, 4) && !are_digits(text, serial + 4, 1);
        is_whole.then_some((serial + 4, shape))
    })
}

fn dated(text: &[u8], start: usize) -> Option<Candidate> {
    let pairs_are_digits = [0, 3, 6].iter().all(|at| are_digits(text, start + at, 2));
    if !pairs_are_digits || !is_day_and_month(value(text, start), value(text, start + 3)) {
        return None;
    }
    let between = text[start + 2];
    let is_row = start > 1 && text[start - 1] == between && are_digits(text, start - 2, 1);
    if text[start + 5] != between
        || !b".-/ ".contains(&between)
        || is_row
        || !is_open(text, start, Grammar::Full)
    {
        return None;
    }
    let (end, shape) = serial(text, start + 8, Grammar::Full)?;
    (shape != Shape::Bare).then_some(Candidate { start, end, shape: Shape::Dated, layout: Layout::Dated })
}

/// Both orders in which the bytes may be, decoded as a whole around a pair of digits.
fn wide(text: &[u8], start: usize) -> Option<Candidate> {
    if ![0, 2].iter().all(|at| are_digits(text, start + at, 1)) {
        return None;
    }
    [Order::Little, Order::Big].into_iter().find_map(|order| {
        let byte = |at: usize| text.get(at).copied();
        let unit = |at: usize| match order {
            Order::Little => Some(u16::from_le_bytes([byte(at)?, byte(at + 1).unwrap_or(0)])),
            Order::Big => {
                Some(u16::from_be_bytes([at.checked_sub(1).and_then(byte).unwrap_or(0), byte(at)?]))
            }
        };
        let units: Vec<u16> = (0..20).map_while(|number| unit(start + 2 * number)).collect();
        let before: Vec<u16> =
            (1..=6).rev().filter_map(|number| unit(start.checked_sub(2 * number)?)).collect();
        let before = String::from_utf16_lossy(&before);
        let decoded = format!("{before}{}", String::from_utf16_lossy(&units));
        let (bytes, first) = (decoded.as_bytes(), before.len());
        let of_plain = || plain(bytes, first, Grammar::Full).map(|found| (found, Layout::Wide(order)));
        let of_dated = || dated(bytes, first).map(|found| (found, Layout::WideDated(order)));
        let (found, layout) = of_plain().or_else(of_dated)?;
        let end = start + 2 * decoded[first..found.end].chars().count() - 1;
        Some(Candidate { start, end, shape: found.shape, layout })
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

/// What the naive reading finds in a text, by each grammar.
pub struct Expected([(Grammar, Vec<Candidate>); 2]);

impl Expected {
    pub fn of(text: &[u8]) -> Self {
        Self([Grammar::Core, Grammar::Full].map(|grammar| (grammar, naive(text, grammar))))
    }

    /// Panics where a backend finds anything else in the same text, wherever it lies; the message has places and shapes,
    /// and no digits.
    pub fn check(&self, text: &[u8], what: &str) {
        for (grammar, expected) in &self.0 {
            for backend in Backend::all() {
                let mut found = Vec::with_capacity(expected.len());
                find(text, *grammar, backend, &mut |candidate| found.push(candidate));
                assert!(
                    found == *expected,
                    "{} {grammar:?} differs from the naive reading: {what}, {} bytes: {found:?}, {expected:?}",
                    backend.name(),
                    text.len()
                );
            }
        }
    }
}

/// Panics where a backend and the naive reading differ.
pub fn check(text: &[u8], what: &str) {
    Expected::of(text).check(text, what);
}

/// Bytes that are full of numbers, of what nearly is one, and of what makes one out of a neighbour.
pub fn soup(random: &mut Rng, len: usize) -> Vec<u8> {
    const GLUE: [&str; 28] = [
        "-", "-", " ", "\t", ".", "/", "_", "+", "%", "%2", "%20", "%2D", "%25", "%A", "%25b", "\\u00",
        "\\u00a", "\\uc", "\\x", "\u{a0}", "\u{ad}", "\u{2010}", "\u{2013}", "\u{2014}", "\u{2212}", " - ",
        "\0", "-\0",
    ];
    let mut text = Vec::with_capacity(len + 16);
    while text.len() < len {
        match random.u32(0..10) {
            0 | 1 => text.extend_from_slice(random.choice(GLUE).unwrap().as_bytes()),
            2 => text.extend_from_slice(date(random).as_bytes()),
            3 => text.extend_from_slice(format!("{:04}", random.u32(0..10_000)).as_bytes()),
            4 => text.push(random.u8(b'0'..=b'9')),
            5 => text.push(random.choice(*b"09/:%a \x80\xB9\xF0\xFF").unwrap()),
            6 => text.extend_from_slice(dated_number(random, &GLUE).as_bytes()),
            7 => {
                let number = if random.bool() { number(random, &GLUE) } else { dated_number(random, &GLUE) };
                let is_little = random.bool();
                let bytes = |unit: u16| if is_little { unit.to_le_bytes() } else { unit.to_be_bytes() };
                text.extend(number.encode_utf16().flat_map(bytes));
            }
            _ => text.extend_from_slice(number(random, &GLUE).as_bytes()),
        }
    }
    text.truncate(len);
    text
}

fn number(random: &mut Rng, glue: &[&str]) -> String {
    let glue = random.choice(glue).unwrap();
    format!("{}{glue}{:04}", date(random), random.u32(0..10_000))
}

fn dated_number(random: &mut Rng, glue: &[&str]) -> String {
    let (date, between) = (date(random), random.choice([".", "-", "/", " ", ":", "_"]).unwrap());
    let second = if random.u32(0..8) == 0 { "-" } else { between };
    let glue = random.choice(glue).unwrap();
    format!("{}{between}{}{second}{}{glue}{:04}", &date[..2], &date[2..4], &date[4..], random.u32(0..10_000))
}

/// Six digits that often name a day and a month.
fn date(random: &mut Rng) -> String {
    let days = [random.u32(1..=31), random.u32(61..=91), random.u32(0..100)];
    let months = [random.u32(1..=12), random.u32(1..=12), random.u32(0..100)];
    let (day, month) = (random.choice(days).unwrap(), random.choice(months).unwrap());
    format!("{day:02}{month:02}{:02}", random.u32(0..100))
}
