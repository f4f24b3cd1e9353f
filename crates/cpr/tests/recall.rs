//! Every number of a population is found, in every form that it can be written in.
#![allow(clippy::unwrap_used, reason = "tests")]

mod people;

use cprvagt_cpr::{Confidence, Place, scan};
use fastrand::Rng;
use people::{NOVEMBER_2026, hits, remainder, scene};

/// `A`, `B` and `C` are two digits of the birth date each, `N` is the serial.
#[rustfmt::skip]
const FORMS: [&str; 23] = [
    "ABCN", "ABC-N", "ABC.N", "ABC/N", "ABC_N", "ABC+N", "ABC N", "ABC\tN", "ABC - N", "ABC%2DN", "ABC%2dN", "ABC%20N",
    "ABC\u{a0}N", "ABC\u{ad}N", "ABC\u{2010}N", "ABC\u{2011}N", "ABC\u{2012}N", "ABC\u{2013}N", "ABC\u{2212}N",
    "A.B.C-N", "A B C N", "A-B-C-N", "A/B/C-N",
];

/// First and last year, and a seventh digit, for each century and half that the table of seventh digits has.
const CENTURIES: [(u32, u32, &str); 5] = [
    (1858, 1899, "5678"),
    (1900, 1936, "0123"),
    (1937, 1999, "012349"),
    (2000, 2026, "49"),
    (2000, 2026, "5678"),
];

/// Years whose first of January has numbers without check digit (cpr.dk, 10-05-2023).
#[rustfmt::skip]
const LISTED_YEARS: [u32; 26] = [
    1960, 1962, 1964, 1965, 1966, 1967, 1969, 1970, 1974, 1975, 1978, 1980, 1981, 1982, 1983, 1984, 1985, 1986, 1987,
    1988, 1989, 1990, 1991, 1992, 1994, 1995,
];

/// A citizen born on a day of any month before November 2026; half pass modulus 11.
fn citizen(random: &mut Rng) -> (String, u32) {
    let (first, last, sevenths) = random.choice(CENTURIES).unwrap();
    let passes = random.bool();
    loop {
        let (day, month, year) = (random.u32(1..=28), random.u32(1..=10), random.u32(first..=last));
        let seventh = random.choice(sevenths.chars().collect::<Vec<_>>()).unwrap();
        let ten = format!("{day:02}{month:02}{:02}{seventh}{:03}", year % 100, random.u32(1..1000));
        if (remainder(&ten) == 0) == passes {
            return (ten, year);
        }
    }
}

fn written(form: &str, ten: &str) -> String {
    let parts = [("A", &ten[..2]), ("B", &ten[2..4]), ("C", &ten[4..6]), ("N", &ten[6..])];
    parts.iter().fold(form.to_owned(), |form, (letter, digits)| form.replace(letter, digits))
}

/// What a number earns whose name says what it is, by the published weights, in tenths of a deciban.
fn earned(form: &str, ten: &str, year: u32) -> Confidence {
    // The oldest who are 110 were born on the 23rd of November 1915.
    let is_old = (year, &ten[2..4], &ten[..2]) < (1915, "11", "23");
    let is_listed = ten.starts_with("0101") && LISTED_YEARS.contains(&year);
    let is_test = ["9989", "9990", "9995", "9996"].contains(&&ten[6..]);
    let date = if is_old { 60 } else { 165 };
    let check_digit = match () {
        () if remainder(ten) == 0 || is_test => 104,
        () if is_listed => 0,
        () => -100,
    };
    let form = match form {
        "ABCN" => 0,
        "ABC-N" | "ABC%2DN" | "ABC%2dN" | "ABC\u{2010}N" | "ABC\u{2011}N" => 100,
        _ => 40,
    };
    match -300 + date + check_digit + form + 250 {
        200.. => Confidence::High,
        100.. => Confidence::Medium,
        -50.. => Confidence::Low,
        _ => Confidence::None,
    }
}

/// Each number is found where its name says what it is, in every form, with the confidence that it earns.
fn check(citizens: usize, seed: u64) {
    let random = &mut Rng::with_seed(seed);
    let scene = scene(Some("cpr"), Place::Other, NOVEMBER_2026);
    for _ in 0..citizens {
        let (ten, year) = citizen(random);
        let mut texts: Vec<Vec<u8>> = FORMS.iter().map(|form| written(form, &ten).into_bytes()).collect();
        for order in [u16::to_le_bytes, u16::to_be_bytes] {
            let wide = |form: &&str| written(form, &ten).encode_utf16().flat_map(order).collect();
            texts.extend(FORMS.iter().map(wide));
        }
        for (number, text) in texts.iter().enumerate() {
            let found = hits(text, &scene);
            let is_found = found.len() == 1 && found[0].number.digits() == ten.as_bytes();
            assert!(is_found, "form {number} of a citizen born in {year} is not found");
            let earned = earned(FORMS[number % FORMS.len()], &ten, year);
            assert!(
                found[0].confidence == earned,
                "form {number} of a citizen born in {year} earns {earned:?}: {:?}",
                found[0]
            );
        }
    }
}

#[test]
fn ten_thousand_citizens_in_every_form() {
    check(10_000, 1);
}

#[test]
#[ignore = "takes minutes"]
fn a_million_citizens_in_every_form() {
    check(1_000_000, 2);
}

/// Many in one text, as in a file that is sent: none hides another.
#[test]
fn a_register_of_citizens() {
    let random = &mut Rng::with_seed(3);
    let citizens: Vec<String> = (0..20_000).map(|_| citizen(random).0).collect();
    for form in FORMS {
        let text: String = citizens.iter().map(|ten| written(form, ten) + ";\n").collect();
        let mut expected = citizens.iter();
        scan(text.as_bytes(), &scene(None, Place::Other, NOVEMBER_2026), &mut |hit| {
            assert!(
                expected.next().unwrap().as_bytes() == hit.number.digits(),
                "{hit:?} is not the next citizen"
            );
        });
        assert_eq!(expected.count(), 0, "citizens of the form {form}");
    }
}
