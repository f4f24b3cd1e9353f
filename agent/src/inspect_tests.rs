//! What is told of a message: each number once for each part, the raw bytes only where no part spoke.

use cprvagt_cpr::citizens::Citizens;

use super::*;
use crate::config::Config;

/// 2026-09-21.
const NOW: i64 = 1_790_000_000;

/// The number of one fictitious citizen, in the official form.
fn number(seed: u64) -> String {
    let number = Citizens::new(seed).next().unwrap();
    let digits = std::str::from_utf8(number.digits()).unwrap();
    format!("{}-{}", &digits[..6], &digits[6..])
}

/// What is told of a stream: part, field and confidence of each finding.
fn told(level: &str, pieces: &[&[u8]]) -> Vec<String> {
    let config = Config::parse(&format!("[report]\nmin_confidence = \"{level}\"\n")).unwrap();
    let (key, policy) = (Key::random().unwrap(), Policy::new(&config, 0).unwrap());
    let (fields, origin) = (Fields::default(), Origin::default());
    let lens = Lens {
        key: &key,
        sealer: None,
        policy: &policy,
        fields: Some(&fields),
        floor: None,
        origin,
        now_unix: NOW,
    };
    let (mut inspector, mut inspected) = (Inspector::stream(), Inspected::default());
    for piece in pieces {
        inspector.push(piece, &lens, &mut inspected);
        inspector.quiet(&lens, &mut inspected);
    }
    inspector.finish(&lens, &mut inspected);
    let total: usize = pieces.iter().map(|piece| piece.len()).sum();
    assert_eq!(inspected.counted.text_bytes + inspected.counted.opaque_bytes, total as u64);
    let shown = |it: &Finding| {
        let field = it.location.field.as_ref().map_or("", |field| field.as_str());
        format!("{} {field}", it.location.part.as_str()).trim_end().to_owned()
    };
    inspected.findings.iter().filter(|it| is_told(it)).map(shown).collect()
}

fn is_told(finding: &Finding) -> bool {
    finding.tie.is_none_or(|tie| tie.waits.is_none())
}

fn post(head: &str, kind: &str, body: &str) -> Vec<u8> {
    let len = body.len();
    format!("POST /x{head}Content-Type: {kind}\r\nContent-Length: {len}\r\n\r\n{body}").into_bytes()
}

const HEAD: &str = " HTTP/1.1\r\nHost: a.example\r\n";

#[test]
fn a_number_is_told_once_for_each_part() {
    let n = number(1);
    let json = format!("{{\"cpr\":\"{n}\",\"again\":{{\"cpr\":\"{n}\"}}}}");
    assert_eq!(told("medium", &[&post(HEAD, "application/json", &json)]), ["json cpr"]);
    let both = format!("?cpr={n}{HEAD}");
    assert_eq!(told("medium", &[&post(&both, "application/json", &json)]), ["url.query cpr", "json cpr"]);
    let text = format!("CPR: {n}, again {n}");
    assert_eq!(told("medium", &[&post(HEAD, "text/plain", &text)]), ["body"]);
}

#[test]
fn two_numbers_are_two() {
    let json = format!("{{\"cpr\":\"{}\",\"borger\":{{\"cpr\":\"{}\"}}}}", number(1), number(2));
    assert_eq!(told("medium", &[&post(HEAD, "application/json", &json)]), ["json cpr", "json borger.cpr"]);
}

#[test]
fn the_raw_bytes_of_a_specific_part_are_not_told_again_whatever_its_confidence() {
    let bare = number(1).replace('-', "");
    // The key denies the number; the raw bytes would not.
    let json = format!("{{\"order_id\":\"{bare}\"}}");
    assert_eq!(told("any", &[&post(HEAD, "application/json", &json)]), ["json order_id"]);
    assert_eq!(told("high", &[&post(HEAD, "application/json", &json)]), [""; 0]);
}

#[test]
fn a_number_in_a_head_is_told_for_the_body_too() {
    let n = number(1);
    let head = format!("{HEAD}X-Cpr: {n}\r\n");
    assert_eq!(told("medium", &[&post(&head, "text/plain", &format!("CPR {n}"))]), ["header X-Cpr", "body"]);
}

#[test]
fn what_policy_does_not_tell_does_not_hide_what_it_tells() {
    let n = number(1);
    let json = format!("{{\"order_id\":\"{}\",\"cpr\":\"{n}\"}}", n.replace('-', ""));
    assert_eq!(told("high", &[&post(HEAD, "application/json", &json)]), ["json cpr"]);
}

#[test]
fn a_new_message_tells_again() {
    let json = format!("{{\"cpr\":\"{}\"}}", number(1));
    let message = post(HEAD, "application/json", &json);
    assert_eq!(told("medium", &[&[&message[..], &message].concat()]), ["json cpr", "json cpr"]);
    assert_eq!(told("medium", &[&message, &message]), ["json cpr", "json cpr"]);
}

#[test]
fn a_pause_tells_nothing_twice() {
    let message = post(HEAD, "application/json", &format!("{{\"cpr\":\"{}\"}}", number(1)));
    let raw = format!("a line about CPR {} and more of it\n", number(1)).into_bytes();
    for split in 1..message.len() {
        let (one, two) = message.split_at(split);
        assert_eq!(told("medium", &[one, two]).len(), 1, "{split}");
    }
    for split in 1..raw.len() {
        let (one, two) = raw.split_at(split);
        assert_eq!(told("medium", &[one, two]), ["raw"], "{split}");
    }
}

#[test]
fn a_cut_hides_no_number_in_utf16_and_none_with_an_escaped_separator() {
    let text = format!("a line about CPR {}\n", number(1));
    let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let escaped = ["%2D", "%20"].map(|separator| text.replace('-', separator).into_bytes());
    for raw in [little, big].iter().chain(&escaped) {
        for split in 0..raw.len() {
            let (one, two) = raw.split_at(split);
            assert_eq!(told("medium", &[one, two]), ["raw"], "{split} of {}", raw.len());
        }
    }
}

#[test]
fn a_finding_tells_where_it_began() {
    let (key, config) = (Key::random().unwrap(), Config::parse("").unwrap());
    let policy = Policy::new(&config, 0).unwrap();
    let origin = Origin::default();
    let lens =
        Lens { key: &key, sealer: None, policy: &policy, fields: None, floor: None, origin, now_unix: NOW };
    let message = post(HEAD, "application/json", &format!("{{\"x\":\"{}\"}}", number(1)));
    let (mut inspector, mut inspected) = (Inspector::stream(), Inspected::default());
    inspector.push(&message, &lens, &mut inspected);
    inspector.push(&message, &lens, &mut inspected);
    let at = message.windows(11).position(|part| part == number(1).as_bytes()).unwrap() as u64;
    let offsets: Vec<u64> = inspected.findings.iter().map(|finding| finding.offset).collect();
    assert_eq!(offsets, [at, message.len() as u64 + at]);
}

/// What is behind a number in the same window need not have left; what was undone needs all of its value.
#[test]
fn a_number_needs_its_own_bytes_to_have_left() {
    let (key, config) = (Key::random().unwrap(), Config::parse("").unwrap());
    let policy = Policy::new(&config, 0).unwrap();
    let origin = Origin::default();
    let lens =
        Lens { key: &key, sealer: None, policy: &policy, fields: None, floor: None, origin, now_unix: NOW };
    let named = |index| format!("cpr: {}", number(index));
    let escaped = named(1).replace('-', "%2D");
    for (text, expected) in [
        (format!("{}\n{}\nog mere\n", named(1), named(2)), vec![(5, 16), (22, 33)]),
        (format!("GET /?a=1&b={} HTTP/1.1\r\nHost: x\r\n\r\n", escaped.replace(' ', "+")), vec![(12, 30)]),
    ] {
        let (mut inspector, mut inspected) = (Inspector::stream(), Inspected::default());
        inspector.push(text.as_bytes(), &lens, &mut inspected);
        inspector.quiet(&lens, &mut inspected);
        let needed: Vec<_> = inspected.findings.iter().map(|it| (it.offset, it.needs)).collect();
        assert_eq!(needed, expected, "{text}");
    }
}

/// Score and shape of what is told of a raw stream that comes in pieces.
fn told_raw(pieces: &[&[u8]]) -> Vec<(Score, Mask)> {
    let config = Config::parse("[report]\nmin_confidence = \"any\"\n").unwrap();
    let (key, policy, fields) = (Key::random().unwrap(), Policy::new(&config, 0).unwrap(), Fields::default());
    let origin = Origin::default();
    let lens = Lens {
        key: &key,
        sealer: None,
        policy: &policy,
        fields: Some(&fields),
        floor: None,
        origin,
        now_unix: NOW,
    };
    let (mut inspector, mut inspected) = (Inspector::stream(), Inspected::default());
    pieces.iter().for_each(|piece| inspector.push(piece, &lens, &mut inspected));
    inspector.finish(&lens, &mut inspected);
    inspected.findings.into_iter().map(|it| (it.score, it.masked)).collect()
}

/// The same, of a text that the matcher has as a whole.
fn found_in(text: &[u8]) -> Vec<(Score, Mask)> {
    let mut found = Vec::new();
    scan(text, &Scene { key: None, place: Place::Other, now_unix: NOW }, &mut |hit| {
        found.push((reported(hit.score), Mask::of(hit.shape.as_str())));
    });
    found
}

/// Texts whose numbers are judged by what is far from them, in UTF-8 and both orders of UTF-16.
fn far_reaching() -> Vec<Vec<u8>> {
    let n = number(1);
    let (date, serial) = n.split_once('-').unwrap();
    let dated = format!("{}.{}.{}-{serial}", &date[..2], &date[2..4], &date[4..]);
    let far = format!("personnummer{}", " ".repeat(28));
    let templates = [
        format!("cpr: {n}"),
        format!("{far}{date}{serial}"),
        format!("\"system\":\"urn:oid:1.2.208.176.1.2\",\"value\":\"{date}{serial}\""),
        format!("ordrenummer: {date} - {serial}&#x0002d;&#x00020; "),
        // These two are no candidates in UTF-16.
        format!("%22cpr%22%3A%22{date}%2D{serial}%22"),
        format!("cpr {dated} og mere"),
    ];
    let padding = "en linje uden noget i ".repeat(8);
    let padded = templates.map(|text| format!("~{padding}{text} {padding}"));
    let wide = |order: fn(u16) -> [u8; 2]| {
        padded[..4].iter().map(move |text| text.encode_utf16().flat_map(order).collect::<Vec<u8>>())
    };
    let wide: Vec<_> = wide(u16::to_le_bytes).chain(wide(u16::to_be_bytes)).collect();
    padded.into_iter().map(String::into_bytes).chain(wide).collect()
}

#[test]
fn raw_bytes_cut_anywhere_are_read_as_a_whole() {
    for (number, text) in far_reaching().iter().enumerate() {
        let expected = found_in(text);
        assert_eq!(expected.len(), 1, "text {number}");
        for cut in 0..=text.len() {
            let (one, two) = text.split_at(cut);
            assert_eq!(told_raw(&[one, two]), expected, "text {number} cut at {cut}");
        }
        for size in [1, 2, 3, 7, 50] {
            let pieces: Vec<&[u8]> = text.chunks(size).collect();
            assert_eq!(told_raw(&pieces), expected, "text {number} in pieces of {size}");
        }
    }
}

/// A stream is shown in windows of 64 KiB, whose borders fall anywhere in a text. Each is a message: what is encoded in a
/// word that two of them share, and stands there readable as well, is told of both.
#[test]
fn raw_bytes_are_read_as_a_whole_where_windows_end() {
    const WINDOW: usize = 64 * 1024;
    for (number, text) in far_reaching().iter().enumerate() {
        let expected = found_in(text);
        for start in (WINDOW - text.len() - 100..WINDOW + 100).step_by(2) {
            let stream = [&b"~ ".repeat(start / 2)[..], text].concat();
            let mut told = told_raw(&[&stream]);
            let word = text.iter().position(|byte| *byte == b'%').map(|at| start + at);
            if word.is_some_and(|word| (word..word + 40).contains(&WINDOW)) {
                told.dedup();
            }
            assert_eq!(told, expected, "text {number} at {start}");
        }
    }
}

/// A JSON string longer than the decoder's buffer is shown in pieces.
#[test]
fn long_json_strings_are_read_as_a_whole() {
    let n = number(1);
    let escaped: String = "personnummer:".chars().map(|it| format!("\\u{:04x}", u32::from(it))).collect();
    for before in (64_000..66_400).step_by(5) {
        let (words, more) = ("ord ".repeat(before / 4), "ord ".repeat(9000));
        let json = format!("{{\"t\":\"{words}{escaped}{}{n} {more}\"}}", "+".repeat(before % 4));
        assert_eq!(told("high", &[&post(HEAD, "application/json", &json)]), ["json t"], "{before}");
    }
}

/// An HTTP/2 frame.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    [&[0, 0, payload.len() as u8, kind, flags, 0, 0, 0, stream], payload].concat()
}

/// Two streams take turns: each message has told its number, whoever's turn it is.
#[test]
fn messages_that_interleave_tell_each_number_once() {
    let n = number(1);
    let (headers, data) = (|stream| frame(1, 4, stream, &[0x83, 0x86, 0x84]), format!("{{\"cpr\":\"{n}\""));
    let more = format!(",\"again\":{{\"cpr\":\"{n}\"}}}}");
    let stream = [
        headers(1),
        headers(3),
        frame(0, 0, 1, data.as_bytes()),
        frame(0, 0, 3, data.as_bytes()),
        frame(0, 1, 1, more.as_bytes()),
        frame(0, 1, 3, more.as_bytes()),
    ];
    let pieces: Vec<&[u8]> = stream.iter().map(Vec::as_slice).collect();
    assert_eq!(told("medium", &pieces), ["json cpr", "json cpr"]);
}

/// A field of a protocol buffer with an integer.
fn integer(field: u8, mut value: u64) -> Vec<u8> {
    let mut bytes = vec![field << 3];
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// Integers are told by what their field has shown, and by nothing else.
#[test]
fn integers_of_a_protocol_buffer_are_told_where_their_field_proves_itself() {
    let citizens = |seed| {
        Citizens::new(seed).take(4).map(|it| std::str::from_utf8(it.digits()).unwrap().parse().unwrap())
    };
    let numbers: Vec<u64> = citizens(1).chain(citizens(2)).collect();
    let told = |message: Vec<u8>| {
        let head = format!(
            " HTTP/1.1\r\nContent-Type: application/x-protobuf\r\nContent-Length: {}\r\n\r\n",
            message.len()
        );
        told("medium", &[&[b"POST /x", head.as_bytes(), &message].concat()])
    };
    let in_field =
        |field: u8| numbers.iter().flat_map(move |number| integer(field, *number)).collect::<Vec<u8>>();
    let found = told(in_field(3));
    assert!(found.len() >= 2 && found.iter().all(|it| it == "value f3"), "{found:?}");
    let signed = numbers.iter().flat_map(|number| integer(3, number * 2)).collect::<Vec<u8>>();
    assert!(told(signed).iter().all(|it| it == "value z3"), "as signed integers");
    let apart =
        (1..=8).zip(&numbers).flat_map(|(field, number)| integer(field, *number)).collect::<Vec<u8>>();
    assert_eq!(told(apart), [""; 0], "each in a field of its own");
    let ids = (0..60).flat_map(|at| integer(3, 5_123_456_789 + at * 7_919_331)).collect::<Vec<u8>>();
    assert_eq!(told([ids, integer(3, numbers[0])].concat()), [""; 0], "one among many that are none");
}
