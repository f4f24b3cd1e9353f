//! What is no number, however much it looks like one, stays below medium where nothing names it.
#![allow(clippy::unwrap_used, reason = "tests")]

mod people;
mod rates;

use std::fmt::Write as _;

use cprvagt_cpr::{Confidence, Place, Shape, scan};
use fastrand::Rng;
use people::{CLOCKS, scene};
use rates::{ALL, Passing, civil};

/// Writes one value that servers send all day.
type LookAlike = fn(&mut Rng, &mut String) -> std::fmt::Result;

const LOOK_ALIKES: [LookAlike; 15] = [
    // UUID; trace id; hashes; base64.
    |random, text| {
        let [a, b, c] = [random.u32(..), random.u32(..), random.u32(..)];
        write!(
            text,
            "{a:08x}-{:04x}-4{:03x}-{:04x}-{c:08x}{:04x}",
            b >> 16,
            b & 0xFFF,
            random.u16(..) | 0x8000,
            random.u16(..)
        )
    },
    |random, text| write!(text, "{:032x}", random.u128(..)),
    |random, text| write!(text, "{:032x}{:032x}", random.u128(..), random.u128(..)),
    |random, text| {
        let bytes: Vec<u8> = (0..24).map(|_| random.u8(..)).collect();
        text.write_str(&data_encoding::BASE64.encode(&bytes))
    },
    // Times of these years: seconds, milliseconds, seconds with a fraction.
    |random, text| write!(text, "{}", random.u64(1_704_067_200..1_830_297_600)),
    |random, text| write!(text, "{}", random.u64(1_704_067_200_000..1_830_297_600_000)),
    |random, text| write!(text, "{:.6}", random.f64() * 1.2e8 + 1.7e9),
    // Floats and coordinates.
    |random, text| write!(text, "{:.10}", random.f64() * 180.0),
    |random, text| write!(text, "{}", random.f64()),
    // Ids of analytics and advertisers.
    |random, text| {
        write!(text, "GA1.2.{}.{}", random.u32(..1 << 31), random.u64(1_704_067_200..1_830_297_600))
    },
    |random, text| {
        write!(
            text,
            "fb.1.{}.{}",
            random.u64(1_704_067_200_000..1_830_297_600_000),
            random.u32(1_000_000_000..)
        )
    },
    // Telephone numbers.
    |random, text| write!(text, "+45{:08}", random.u32(20_000_000..99_999_999)),
    // Orders, invoices and accounts of ten digits; P-numbers.
    |random, text| write!(text, "{:010}", random.u64(..10_000_000_000)),
    |random, text| write!(text, "{:04} {:010}", random.u32(1000..10_000), random.u64(..10_000_000_000)),
    |random, text| write!(text, "{}", random.u64(1_000_000_000..1_032_000_000)),
];

/// Counts bare tokens that are candidates, and panics at one that is medium by its own score.
fn check(values: usize, seed: u64) -> usize {
    const BATCH: usize = 10_000;
    let random = &mut Rng::with_seed(seed);
    let (mut text, mut bare) = (String::new(), 0);
    for _ in 0..values.div_ceil(BATCH) {
        text.clear();
        for _ in 0..BATCH {
            text.push_str("{\"v\":\"");
            LOOK_ALIKES[random.usize(..LOOK_ALIKES.len())](random, &mut text).unwrap();
            text.push_str("\"}\n");
        }
        for now in CLOCKS {
            scan(text.as_bytes(), &scene(None, Place::Other, now), &mut |hit| {
                bare += usize::from(hit.shape == Shape::Bare);
                assert!(hit.shape != Shape::Bare || hit.confidence < Confidence::Medium, "{hit:?} at {now}");
            });
        }
    }
    bare
}

#[test]
fn half_a_million_look_alikes_stay_below_medium() {
    assert!(check(500_000, 1) > 10_000, "some read as birth dates");
}

#[test]
#[ignore = "takes minutes"]
fn a_hundred_million_look_alikes_stay_below_medium() {
    assert!(check(100_000_000, 2) > 2_000_000, "some read as birth dates");
}

/// As all of a path segment or query value, a random token of ten digits is medium no more often than one passes date
/// and check digit, counted exactly; doubts take a little away.
fn check_in_url(tokens: u32, seed: u64) {
    let random = &mut Rng::with_seed(seed);
    for now in CLOCKS {
        let share = Passing::of_all(civil(now)).in_url as f64 / ALL as f64;
        for (place, doubts) in [(Place::UrlPath, 0.01), (Place::UrlQuery, 0.05)] {
            let mut medium = 0;
            for _ in 0..tokens {
                let token = format!("{:010}", random.u64(..ALL));
                scan(token.as_bytes(), &scene(None, place, now), &mut |hit| {
                    medium += u32::from(hit.confidence >= Confidence::Medium);
                });
            }
            let expected = f64::from(tokens) * share;
            // Four standard deviations of such a count.
            let (least, most) =
                (expected * (1.0 - doubts) - 4.0 * expected.sqrt(), expected + 4.0 * expected.sqrt());
            println!("{:?} {place:?}: {medium} of {tokens} are medium, {expected:.0} at most", civil(now));
            assert!((least..most).contains(&f64::from(medium)), "{medium} in {place:?}, {least} to {most}");
        }
    }
}

#[test]
fn in_a_url_the_rate_is_that_of_date_and_check_digit() {
    check_in_url(300_000, 3);
}

#[test]
#[ignore = "takes minutes"]
fn of_a_hundred_million_tokens_in_urls_the_rate_is_that_of_date_and_check_digit() {
    check_in_url(100_000_000 / 6, 4);
}
