//! HTTP/2 in the forms that clients seldom send, and beyond its bounds.

mod support;

use cprvagt_stream::{Decoder, Part, Protocol};
use support::told::told;
use support::{NANCY, Step, check_promises, decode, run};

/// A header block: POST, http, `/`.
const POST: &[u8] = &[0x83, 0x86, 0x84];

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = (payload.len() as u32).to_be_bytes();
    [&len[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A literal field that is not kept, its name and value as they stand.
fn field(name: &str, value: &str) -> Vec<u8> {
    let len = |text: &str| u8::try_from(text.len()).expect("a short text");
    [&[0, len(name)], name.as_bytes(), &[len(value)], value.as_bytes()].concat()
}

fn check(stream: &[Vec<u8>], expected: &[&str]) {
    let stream = stream.concat();
    for cut in 0..=stream.len().min(600) {
        let seen = decode(&stream, &[cut]);
        check_promises(&stream, &seen);
        assert!(seen.iter().all(|window| window.protocol == Protocol::Http2 && window.text), "cut at {cut}");
        assert_eq!(told(&seen), expected, "cut at {cut}");
    }
}

#[test]
fn blocks_in_many_frames() {
    let block = [POST, &field("x-cpr", "251248-9996")].concat();
    let parts = |first: u8, padding: &[u8]| {
        let lead = [&[padding.len() as u8, 0, 0, 0, 0, 16], &block[..5], padding].concat();
        [
            frame(1, first, 1, &lead),
            frame(9, 0, 1, &block[5..9]),
            frame(9, 0, 1, &[]),
            frame(9, 4, 1, &block[9..]),
        ]
    };
    check(&parts(0x28, &[0; 3]), &["http/2 header x-cpr"]);
    check(&parts(0x28, &[]), &["http/2 header x-cpr"]);
    check(&parts(0x29, &[7; 9]), &["http/2 header x-cpr"]);
}

#[test]
fn padded_data_and_trailers() {
    let json = field("content-type", "application/json");
    let data = |flags, text: &str| frame(0, flags, 1, &[&[4], text.as_bytes(), &[b'9'; 4]].concat());
    let stream = [
        frame(1, 4, 1, &[POST, &json].concat()),
        data(8, "{\"cpr\":\"251248-"),
        frame(6, 0, 0, &[0; 8]),
        data(8, "9996\"}"),
        frame(1, 5, 1, &field("x-cpr", "251248-9996")),
    ];
    check(&stream, &["http/2 header x-cpr", "http/2 json cpr"]);
}

#[test]
fn interleaved_streams_keep_their_content_apart() {
    let form = field("content-type", "application/x-www-form-urlencoded");
    let open = |stream| frame(1, 4, stream, &[POST, &form].concat());
    let stream = [
        open(1),
        open(3),
        frame(0, 0, 1, b"cpr=251248-"),
        frame(0, 0, 3, b"pnr=251248-"),
        frame(0, 1, 1, b"9996"),
        frame(0, 1, 3, b"9996&cpr=x"),
    ];
    check(&stream, &["http/2 form cpr", "http/2 form pnr"]);
}

/// The same digits where they are no number.
#[test]
fn look_alikes_stay_silent() {
    let stream = [
        frame(1, 4, 1, &[POST, &field("x-trace", "a251248-9996b"), &field("x-order", NANCY)].concat()),
        frame(0, 1, 1, br#"{"order":2512489996,"trace":"251248-99967"}"#),
        frame(1, 5, 3, &[POST, &field("x-cpr", "251248-9997-1")].concat()),
        frame(6, 0, 0, b"25124899"),
    ];
    check(&stream, &[]);
}

#[test]
fn data_of_an_unknown_stream_is_read_as_it_stands() {
    let stream = [frame(8, 0, 0, &[0, 0, 1, 0]), frame(0, 1, 7, b"the cpr is 251248-9996 here")];
    check(&stream, &["http/2 body -"]);
}

#[test]
fn a_gap_in_data_is_passed_over_and_one_elsewhere_starts_anew() {
    let open = frame(1, 4, 1, &[POST, &field("content-type", "text/plain")].concat());
    let body = frame(0, 0, 1, &[b'x'; 100]);
    let more = frame(1, 5, 3, &[POST, &field("x-cpr", "251248-9996")].concat());
    let (known, unknown) = ("http/2 header x-cpr", "raw raw -");
    for (before, missing, expected) in [(20, 50, known), (20, 89, known), (4, 30, unknown)] {
        let steps = [
            Step::Push([&open, &body[..before]].concat()),
            Step::Gap(missing as u64),
            Step::Push([&body[before + missing..], &more].concat()),
            Step::Finish,
        ];
        let found = told(&run(Decoder::stream(), &steps));
        assert_eq!(found, [expected], "{missing} missing at {before}");
    }
    let steps = [Step::Push(open), Step::Gap(1000), Step::Push(more), Step::Finish];
    assert_eq!(told(&run(Decoder::stream(), &steps)), ["http/2 header x-cpr"], "a gap up to a frame");
}

#[test]
fn broken_frames_are_raw() {
    let open = frame(1, 4, 1, &[POST, &field("x-a", "b")].concat());
    for broken in ["\0\0\x03\x06\0\0\0\0\0 251248-9996", "\0\0\x02\0\x08\0\0\0\x01\x09 cpr 251248-9996"] {
        let stream = [&open, broken.as_bytes()].concat();
        let seen = decode(&stream, &[]);
        check_promises(&stream, &seen);
        let raw = seen.iter().filter(|window| window.protocol == Protocol::Raw && window.counted > 0);
        assert_eq!(raw.count(), 1, "{broken:?}");
    }
}

#[test]
fn blocks_that_are_too_long_are_shown_as_they_stand() {
    let long: Vec<u8> = (0..700).flat_map(|_| field("x-long", &"y".repeat(100))).collect();
    let mut stream = vec![frame(1, 0, 1, POST)];
    stream.extend(long.chunks(16_000).map(|piece| frame(9, 0, 1, piece)));
    stream.push(frame(9, 4, 1, &field("x-cpr", "251248-9996")));
    stream.push(frame(1, 5, 3, &[POST, &field("x-cpr", "251248-9996")].concat()));
    let stream = stream.concat();
    let seen = decode(&stream, &[]);
    check_promises(&stream, &seen);
    assert_eq!(told(&seen), ["http/2 raw -", "http/2 header x-cpr"]);
}

#[test]
fn streams_and_what_they_hold_are_bounded() {
    let mut decoder = Decoder::stream();
    let json = field("content-type", "application/json");
    let (mut counted, mut pushed, mut held_most) = (0, 0, 0);
    let mut parts = Vec::new();
    for number in 0..150 {
        let mut push = |bytes: Vec<u8>| {
            pushed += bytes.len() as u64;
            decoder.push(&bytes, &mut |window| {
                counted += window.counted;
                parts.push(window.part);
            });
            held_most = held_most.max(decoder.held_bytes());
        };
        push(frame(1, 4, number * 2 + 1, &[POST, &json].concat()));
        push(frame(0, 0, number * 2 + 1, &[b"[\"", &[b'z'; 60_000][..]].concat()));
    }
    decoder.finish(&mut |window| counted += window.counted);
    assert_eq!(counted, pushed);
    assert!(held_most <= (2 << 20) + 200 * 1024, "{held_most}");
    assert!(held_most > 1 << 20 && parts.contains(&Part::Body), "shown before they end");
}
