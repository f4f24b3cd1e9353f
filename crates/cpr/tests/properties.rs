//! The scanner against a naive reading of the grammar, and on anything at all.
#![allow(clippy::unwrap_used, reason = "tests")]

mod people;

use cprvagt_cpr::citizens::Citizens;
use cprvagt_cpr::{Confidence, Place, scan, scrub_ranges};
use people::{CLOCKS, NOVEMBER_2026, hits, scene};
use proptest::prelude::*;

const SEPARATORS: [&str; 14] =
    ["", "-", ".", "/", "_", "+", " ", "\t", "\u{a0}", "\u{2010}", "\u{2012}", "\u{2013}", " - ", "\u{2212}"];

/// Ranges that read as a number, tried at every offset with every separator. For texts without escapes and keywords.
fn naive(text: &str) -> Vec<(usize, usize)> {
    let starts = (0..text.len()).filter(|&start| text.is_char_boundary(start));
    let tries = starts.flat_map(|start| SEPARATORS.map(|separator| (start, separator)));
    tries.filter_map(|(start, separator)| naive_at(text, start, separator)).collect()
}

fn naive_at(text: &str, start: usize, separator: &str) -> Option<(usize, usize)> {
    let digits =
        |from: usize, count| text.get(from..from + count).filter(|s| s.bytes().all(|b| b.is_ascii_digit()));
    let date = digits(start, 6)?;
    let rest = text[start + 6..].strip_prefix(separator)?;
    let end = text.len() - rest.len() + 4;
    let serial = digits(end - 4, 4)?;
    let left: Vec<char> = text[..start].chars().rev().take(2).collect();
    let right: Vec<char> = text[end..].chars().take(2).collect();
    let is_hyphened = separator == "-" || separator == "\u{2010}";
    let free = !tied(&left, is_hyphened) && !tied(&right, is_hyphened);
    (free && is_past_date(date, serial)).then_some((start, end))
}

fn tied(neighbours: &[char], is_hyphened: bool) -> bool {
    match neighbours {
        [first, ..] if first.is_alphanumeric() => true,
        ['.' | '-', second, ..] => second.is_alphanumeric(),
        [',', second, ..] => !is_hyphened && second.is_ascii_digit(),
        _ => false,
    }
}

/// The calendar written out again, from the published table. The clock is November 2026.
fn is_past_date(date: &str, serial: &str) -> bool {
    let [day, month, yy]: [i32; 3] = [0, 2, 4].map(|at| date[at..at + 2].parse().unwrap());
    let year = match &serial[..1] {
        "0" | "1" | "2" | "3" => 1900 + yy,
        "4" | "9" if yy <= 36 => 2000 + yy,
        "4" | "9" => 1900 + yy,
        _ if yy <= 57 => 2000 + yy,
        _ => 1800 + yy,
    };
    let leap = year % 400 == 0 || (year % 4 == 0 && year % 100 != 0);
    let lengths = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let day = if day > 60 { day - 60 } else { day };
    let exists = (1..=12).contains(&month) && day >= 1 && day <= lengths[month as usize - 1];
    exists && (year, month, day) <= (2026, 11, 22) && serial != "0000"
}

fn ranges(text: &[u8]) -> Vec<(usize, usize)> {
    hits(text, &scene(None, Place::Other, NOVEMBER_2026)).iter().map(|hit| (hit.start, hit.end)).collect()
}

/// Pieces that often make numbers, nearly make them, and glue them to something.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => "(0[1-9]|[126-9][0-9]|3[01])(0[1-9]|1[0-2])[0-9]{2}",
        8 => "[0-9]{4}",
        2 => "(0[1-9]|[12][0-9])(0[1-9]|1[0-2])[0-9]{6}",
        1 => "[0-9]{1,12}",
        8 => proptest::sample::select(&SEPARATORS[1..]).prop_map(str::to_owned),
        2 => "[ ,.:;_/+a-f\u{e5}\"'=-]",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_the_naive_reading(pieces in prop::collection::vec(piece(), 1..14)) {
        let text = pieces.concat();
        prop_assert_eq!(ranges(text.as_bytes()), naive(&text), "{}", text);
    }

    #[test]
    fn any_bytes_are_fine(bytes in prop::collection::vec(any::<u8>(), 0..300), now in any::<i64>()) {
        for place in [Place::UrlPath, Place::UrlQuery, Place::Other] {
            hits(&bytes, &scene(None, place, now));
        }
        scrub_ranges(&bytes, now, &mut |_| {});
    }

    #[test]
    fn soup_is_fine_and_what_is_found_is_scrubbed(
        soup in "([0-9]{1,14}|[%=&#;\\\\unxt.,-]|%2|u00|cpr|[<>/\"'{}:]|\u{e5}|\u{2011}){0,40}",
        now in any::<i64>(),
    ) {
        let mut scrubbed = Vec::new();
        scrub_ranges(soup.as_bytes(), now, &mut |range| scrubbed.push(range));
        prop_assert!(scrubbed.is_sorted_by(|one, two| one.end < two.start));
        let mut last = 0;
        for hit in hits(soup.as_bytes(), &scene(None, Place::Other, now)) {
            prop_assert!(hit.start >= last && hit.end <= soup.len());
            prop_assert!(scrubbed.iter().any(|range| range.start <= hit.start && hit.end <= range.end));
            let written: Vec<u8> = soup.as_bytes()[hit.start..hit.end].to_vec();
            prop_assert!(written[..6] == hit.number.digits()[..6] && written.ends_with(&hit.number.digits()[6..]));
            last = hit.end;
        }
    }

    #[test]
    fn any_key_is_fine(key in ".{0,200}", text in "[0-9]{10}") {
        hits(text.as_bytes(), &scene(Some(&key), Place::Other, NOVEMBER_2026));
    }
}

#[test]
fn every_offset_and_every_length_around() {
    for (before, number) in
        (0..70).flat_map(|before| Citizens::new(11).take(3).map(move |number| (before, number)))
    {
        let ten = std::str::from_utf8(number.digits()).unwrap();
        for written in [ten.to_owned(), people::hyphened(ten)] {
            for after in [0, 1, 2, 5, 6, 7, 63] {
                let text = format!("{}{written}{}", " ".repeat(before), "\n".repeat(after));
                assert_eq!(ranges(text.as_bytes()), [(before, before + written.len())], "{before} {after}");
            }
        }
    }
}

#[test]
fn truncation_finds_no_number_that_is_not_whole() {
    let ten = people::passing("120375", 1200);
    let text = format!("cpr={}&", people::hyphened(&ten));
    for end in 0..text.len() {
        let expected = usize::from(end >= 15);
        assert_eq!(ranges(&text.as_bytes()[..end]).len(), expected, "{end}");
    }
}

#[test]
fn every_citizen_is_found_with_the_confidence_its_context_earns() {
    for (now, year) in CLOCKS.into_iter().zip([2026, 2027, 2058]) {
        for number in Citizens::in_year(5, year).take(4_000) {
            let ten = std::str::from_utf8(number.digits()).unwrap();
            let check = |text: &str, place, expected| {
                let found = hits(text.as_bytes(), &scene(None, place, now));
                assert_eq!(found.len(), 1);
                assert!(
                    found[0].number == number && found[0].confidence == expected,
                    "{:?} {year}",
                    found[0]
                );
            };
            check(&format!("{{\"cpr\":\"{ten}\"}}"), Place::Other, Confidence::High);
            check(&people::hyphened(ten), Place::Other, Confidence::Medium);
            check(&format!("/borger/{ten}"), Place::UrlPath, Confidence::Medium);
        }
    }
}

#[test]
fn random_look_alikes_stay_below_medium() {
    let mut state = 1_u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 20
    };
    for now in CLOCKS {
        let mut text = String::new();
        for _ in 0..30_000 {
            text += &format!(
                "{{\"a\":{:010},\"b\":\"{:06} {:04}\"}}\n",
                random() % 10_000_000_000,
                random() % 1_000_000,
                random() % 10_000
            );
        }
        let found = hits(text.as_bytes(), &scene(None, Place::Other, now));
        assert!(found.len() > 1_200, "some read as dates: {}", found.len());
        assert!(found.iter().all(|hit| hit.confidence < Confidence::Medium));
    }
}

#[test]
fn time_is_linear() {
    let hostile = ["0", "010190-", "0101901234,", "%20", "&#", "<cpr></", "012345 ", "\\u0030", "cpr"];
    for piece in hostile {
        let text = piece.repeat(100_000 / piece.len());
        let started = std::time::Instant::now();
        let mut count = 0;
        scan(text.as_bytes(), &scene(None, Place::Other, NOVEMBER_2026), &mut |_| count += 1);
        assert!(started.elapsed().as_secs() < 20, "{piece}: a quadratic scan takes hours");
    }
}
