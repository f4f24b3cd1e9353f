//! What is left unread because a look at the whole shows no number there holds none: reading everything finds the same.

mod support;

use std::collections::BTreeSet;

use cprvagt_cpr::{Place, Scene, scan, ten_digit_values};
use cprvagt_stream::{Decoder, Part};
use proptest::prelude::*;
use support::{Seen, Step, run};

/// 28 November 2026.
const NOW_UNIX: i64 = 1_795_824_000;

/// A part, a field, and what of it a caller reads as a number, or counts as a value of ten digits.
type Found = (Part, Option<String>, Vec<u8>);

fn found(seen: &[Seen]) -> BTreeSet<Found> {
    let mut all = BTreeSet::new();
    for window in seen.iter().filter(|window| window.part.is_specific()) {
        let scene = Scene { key: window.field.as_deref(), place: Place::Other, now_unix: NOW_UNIX };
        let mut note = |start: usize, bytes: &[u8]| {
            if window.owned.contains(&start) {
                all.insert((window.part, window.field.clone(), bytes.to_vec()));
            }
        };
        scan(&window.bytes, &scene, &mut |hit| note(hit.start, hit.number.digits()));
        ten_digit_values(&window.bytes, Place::Other).for_each(|at| note(at.start, &window.bytes[at]));
    }
    all
}

/// A message of which all but the last byte came before a pause, which shows every value there is.
fn check(kind: &str, target: &str, body: &str) {
    let head = format!(
        "POST /{target} HTTP/1.1\r\nHost: shop.example\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let stream = (head + body).into_bytes();
    let whole = run(Decoder::stream(), &[Step::Push(stream.clone()), Step::Finish]);
    let (most, last) = stream.split_at(stream.len() - 1);
    let paused = [Step::Push(most.to_vec()), Step::Quiet, Step::Push(last.to_vec()), Step::Finish];
    let paused = run(Decoder::stream(), &paused);
    assert_eq!(found(&whole), found(&paused), "{}", String::from_utf8_lossy(&stream));
}

/// A number as it may be written, or what looks like one.
fn number() -> impl Strategy<Value = String> {
    const WRITTEN: &[&str] = &[
        "2512489996",
        "251248-9996",
        "251248 - 9996",
        "25.12.48-9996",
        "251248\\t9996",
        "251248\\u002d9996",
        "\\u0032512489996",
        "251248\\/9996",
        "251248%2D9996",
        "251248+-+9996",
        "%32512489996",
        "&#50;512489996",
        "251248&#45;9996",
        "251248&nbsp;9996",
        "MjUxMjQ4OTk5Ng==",
        "cHIgMjUxMjQ4OTk5Ng",
        "32353132343839393936",
        "{\\\"cpr\\\":\\\"2512489996\\\"}",
        "9999999999",
        "0.2512489996",
        "a2512489996",
        "cpr2512489996",
        "12512489996",
        "ab251248-9996",
        "2512489996,5",
        "[1,251248.9996,7]",
        "\\n2512489996",
        "\\n9999999999\\n",
        "%0A2512489996",
        "x.2512489996",
        "2512489996.x",
    ];
    prop::sample::select(WRITTEN).prop_map(str::to_owned)
}

fn value() -> impl Strategy<Value = String> {
    let filler = prop_oneof![
        Just(String::new()),
        "[ a-zA-Z0-9.,:_-]{1,12}",
        Just("\\n".to_owned()),
        Just("x=y".to_owned())
    ];
    let text = "[ a-z0-9-]{0,40}";
    prop_oneof![
        3 => text.prop_map(String::from),
        1 => (filler.clone(), number(), filler).prop_map(|(before, number, after)| before + &number + &after),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn of_json(values in prop::collection::vec((value(), any::<bool>()), 1..40), pad in 0..600usize) {
        let member = |(at, (value, is_bare)): (usize, &(String, bool))| match *is_bare && !value.contains('"') {
            true => format!("\"k{at}\":{value}"),
            false => format!("\"k{at}\":\"{value}\""),
        };
        let members: Vec<String> = values.iter().enumerate().map(member).collect();
        let body = format!("{{\"pad\":\"{}\",{}}}", "p ".repeat(pad), members.join(","));
        check("application/json", "api/items", &body);
    }

    #[test]
    fn of_forms(values in prop::collection::vec(value(), 1..40), pad in 0..600usize) {
        let fields: Vec<String> = values.iter().enumerate().map(|(at, value)| format!("k{at}={value}")).collect();
        let body = format!("pad={}&{}&", "p".repeat(pad), fields.join("&"));
        check("application/x-www-form-urlencoded", "api/items", &body);
    }

    /// A short head is not looked at before its values are read.
    #[test]
    fn of_heads(number in number(), before in "[/?=a-z&.-]{0,4}", behind in "[/?=a-z&.-]{0,4}", is_header in any::<bool>()) {
        let head = match is_header {
            true => format!("GET / HTTP/1.1\r\nX: {before}{number}{behind}\r\n"),
            false => format!("GET /{before}{number}{behind} HTTP/1.1\r\n").replace(" - ", "-"),
        };
        let read = |rest: &str| {
            let stream = format!("{head}{rest}\r\n").into_bytes();
            let seen = run(Decoder::stream(), &[Step::Push(stream), Step::Finish]);
            found(&seen)
        };
        prop_assert!(head.len() < 90, "a short head");
        prop_assert_eq!(read(""), read(&format!("P: {}\r\n", "p ".repeat(60))));
    }

    #[test]
    fn of_markup(values in prop::collection::vec((value(), any::<bool>()), 1..40), pad in 0..600usize) {
        let element = |(value, is_attribute): &(String, bool)| match *is_attribute {
            true => format!("<a b=\"{value}\"/>"),
            false => format!("<a>{value}</a>"),
        };
        let elements: String = values.iter().map(element).collect();
        check("application/xml", "", &format!("<?xml version=\"1.0\"?><r>{}{elements}</r>\n", "p ".repeat(pad)));
    }
}
