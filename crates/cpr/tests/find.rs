//! Every backend against the naive reading of the grammar.

mod corpora;
mod oracle;

use cprvagt_cpr::{Backend, Grammar, Order, Shape, find};
use fastrand::Rng;
use oracle::{check, naive, soup};
use proptest::prelude::*;

type Ranges = &'static [(usize, usize)];

/// Written forms, and where numbers stand in them, by the core grammar and by the full one: as many examples as counter-examples.
const CASES: [(&str, Ranges, Ranges); 76] = [
    ("2512489996", &[(0, 10)], &[(0, 10)]),
    ("251248-9996", &[(0, 11)], &[(0, 11)]),
    ("311248 - 9996", &[(0, 13)], &[(0, 13)]),
    ("251248%2D9996", &[(0, 13)], &[(0, 13)]),
    ("251248%209996", &[(0, 13)], &[(0, 13)]),
    ("251248\u{2011}9996", &[(0, 13)], &[(0, 13)]),
    ("911248-9996", &[(0, 11)], &[(0, 11)]),
    ("611248-9996", &[(0, 11)], &[(0, 11)]),
    ("a251248-9996b", &[(1, 12)], &[(1, 12)]),
    ("251248-9996 251248-9996", &[(0, 11), (12, 23)], &[(0, 11), (12, 23)]),
    ("\u{2013}251248\u{a0}9996", &[(3, 15)], &[(3, 15)]),
    // The serial of one is the date of the next only where escapes overlap.
    ("251248%201299-5678", &[(0, 13), (7, 18)], &[(0, 13), (7, 18)]),
    // The full grammar alone.
    ("251248\t9996", &[], &[(0, 11)]),
    ("251248\u{ad}9996", &[], &[(0, 12)]),
    ("251248\u{2212}9996", &[], &[(0, 13)]),
    ("%22251248-9996", &[], &[(3, 14)]),
    ("%222512489996", &[], &[(3, 13)]),
    ("\\u0022251248-9996", &[], &[(6, 17)]),
    ("\\x2225124899965", &[], &[]),
    ("%2522251248-9996", &[], &[(5, 16)]),
    // Of the escape the number's side alone is digits: one, two, three.
    ("%A2251248-9996", &[], &[(3, 14)]),
    ("\\u00a0251248-9996", &[], &[(6, 17)]),
    ("\\xb22512489996", &[], &[(4, 14)]),
    ("\\uAA222512489996", &[], &[(6, 16)]),
    ("\\ua022251248-9996", &[], &[(6, 17)]),
    // A date with separators, and its counterparts: two kinds of separator, an unknown kind, no separator before the
    // serial, a month too late, a row that has begun before, a year in full, too many digits.
    ("25.12.48-9996", &[], &[(0, 13)]),
    ("25 12 48 9996", &[], &[(0, 13)]),
    ("25-12-48-9996", &[], &[(0, 13)]),
    ("25/12/48 - 9996", &[], &[(0, 15)]),
    ("25/12/48\u{2013}9996", &[], &[(0, 15)]),
    ("%2225.12.48%209996", &[], &[(3, 18)]),
    ("x 91.12.48.9996 ", &[], &[(2, 15)]),
    ("1.25.12.48.9996", &[], &[]),
    ("25.12-48-9996", &[], &[]),
    ("25:12:48-9996", &[], &[]),
    ("25.12.489996", &[], &[]),
    ("25.13.48-9996", &[], &[]),
    ("32.12.48-9996", &[], &[]),
    ("45 25 12 48 9996", &[], &[]),
    ("1-25-12-48-9996", &[], &[]),
    ("25.12.1948-9996", &[], &[]),
    ("125.12.48-9996", &[], &[]),
    ("25.12.48-99965", &[], &[]),
    ("25.12.48-123", &[], &[]),
    ("25.12.48", &[], &[]),
    ("192.168.01.01", &[], &[]),
    ("2026-11-22T10:30:45.9996", &[], &[]),
    // No day, no month.
    ("001248-9996", &[], &[]),
    ("321248-9996", &[], &[]),
    ("601248-9996", &[], &[]),
    ("921248-9996", &[], &[]),
    ("250048-9996", &[], &[]),
    ("251348-9996", &[], &[]),
    ("252048-9996", &[], &[]),
    // Too few digits, too many, or others.
    ("25124-89996", &[], &[]),
    ("251248-123", &[], &[]),
    ("251248-99965", &[], &[]),
    ("1251248-9996", &[], &[]),
    ("25124899965", &[], &[]),
    ("x22251248-9996", &[], &[]),
    ("\\u22251248-9996", &[], &[]),
    ("A2251248-9996", &[], &[]),
    ("00a0251248-9996", &[], &[]),
    ("x=b2251248-9996", &[], &[]),
    ("-1251248-9996", &[], &[]),
    ("\"ms\":1232512489996", &[], &[]),
    // No separator, or too much of it.
    ("251248:9996", &[], &[]),
    ("251248--9996", &[], &[]),
    ("251248%219996", &[], &[]),
    ("251248\u{2014}9996", &[], &[]),
    ("251248 -9996", &[], &[]),
    ("251248\n9996", &[], &[]),
    // A zero byte is none, and no part of one.
    ("251248\09996", &[], &[]),
    ("251248\0\0\09996", &[], &[]),
    ("251248-\09996", &[], &[]),
    ("251248%2\09996", &[], &[]),
];

/// What is printed tells `cargo xtask memcheck` on which backends the other tests have run.
#[test]
fn the_fastest_backend_comes_first_and_the_portable_one_last() {
    let names: Vec<_> = Backend::all().map(Backend::name).collect();
    println!("backends: {}", names.join(" "));
    assert_eq!(names.first(), Some(&Backend::best().name()));
    assert_eq!(names.last(), Some(&Backend::PORTABLE.name()));
}

#[test]
fn cases() {
    for (text, core, full) in CASES {
        for (grammar, expected) in [(Grammar::Core, core), (Grammar::Full, full)] {
            for backend in Backend::all() {
                let mut found = Vec::new();
                find(text.as_bytes(), grammar, backend, &mut |candidate| {
                    found.push((candidate.start, candidate.end))
                });
                assert_eq!(found, expected, "{text:?} {grammar:?} {}", backend.name());
            }
        }
    }
}

/// The cases are cases of UTF-16 too, in both orders and at any offset.
#[test]
fn cases_in_utf16() {
    for (text, _, full) in CASES {
        for (order, before) in
            [Order::Little, Order::Big].into_iter().flat_map(|order| [0, 1, 2, 63].map(|n| (order, n)))
        {
            let wide = in_utf16(text, order, before);
            let found = naive(&wide, Grammar::Full);
            let expected: Vec<_> = full.iter().map(|range| places(text, *range, order, before)).collect();
            let ranges: Vec<_> = found.iter().map(|found| (found.start, found.end)).collect();
            assert_eq!(ranges, expected, "{text:?} {order:?}");
            check(&wide, "UTF-16");
            assert!(naive(&wide, Grammar::Core).is_empty());
        }
    }
}

fn in_utf16(text: &str, order: Order, before: usize) -> Vec<u8> {
    let bytes = |unit: u16| if order == Order::Little { unit.to_le_bytes() } else { unit.to_be_bytes() };
    let mut wide = vec![0; before];
    wide.extend(text.encode_utf16().flat_map(bytes));
    wide
}

/// Where in UTF-16 the digits are that stand at a range of UTF-8.
fn places(text: &str, (start, end): (usize, usize), order: Order, before: usize) -> (usize, usize) {
    let low = before + usize::from(order == Order::Big);
    let units = |end: usize| text[..end].encode_utf16().count();
    (low + 2 * units(start), low + 2 * units(end) - 1)
}

/// Every two hexadecimal digits before a number, owned by an escape of any kind, or by what only looks like one.
#[test]
fn digits_that_an_escape_owns() {
    const HEX: &[u8] = b"0123456789abcdefAF";
    let pairs = || HEX.iter().flat_map(|high| HEX.iter().map(|low| [*high, *low].map(char::from)));
    for opening in ["", "%", "%25", "\\x", "\\u00", "\\uA0", "\\u9c", "\\u0", "u00", "x"] {
        for before in ["", "\"", "\":", "=.", "=.a", " 1", "\u{e5}", "\0", "%", "\\"] {
            for [high, low] in pairs() {
                check(format!("{before}{opening}{high}{low}251248-9996").as_bytes(), "behind two digits");
            }
        }
    }
}

#[test]
fn cases_cut_anywhere() {
    for (text, ..) in CASES {
        for order in [Order::Little, Order::Big] {
            let wide = in_utf16(text, order, 0);
            for cut in 0..=wide.len() {
                check(&wide[..cut], "UTF-16 up to a cut");
                check(&wide[cut..], "UTF-16 from a cut on");
            }
        }
        for cut in 0..=text.len() {
            check(&text.as_bytes()[..cut], "a case up to a cut");
            check(&text.as_bytes()[cut..], "a case from a cut on");
        }
    }
}

#[test]
fn cases_at_every_offset() {
    for (text, ..) in CASES {
        for before in 0..140 {
            let mut padded = vec![b' '; before];
            padded.extend_from_slice(text.as_bytes());
            check(&padded, "a case behind spaces");
        }
        for before in [1030, 1480, 3020] {
            for around in (0..90).step_by(3) {
                let mut padded = vec![b'\n'; before + around];
                padded.extend_from_slice(text.as_bytes());
                padded.resize(padded.len() + around * 17, b'x');
                check(&padded, "a case amid a long text");
            }
        }
    }
}

#[test]
fn every_length_and_alignment() {
    let random = &mut Rng::with_seed(1);
    let around = |length: usize| length.saturating_sub(6)..length + 7;
    for length in (0..130).chain([201, 256, 448, 1088, 1536, 1600, 3072, 3136].into_iter().flat_map(around)) {
        let soup = soup(random, length + 64);
        // Of long texts some alignments, since the naive reading takes its time.
        let step = if length < 460 { 1 } else { 1 + length / 130 };
        for alignment in (0..64).step_by(step) {
            check(&soup[alignment..alignment + length], "soup at an alignment");
        }
    }
}

#[test]
fn soup_of_any_length() {
    let random = &mut Rng::with_seed(2);
    for _ in 0..100 {
        let length = random.usize(200..=16_384);
        check(&soup(random, length), "soup");
    }
}

#[test]
fn corpora_whole_and_in_pieces() {
    let random = &mut Rng::with_seed(3);
    for corpus in corpora::all(128 * 1024, 7) {
        check(&corpus.bytes, "a whole corpus");
        let mut rest = &corpus.bytes[..];
        while !rest.is_empty() {
            let (piece, others) = rest.split_at(random.usize(200..=16_384).min(rest.len()));
            check(piece, "a piece of a corpus");
            rest = others;
        }
        let found = naive(&corpus.bytes, Grammar::Core).len();
        let expected = match corpus.name {
            'a' => 1..20,
            'b' => 10..60,
            'c' => 0..5,
            'd' => 200..800,
            _ => 10_000..12_000,
        };
        assert!(expected.contains(&found), "{}: {found}", corpus.name);
    }
}

/// More starts than any queue holds at once, and none for longer than it can count.
#[test]
fn crowds_and_deserts() {
    check("251248-9996,".repeat(3000).as_bytes(), "numbers only");
    check("25124899965".repeat(3000).as_bytes(), "digits only");
    let mut desert = vec![b' '; 4 << 20];
    desert.extend_from_slice(b"251248-9996");
    for backend in Backend::all() {
        let mut found = Vec::new();
        find(&desert, Grammar::Core, backend, &mut |candidate| found.push(candidate));
        assert!(found.len() == 1 && found[0].end == desert.len() && found[0].shape == Shape::Hyphen);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_mixture(
        text in "((0[1-9]|[12][0-9]|3[01]|[6-9][0-9])(0[1-9]|1[0-2])[0-9]{2}|[0-9]{4}|[0-9]{1,12}|[ ./_+\t-]|%2[0dD]|\u{a0}|\u{2011}|\u{2212}| - |%|\\\\u00|[a-f\u{e5}]){0,40}",
    ) {
        check(text.as_bytes(), "a mixture");
    }

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        check(&bytes, "bytes");
    }
}
