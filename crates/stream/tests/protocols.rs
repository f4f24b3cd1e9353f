//! What real clients sent, and what resembles it: each location right, and alike however the stream is cut.
//!
//! A case is a folder of `recorded/` with `input`, one direction of a connection, and `expected`: protocol, part and
//! field of each number that is told, in order. A counter-example has an empty one: the same protocol, and values that
//! only resemble. A case whose name begins with `datagram` is one datagram.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use cprvagt_stream::{Decoder, Protocol};
use support::told::told;
use support::{Seen, Step, check_promises, decode, pieces, run, specific};

/// Streams up to this long are cut everywhere.
const CUT_EVERYWHERE_BYTES_MAX: usize = 1500;

struct Case {
    name: String,
    input: Vec<u8>,
    expected: Vec<String>,
}

impl Case {
    fn is_datagram(&self) -> bool {
        self.name.starts_with("datagram")
    }

    fn decode(&self) -> Vec<Seen> {
        let decoder = if self.is_datagram() { Decoder::datagram() } else { Decoder::stream() };
        run(decoder, &pieces(&self.input, &[]))
    }
}

fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded");
    let mut folders: Vec<_> =
        fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    folders.sort();
    folders.iter().map(|folder| case(folder)).collect()
}

fn case(folder: &Path) -> Case {
    let expected = fs::read_to_string(folder.join("expected")).unwrap_or_default();
    Case {
        name: folder.file_name().expect("a name").to_string_lossy().into_owned(),
        input: fs::read(folder.join("input")).expect("a stream"),
        expected: expected.lines().map(str::to_owned).collect(),
    }
}

#[test]
fn every_number_is_told_with_its_place() {
    let mut failed = Vec::new();
    for case in cases() {
        let seen = case.decode();
        check_promises(&case.input, &seen);
        let found = told(&seen);
        if found != case.expected {
            failed.push(format!("{}: told {found:#?}, expected {:#?}", case.name, case.expected));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// The same messages with a thirteenth month in place of the twelfth: nothing of them is a number any more.
#[test]
fn what_is_no_date_stays_silent() {
    let mut twins = 0;
    for mut case in cases() {
        let told_as_it_is = case.expected.len();
        for at in 0..case.input.len() {
            if case.input[at..].starts_with(b"251248-9996") {
                case.input[at + 2..at + 4].copy_from_slice(b"13");
                twins += 1;
            }
        }
        let found = told(&case.decode());
        assert!(found.len() <= told_as_it_is, "{}: {found:?}", case.name);
        let is_plain = !["http2", "grpc", "ws", "smtp"].iter().any(|it| case.name.starts_with(it));
        assert!(found.is_empty() || !is_plain, "{}: {found:?}", case.name);
    }
    assert!(twins > 20, "{twins}");
}

/// Every byte of a recognised protocol counts as read.
#[test]
fn nothing_of_a_known_protocol_is_opaque() {
    for case in cases().iter().filter(|case| !case.name.contains("binary")) {
        let seen = case.decode();
        let opaque = seen.iter().find(|window| !window.text && window.counted > 0);
        assert!(opaque.is_none(), "{}: {opaque:?}", case.name);
    }
}

fn same(case: &Case, whole: &[Seen], cuts: &[usize]) {
    let cut = decode(&case.input, cuts);
    check_promises(&case.input, &cut);
    assert_eq!(specific(&cut), specific(whole), "{} cut at {cuts:?}", case.name);
    let sorted = |seen| told(seen).into_iter().collect::<BTreeSet<_>>();
    assert_eq!(sorted(&cut), sorted(whole), "{} cut at {cuts:?}", case.name);
}

#[test]
fn cuts_make_no_difference() {
    let mut random = proptest::test_runner::TestRunner::deterministic().new_rng();
    for case in cases().into_iter().filter(|case| !case.is_datagram()) {
        let whole = decode(&case.input, &[]);
        let len = case.input.len();
        if len <= CUT_EVERYWHERE_BYTES_MAX {
            (0..=len).for_each(|cut| same(&case, &whole, &[cut]));
        }
        same(&case, &whole, &(0..=len).collect::<Vec<_>>());
        for _ in 0..20 {
            let mut cuts: Vec<usize> = (0..8).map(|_| rand_below(&mut random, len + 1)).collect();
            cuts.sort_unstable();
            same(&case, &whole, &cuts);
        }
    }
}

fn rand_below(random: &mut impl proptest::prelude::Rng, end: usize) -> usize {
    random.next_u64() as usize % end
}

/// A pause anywhere loses no number.
#[test]
fn pauses_lose_nothing() {
    let is_cut = |case: &&Case| !case.is_datagram() && case.input.len() <= CUT_EVERYWHERE_BYTES_MAX;
    for case in cases().iter().filter(is_cut) {
        let whole: BTreeSet<_> = told(&decode(&case.input, &[])).into_iter().collect();
        for cut in 0..=case.input.len() {
            let mut steps = pieces(&case.input, &[cut]);
            steps.splice(1..1, [Step::Quiet, Step::Quiet]);
            let paused = run(Decoder::stream(), &steps);
            check_promises(&case.input, &paused);
            let found: BTreeSet<_> = told(&paused).into_iter().collect();
            assert!(found.is_superset(&whole), "{} paused at {cut}: {found:?}", case.name);
        }
    }
}

/// A connection that is joined at any frame is read from there on.
#[test]
fn http2_joined_late() {
    let case = cases().into_iter().find(|case| case.name == "http2-node").expect("it is there");
    let second = case
        .input
        .windows(9)
        .position(|header| header == b"\0\0\x30\x01\x04\0\0\0\x03")
        .expect("it is there");
    let seen = decode(&case.input[second..], &[]);
    assert!(seen.iter().all(|window| window.protocol == Protocol::Http2));
    let found = told(&seen);
    let expected =
        ["http/2 form cpr", "http/2 url.query cpr", "http/2 header x-cpr", "http/2 json list[].cpr"];
    assert_eq!(found, expected, "all but what was before");
}
