//! However a stream is cut, the same values come out, and every byte is shown and counted once.

mod corpus;
mod support;

use std::collections::BTreeSet;

use cprvagt_stream::{Decoder, Part};
use proptest::prelude::*;
use support::{NANCY, Seen, Step, check_promises, decode, hits, leaks, numbers, pieces, run, specific};

type Leak = (u64, Part, Option<String>, String);

fn leak_set(seen: &[Seen]) -> BTreeSet<Leak> {
    let leaks = leaks(seen);
    let set: BTreeSet<Leak> = leaks.iter().cloned().collect();
    assert_eq!(set.len(), leaks.len(), "no leak twice");
    set
}

/// Compares a run with the uncut one.
fn check_same(name: &str, stream: &[u8], cuts: &[usize]) {
    let (whole, cut) = (decode(stream, &[]), decode(stream, cuts));
    check_promises(stream, &cut);
    assert_eq!(specific(&cut), specific(&whole), "{name} cut at {cuts:?}");
    assert_eq!(leak_set(&cut), leak_set(&whole), "{name} cut at {cuts:?}");
}

#[test]
fn every_cut_of_the_corpus() {
    for (name, stream) in corpus::streams() {
        check_promises(&stream, &decode(&stream, &[]));
        for cut in 0..=stream.len() {
            check_same(name, &stream, &[cut]);
        }
        check_same(name, &stream, &(0..stream.len()).collect::<Vec<_>>());
    }
}

/// A pause anywhere adds windows of unfinished values, but loses none and no leak.
#[test]
fn a_pause_at_every_cut_of_the_corpus() {
    for (name, stream) in corpus::streams() {
        let whole = decode(&stream, &[]);
        for cut in 0..=stream.len() {
            let mut steps = pieces(&stream, &[cut]);
            steps.splice(1..1, [Step::Quiet, Step::Quiet]);
            let paused = run(Decoder::stream(), &steps);
            check_promises(&stream, &paused);
            let found: BTreeSet<String> = hits(&paused).into_iter().map(|(_, number)| number).collect();
            let expected: BTreeSet<String> = hits(&whole).into_iter().map(|(_, number)| number).collect();
            assert!(found.is_superset(&expected), "{name} paused at {cut}");
            if !name.contains("raw") && !name.contains("nearly") && !name.contains("broken") {
                assert!(specific(&paused).is_superset(&specific(&whole)), "{name} paused at {cut}");
            }
        }
    }
}

/// Where one number stands: part, field, and how often it must be seen whole.
fn check_split_number(part: Part, field: Option<&str>, before: &str, after: &str) {
    let stream = [before, NANCY, after].concat().replace('|', "\r\n").into_bytes();
    let start = before.replace('|', "\r\n").len();
    for cut in start..=start + NANCY.len() {
        let seen = decode(&stream, &[cut]);
        let whole: Vec<_> = hits(&seen).into_iter().filter(|(window, _)| window.part == part).collect();
        assert_eq!(whole.len(), 1, "{part:?} {before:?} cut {cut}: {whole:?}");
        assert_eq!(whole[0].0.field.as_deref(), field, "{before:?}");
        let raw: Vec<_> = hits(&seen).into_iter().filter(|(window, _)| !window.part.is_specific()).collect();
        assert_eq!(raw.len(), 1, "{before:?} cut {cut} as it stands: {raw:?}");
    }
}

#[test]
fn a_number_split_anywhere_is_found_once_in_its_part() {
    let form = "POST / HTTP/1.1|Content-Type: application/x-www-form-urlencoded|Content-Length: 17||";
    let json = "POST / HTTP/1.1|Content-Type: application/json|Content-Length: 27||";
    check_split_number(Part::UrlPath, None, "GET /p/", "/x HTTP/1.1||");
    check_split_number(Part::UrlQuery, Some("cpr"), "GET /p?a=b&cpr=", "&c HTTP/1.1||");
    check_split_number(Part::UrlQuery, None, "GET /p?", " HTTP/1.1||");
    check_split_number(Part::UrlHost, Some("Host"), "GET /p HTTP/1.1|Host: ", ".example||");
    check_split_number(Part::UrlHost, None, "GET http://", ".example/ HTTP/1.1||");
    check_split_number(Part::Header, Some("X-Cpr"), "GET /p HTTP/1.1|X-Cpr: ", "|A: b||");
    check_split_number(Part::Cookie, Some("c"), "GET /p HTTP/1.1|Cookie: a=b; c=", "; d=e||");
    check_split_number(Part::Referer, Some("Referer"), "GET /p HTTP/1.1|Referer: https://x/", "||");
    check_split_number(Part::Form, Some("k"), &format!("{form}a=&k="), "&b");
    check_split_number(Part::Json, Some("u.cpr"), &format!("{json}{{\"u\":{{\"cpr\":\""), "\"}} ");
    check_split_number(Part::Json, Some("u.cpr"), &format!("{json}{{\"u\":{{\"cpr\": "), " }} ");
    check_split_number(Part::Body, None, "POST / HTTP/1.1|Content-Length: 16||ab ", " cd");
    check_split_number(
        Part::Header,
        Some("X-T"),
        "POST / HTTP/1.1|Transfer-Encoding: chunked||0|X-T: ",
        "||",
    );
    check_split_number(Part::Raw, None, "select ", " from t");
    check_split_number(Part::Raw, None, "", "");
    check_split_number(Part::Raw, None, "a: ", "\n");
}

/// The same, with a pause at the cut.
#[test]
fn a_number_split_by_a_pause_is_found() {
    for cut in 0..=NANCY.len() + 12 {
        let stream = format!("number {NANCY} end").into_bytes();
        let mut steps = pieces(&stream, &[cut]);
        steps.insert(1, Step::Quiet);
        let seen = run(Decoder::stream(), &steps);
        let leaks = leak_set(&seen);
        assert_eq!(leaks.len(), 1, "cut {cut}: {leaks:?}");
    }
}

#[test]
fn a_number_split_by_chunks_is_found() {
    for cut in 1..NANCY.len() {
        let (head, tail) = NANCY.split_at(cut);
        let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
        let body = [chunk("{\"cpr\":\""), chunk(head), chunk(tail), chunk("\"}"), chunk("")].concat();
        let stream = format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{body}").into_bytes();
        for at in 0..stream.len() {
            let found = leak_set(&decode(&stream, &[at]));
            let expected = (0, Part::Json, Some("cpr".to_owned()), NANCY.to_owned());
            assert_eq!(found, BTreeSet::from([expected]), "chunks {cut}, cut {at}");
        }
    }
}

/// Text with digits and separators in it, and numbers.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(NANCY.to_owned()),
        Just(format!("{}-{}", &NANCY[..6], &NANCY[6..])),
        "[ .,:/%+-]{1,3}",
        "[a-z]{1,6}",
        "[0-9]{1,12}",
        Just("\u{2013}".to_owned()),
        Just("\r\n".to_owned()),
        Just("x".repeat(40)),
    ];
    proptest::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat().into_bytes())
}

fn step() -> impl Strategy<Value = Step> {
    let bytes = prop_oneof![
        4 => proptest::sample::select(corpus::streams().map(|(_, stream)| stream).collect::<Vec<_>>()),
        2 => text(),
        1 => proptest::collection::vec(any::<u8>(), 0..200),
    ];
    let part =
        (bytes, any::<prop::sample::Index>(), any::<prop::sample::Index>()).prop_map(|(bytes, from, to)| {
            let (from, to) = (from.index(bytes.len() + 1), to.index(bytes.len() + 1));
            Step::Push(bytes[from.min(to)..from.max(to)].to_vec())
        });
    prop_oneof![12 => part, 2 => Just(Step::Quiet), 1 => Just(Step::Finish), 1 => (1u64..100_000).prop_map(Step::Gap)]
}

proptest! {
    #[test]
    fn random_cuts_of_the_corpus(index in any::<prop::sample::Index>(), cuts in proptest::collection::btree_set(0usize..400, 0..8)) {
        let streams: Vec<_> = corpus::streams().collect();
        let (name, stream) = index.get(&streams);
        check_same(name, stream, &cuts.into_iter().collect::<Vec<_>>());
    }

    /// Raw numbers are those that a naive search over the whole stream finds.
    #[test]
    fn raw_text_agrees_with_a_naive_search(
        text in text(),
        cuts in proptest::collection::btree_set(0usize..300, 0..10),
    ) {
        let stream = [b"~", &text[..]].concat();
        let seen = decode(&stream, &cuts.into_iter().collect::<Vec<_>>());
        check_promises(&stream, &seen);
        let raw = hits(&seen).into_iter().filter(|(window, _)| window.decodings.is_empty());
        let mut found: Vec<_> = raw.map(|(_, number)| number).collect();
        let mut expected: Vec<_> = numbers(&stream).into_iter().map(|(_, number)| number).collect();
        found.sort();
        expected.sort();
        prop_assert_eq!(found, expected);
    }

    /// Whatever happens: no panic, bounded memory, each byte pushed counted once.
    #[test]
    fn anything_goes(steps in proptest::collection::vec(step(), 0..30)) {
        let mut decoder = Decoder::stream();
        let (mut pushed, mut counted, mut last) = (0u64, 0u64, 0u64);
        for step in steps.iter().chain([&Step::Finish]) {
            let mut ends = Vec::new();
            let mut out = |window: cprvagt_stream::Window<'_>| {
                counted += window.counted;
                let is_in_order = !window.protocol.interleaves();
                ends.push((window.message, is_in_order, window.owned.end <= window.bytes.len()));
            };
            match step {
                Step::Push(bytes) => {
                    pushed += bytes.len() as u64;
                    decoder.push(bytes, &mut out);
                }
                Step::Gap(bytes) => decoder.gap(*bytes, &mut out),
                Step::Quiet => decoder.quiet(&mut out),
                Step::Finish => decoder.finish(&mut out),
            }
            for (message, is_in_order, inside) in ends {
                prop_assert!(inside);
                prop_assert!(message >= last || !is_in_order, "messages do not go back");
                last = last.max(message);
            }
            prop_assert!(decoder.held_bytes() <= 200 * 1024);
        }
        prop_assert_eq!(counted, pushed);
    }
}
