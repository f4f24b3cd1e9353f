//! Bodies of messages: what is found in which encoding and where, however the stream is cut; and what is not.

#[path = "corpus/bodies.rs"]
mod bodies;
#[path = "support/mod.rs"]
mod support;

use std::collections::BTreeSet;

use bodies::{Case, Numbers};
use cprvagt_cpr::citizens::Citizens;
use cprvagt_cpr::{Confidence, Place, Scene, scan};
use proptest::prelude::*;
use support::{Seen, check_promises, decode, specific};

/// 28 November 2026.
const NOW_UNIX: i64 = 1_795_824_000;

fn numbers() -> Numbers {
    let text = |digits: &[u8; 10]| String::from_utf8_lossy(digits).into_owned();
    let mut all = Citizens::new(9).map(|number| text(number.digits()));
    let plain = all.find(|digits| !digits.starts_with('0')).expect("most do not");
    let short = all.find(|digits| digits.starts_with('0')).expect("a third do").parse().expect("digits");
    let hyphen = format!("{}-{}", &plain[..6], &plain[6..]);
    Numbers { plain, hyphen, short }
}

fn stream(case: &Case) -> Vec<u8> {
    let head = if case.head.is_empty() { String::new() } else { format!("{}|", case.head) };
    let head = format!("POST /b HTTP/1.1|Host: h|{head}Content-Length: {}||", case.body.len());
    [head.replace('|', "\r\n").as_bytes(), &case.body].concat()
}

/// Part, field and decodings of each number that a caller would tell, in order.
fn leaks(seen: &[Seen]) -> Vec<(String, String, String)> {
    let mut told: Vec<([u8; 10], &Seen)> = Vec::new();
    for window in seen {
        let key = window.field.as_deref().and_then(|field| field.rsplit('.').next());
        let scene = Scene { key, place: Place::Other, now_unix: NOW_UNIX };
        scan(&window.bytes, &scene, &mut |hit| {
            let digits = *hit.number.digits();
            let is_known = |(other, before): &([u8; 10], &Seen)| {
                *other == digits && (before.part == window.part || !window.part.is_specific())
            };
            let is_sure = hit.score.confidence() >= Confidence::Medium;
            if window.owned.contains(&hit.start) && is_sure && !told.iter().any(is_known) {
                told.push((digits, window));
            }
        });
    }
    told.into_iter().map(|(_, window)| described(window)).collect()
}

fn described(window: &Seen) -> (String, String, String) {
    let decodings: Vec<_> = window.decodings.iter().map(|decoding| decoding.as_str()).collect();
    (window.part.as_str().to_owned(), window.field.clone().unwrap_or_default(), decodings.join(","))
}

fn check(case: &Case, stream: &[u8], cuts: &[usize], whole: &[Seen]) {
    let seen = decode(stream, cuts);
    check_promises(stream, &seen);
    assert_eq!(specific(&seen), specific(whole), "{} cut at {cuts:?}", case.name);
    assert_eq!(leaks(&seen), expected(case), "{} cut at {cuts:?}", case.name);
}

fn expected(case: &Case) -> Vec<(String, String, String)> {
    let owned = |(part, field, decodings): &(&str, &str, &str)| {
        ((*part).to_owned(), (*field).to_owned(), (*decodings).to_owned())
    };
    case.expected.iter().map(owned).collect()
}

fn all() -> Vec<Case> {
    let numbers = numbers();
    bodies::positive(&numbers).into_iter().chain(bodies::negative(&numbers)).collect()
}

#[test]
fn what_is_found_in_every_body() {
    let found = |case: &Case| (leaks(&decode(&stream(case), &[])), case.name);
    let (cases, mut wrong) = (all(), Vec::new());
    for case in &cases {
        let (found, name) = found(case);
        if found != expected(case) {
            wrong.push(format!("{name}: {found:?}, not {:?}", case.expected));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_body_at_every_cut() {
    for case in all() {
        let stream = stream(&case);
        let whole = decode(&stream, &[]);
        check(&case, &stream, &[], &whole);
        (0..stream.len()).for_each(|cut| check(&case, &stream, &[cut], &whole));
        check(&case, &stream, &(0..stream.len()).collect::<Vec<_>>(), &whole);
    }
}

#[test]
fn half_of_the_cases_are_silent_and_no_name_comes_twice() {
    let (cases, mut names) = (all(), BTreeSet::new());
    let again: Vec<_> = cases.iter().map(|case| case.name).filter(|name| !names.insert(*name)).collect();
    assert!(again.is_empty(), "{again:?}");
    let silent = cases.iter().filter(|case| case.expected.is_empty()).count();
    assert!(cases.len() >= 120 && silent * 5 >= cases.len() * 2, "{silent} of {}", cases.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// A value of any text comes out of every encoding as it went in, and the message is the same at any cuts.
    #[test]
    fn encodings_are_undone(
        text in "[a-z0-9 ]{0,40}[a-z][ -!#-\\[\\]-~]{0,60000}",
        cuts in proptest::collection::btree_set(0usize..70_000, 0..5),
        which in 0usize..5,
    ) {
        use support::encode::*;
        let json = format!("{{\"k\":\"{text}\"}}");
        let (name, body) = match which {
            0 => ("gzip", gzip(&json)),
            1 => ("deflate", zlib(&json)),
            2 => ("deflate", deflate(&json)),
            3 => ("br", brotli(&json)),
            _ => ("zstd", zstd(&json)),
        };
        let head = format!("POST / HTTP/1.1\r\nContent-Encoding: {name}\r\nContent-Length: {}\r\n\r\n", body.len());
        let stream = [head.as_bytes(), &body].concat();
        let cuts: Vec<usize> = cuts.into_iter().collect();
        let seen = decode(&stream, &cuts);
        check_promises(&stream, &seen);
        prop_assert_eq!(specific(&seen), specific(&decode(&stream, &[])));
        let value = seen.iter().filter(|window| window.field.as_deref() == Some("k") && window.decodings.len() == 1);
        let value: Vec<u8> = value.flat_map(|window| window.content().to_vec()).collect();
        prop_assert_eq!(String::from_utf8_lossy(&value), text);
    }
}

/// Bombs end in a counted reason, within bounds, and what was made of them before that was shown.
#[test]
fn bombs_end_in_a_reason() {
    use cprvagt_stream::{Bound, Decoder};
    use support::encode::*;
    const MADE_BYTES_MAX: usize = 80 << 20;
    const HELD_BYTES_MAX: usize = 3 << 20;
    let numbers = numbers();
    let zeroes = vec![0; 100 << 20];
    let first = format!("cpr {}\n", numbers.hyphen);
    let bomb = gzip([first.as_bytes(), &zeroes].concat());
    let nested = gzip(gzip([first.as_bytes(), &zeroes].concat()));
    let archive = zip(&[("a", Member::Piped, &zeroes[..20 << 20]), ("b", Member::Deflated, &zeroes)]);
    let cases = [
        ("gzip", "Content-Encoding: gzip|", bomb),
        ("gzip in gzip", "Content-Encoding: gzip, gzip|", nested),
        ("zstd", "Content-Encoding: zstd|", zstd(&zeroes)),
        ("brotli", "Content-Encoding: br|", brotli(&zeroes)),
        ("zip", "", archive),
    ];
    for (name, header, body) in cases {
        let head = format!("POST / HTTP/1.1|{header}Content-Length: {}||", body.len()).replace('|', "\r\n");
        let stream = [head.as_bytes(), &body].concat();
        let (mut decoder, mut shown, mut limited, mut counted) = (Decoder::stream(), 0, 0, 0);
        for piece in stream.chunks(10_000) {
            decoder.push(piece, &mut |window| {
                shown += window.bytes.len();
                counted += window.counted;
                limited += if window.beyond == Some(Bound::Limit) { window.counted } else { 0 };
            });
            assert!(decoder.held_bytes() < HELD_BYTES_MAX, "{name}: {}", decoder.held_bytes());
        }
        decoder.finish(&mut |window| {
            shown += window.bytes.len();
            counted += window.counted;
            limited += if window.beyond == Some(Bound::Limit) { window.counted } else { 0 };
        });
        assert_eq!(counted, stream.len() as u64, "{name}");
        assert!(limited > 0 && shown < MADE_BYTES_MAX, "{name}: {limited} limited, {shown} shown");
    }
}

/// Nesting that does not end, in each syntax that nests, is read in linear time.
#[test]
fn deep_nesting_is_bounded() {
    use support::encode::*;
    let mut json = "\"x\"".to_owned();
    for _ in 0..12 {
        json = quoted(&format!("[{json}]"));
    }
    let mut packed = b"{\"cpr\":\"x\"}".to_vec();
    let mut coded = "1 2 3 4 5 6 7 8".to_owned();
    for _ in 0..12 {
        packed = gzip(&packed);
        coded = base64(&coded);
    }
    let bodies = [
        "[".repeat(1 << 20).into_bytes(),
        "<a>".repeat(1 << 19).into_bytes(),
        "<a ".repeat(1 << 19).into_bytes(),
        "<!--".repeat(1 << 18).into_bytes(),
        "&#4".repeat(1 << 18).into_bytes(),
        "%25".repeat(1 << 18).into_bytes(),
        "MjUx".repeat(1 << 18).into_bytes(),
        "a=1&".repeat(1 << 18).into_bytes(),
        format!("[{json}]").into_bytes(),
        packed,
        coded.into_bytes(),
    ];
    for body in bodies {
        let head = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n", body.len());
        let stream = [head.as_bytes(), &body].concat();
        let (mut decoder, mut shown) = (cprvagt_stream::Decoder::stream(), 0);
        let mut out = |window: cprvagt_stream::Window<'_>| shown += window.bytes.len();
        stream.chunks(1400).for_each(|piece| decoder.push(piece, &mut out));
        decoder.finish(&mut out);
        let start = String::from_utf8_lossy(&body[..body.len().min(20)]).into_owned();
        assert!(shown < (stream.len() + 4096) * 16, "{start}: {shown} bytes shown of {}", stream.len());
    }
}
