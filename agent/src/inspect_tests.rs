//! What is told of a message: each number once for each part, the raw bytes only where no part spoke.

use cprvagt_cpr::citizens::Citizens;

use super::*;
use crate::config::Config;

/// The number of one fictitious citizen, in the official form.
fn number(seed: u64) -> String {
    let number = Citizens::new(seed).next().unwrap();
    let digits = std::str::from_utf8(number.digits()).unwrap();
    format!("{}-{}", &digits[..6], &digits[6..])
}

/// What is told of a stream: part, field and confidence of each finding.
fn told(level: &str, pieces: &[&[u8]]) -> Vec<String> {
    let config = Config::parse(&format!("[report]\nmin_confidence = \"{level}\"\n")).unwrap();
    let (key, policy) = (Key::random().unwrap(), Policy::new(&config).unwrap());
    let lens = Lens { key: &key, sealer: None, policy: &policy, now_unix: 1_790_000_000 };
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
    inspected.findings.iter().map(shown).collect()
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
    let policy = Policy::new(&config).unwrap();
    let lens = Lens { key: &key, sealer: None, policy: &policy, now_unix: 1_790_000_000 };
    let message = post(HEAD, "application/json", &format!("{{\"x\":\"{}\"}}", number(1)));
    let (mut inspector, mut inspected) = (Inspector::stream(), Inspected::default());
    inspector.push(&message, &lens, &mut inspected);
    inspector.push(&message, &lens, &mut inspected);
    let at = message.windows(11).position(|part| part == number(1).as_bytes()).unwrap() as u64;
    let offsets: Vec<u64> = inspected.findings.iter().map(|finding| finding.offset).collect();
    assert_eq!(offsets, [at, message.len() as u64 + at]);
}

#[test]
fn what_is_remembered_is_bounded_and_lasts() {
    let mut recent = Recent::default();
    for value in 0..3 * TOLD_MAX {
        recent.insert(value, ());
        assert!(recent.young.len() + recent.old.len() <= TOLD_MAX);
        assert!(recent.get(&value.saturating_sub(TOLD_MAX / 2 - 1)).is_some());
    }
}
