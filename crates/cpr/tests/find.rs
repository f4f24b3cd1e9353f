//! Every backend against the naive reading of the grammar.

mod corpora;
mod oracle;

use cprvagt_cpr::{Backend, Grammar, Shape, find};
use fastrand::Rng;
use oracle::{check, naive, soup};
use proptest::prelude::*;

/// Written forms, and where numbers stand in them: as many examples as counter-examples.
const CASES: [(&str, &[(usize, usize)], &[(usize, usize)]); 40] = [
    ("0101901234", &[(0, 10)], &[(0, 10)]),
    ("010190-1234", &[(0, 11)], &[(0, 11)]),
    ("311299 - 0001", &[(0, 13)], &[(0, 13)]),
    ("010190%2D1234", &[(0, 13)], &[(0, 13)]),
    ("010190%201234", &[(0, 13)], &[(0, 13)]),
    ("010190\u{2011}1234", &[(0, 13)], &[(0, 13)]),
    ("910190-1234", &[(0, 11)], &[(0, 11)]),
    ("610190-1234", &[(0, 11)], &[(0, 11)]),
    ("a010190-1234b", &[(1, 12)], &[(1, 12)]),
    ("010190-1234 010190-1234", &[(0, 11), (12, 23)], &[(0, 11), (12, 23)]),
    ("\u{2013}010190\u{a0}1234", &[(3, 15)], &[(3, 15)]),
    // The serial of one is the date of the next only where escapes overlap.
    ("010190%201234-5678", &[(0, 13), (7, 18)], &[(0, 13), (7, 18)]),
    // The full grammar alone.
    ("010190\t1234", &[], &[(0, 11)]),
    ("010190\u{ad}1234", &[], &[(0, 12)]),
    ("010190\u{2212}1234", &[], &[(0, 13)]),
    ("%22010190-1234", &[], &[(3, 14)]),
    ("%220101901234", &[], &[(3, 13)]),
    ("\\u0022010190-1234", &[], &[(6, 17)]),
    ("\\x2201019012345", &[], &[]),
    ("%2522010190-1234", &[], &[(5, 16)]),
    // No day, no month.
    ("000190-1234", &[], &[]),
    ("320190-1234", &[], &[]),
    ("600190-1234", &[], &[]),
    ("920190-1234", &[], &[]),
    ("010090-1234", &[], &[]),
    ("011390-1234", &[], &[]),
    ("012090-1234", &[], &[]),
    // Too few digits, too many, or others.
    ("01019-01234", &[], &[]),
    ("010190-123", &[], &[]),
    ("010190-12345", &[], &[]),
    ("1010190-1234", &[], &[]),
    ("01019012345", &[], &[]),
    ("x22010190-1234", &[], &[]),
    ("\\u22010190-1234", &[], &[]),
    // No separator, or too much of it.
    ("010190:1234", &[], &[]),
    ("010190--1234", &[], &[]),
    ("010190%211234", &[], &[]),
    ("010190\u{2014}1234", &[], &[]),
    ("010190 -1234", &[], &[]),
    ("010190\n1234", &[], &[]),
];

#[test]
fn cases() {
    for (text, core, full) in CASES {
        for (grammar, expected) in [(Grammar::Core, core), (Grammar::Full, full)] {
            for backend in Backend::all() {
                let mut found = Vec::new();
                find(text.as_bytes(), grammar, backend, &mut |candidate| found.push((candidate.start, candidate.end)));
                assert_eq!(found, expected, "{text:?} {grammar:?} {}", backend.name());
            }
        }
    }
}

#[test]
fn cases_cut_anywhere() {
    for (text, ..) in CASES {
        for cut in 0..=text.len() {
            check(&text.as_bytes()[..cut], "a case up to a cut");
            check(&text.as_bytes()[cut..], "a case from a cut on");
        }
    }
}

#[test]
fn cases_at_every_offset() {
    for (text, ..) in CASES {
        for before in 0..200 {
            let mut padded = vec![b' '; before];
            padded.extend_from_slice(text.as_bytes());
            check(&padded, "a case behind spaces");
        }
        for before in [1000, 1090, 1530, 1536, 3060, 4600] {
            for around in 0..100 {
                let mut padded = vec![b'\n'; before + around];
                padded.extend_from_slice(text.as_bytes());
                padded.resize(padded.len() + around * 37, b'x');
                check(&padded, "a case amid a long text");
            }
        }
    }
}

#[test]
fn every_length_and_alignment() {
    let random = &mut Rng::with_seed(1);
    let around = |length: usize| length.saturating_sub(6)..length + 7;
    for length in (0..130).chain([112, 201, 256, 448, 1088, 1536, 1600, 3072, 3136].into_iter().flat_map(around)) {
        let soup = soup(random, length + 64);
        for alignment in 0..64 {
            check(&soup[alignment..alignment + length], "soup at an alignment");
        }
    }
}

#[test]
fn soup_of_any_length() {
    let random = &mut Rng::with_seed(2);
    for _ in 0..300 {
        let length = random.usize(200..=16_384);
        check(&soup(random, length), "soup");
    }
}

#[test]
fn corpora_whole_and_in_pieces() {
    let random = &mut Rng::with_seed(3);
    for corpus in corpora::all(512 * 1024, 7) {
        check(&corpus.bytes, "a whole corpus");
        let mut rest = &corpus.bytes[..];
        while !rest.is_empty() {
            let (piece, others) = rest.split_at(random.usize(200..=16_384).min(rest.len()));
            check(piece, "a piece of a corpus");
            rest = others;
        }
        let found = naive(&corpus.bytes, Grammar::Core).len();
        let expected = match corpus.name {
            'a' => 5..50,
            'b' => 50..200,
            'c' => 0..5,
            'd' => 1000..3000,
            _ => 40_000..60_000,
        };
        assert!(expected.contains(&found), "{}: {found}", corpus.name);
    }
}

/// More starts than any queue holds at once, and none for longer than it can count.
#[test]
fn crowds_and_deserts() {
    check("010190-1234,".repeat(3000).as_bytes(), "numbers only");
    check("01019012345".repeat(3000).as_bytes(), "digits only");
    let mut desert = vec![b' '; 4 << 20];
    desert.extend_from_slice(b"010190-1234");
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
