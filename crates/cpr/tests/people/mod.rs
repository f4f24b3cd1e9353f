//! Numbers made at run time, so that none is written down, and the scans that the tests share.
#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(clippy::unwrap_used, reason = "tests")]

use cprvagt_cpr::{Hit, Place, Scene, scan};

/// 2026-11-22, 00:00 UTC.
pub const NOVEMBER_2026: i64 = 1_795_305_600;
/// 2027-03-15, 00:00 UTC: every epoch second names a calendar date.
pub const MARCH_2027: i64 = 1_805_068_800;
/// 2058-06-01, 00:00 UTC: after the last year that the seventh digit can name.
pub const JUNE_2058: i64 = 2_790_115_200;

pub const CLOCKS: [i64; 3] = [NOVEMBER_2026, MARCH_2027, JUNE_2058];

/// The weighted sum of ten digits modulo 11, by the book.
pub fn remainder(ten: &str) -> u32 {
    let weights = [4, 3, 2, 7, 6, 5, 4, 3, 2, 1];
    ten.chars().zip(weights).map(|(digit, weight)| digit.to_digit(10).unwrap() * weight).sum::<u32>() % 11
}

/// The first number of a date whose serial is at least `serial` and which passes modulus 11.
pub fn passing(date: &str, serial: u32) -> String {
    (serial..10_000).map(|serial| format!("{date}{serial:04}")).find(|ten| remainder(ten) == 0).unwrap()
}

/// The first number of a date whose serial is at least `serial` and which fails modulus 11.
pub fn failing(date: &str, serial: u32) -> String {
    (serial..10_000).map(|serial| format!("{date}{serial:04}")).find(|ten| remainder(ten) != 0).unwrap()
}

pub fn hyphened(ten: &str) -> String {
    format!("{}-{}", &ten[..6], &ten[6..])
}

pub fn scene<'a>(key: Option<&'a str>, place: Place, now_unix: i64) -> Scene<'a> {
    Scene { key, place, now_unix }
}

pub fn hits(text: &[u8], scene: &Scene<'_>) -> Vec<Hit> {
    let mut hits = Vec::new();
    scan(text, scene, &mut |hit| hits.push(hit));
    hits
}

/// The confidences of all hits, in order, joined by spaces.
pub fn confidences(text: &str, scene: &Scene<'_>) -> String {
    hits(text.as_bytes(), scene).iter().map(|hit| hit.confidence.as_str()).collect::<Vec<_>>().join(" ")
}

/// The birth date that templates are filled with.
pub const DATE: &str = "120375";

/// `{}` becomes a number with check digit, `{-}` the same with hyphen, `{!}` and `{!-}` one without, `{6}` and `{4}`
/// the halves of the first.
pub fn filled(template: &str) -> String {
    let (good, bad) = (passing(DATE, 1200), failing(DATE, 1200));
    let texts = [("{}", &good), ("{-}", &hyphened(&good)), ("{!}", &bad), ("{!-}", &hyphened(&bad))];
    let filled = texts.iter().fold(template.to_owned(), |text, (mark, number)| text.replace(mark, number));
    filled.replace("{6}", &good[..6]).replace("{4}", &good[6..])
}

/// The confidences of a filled template, at all clocks, since nothing about the person depends on them.
pub fn check_in(key: Option<&str>, place: Place, template: &str, expected: &str) {
    for now in CLOCKS {
        let found = confidences(&filled(template), &scene(key, place, now));
        assert_eq!(found, expected, "{key:?} {place:?} {template:?} at {now}");
    }
}

/// The same, without a key, outside a URL.
pub fn check(template: &str, expected: &str) {
    check_in(None, Place::Other, template, expected);
}
