//! A text in chunks gives the hits, and the scores, of the text as a whole.
#![allow(clippy::unwrap_used, reason = "tests")]

mod oracle;
mod people;

use cprvagt_cpr::{Hit, Place, Scanner, Scene, scan};
use fastrand::Rng;
use people::{CLOCKS, NOVEMBER_2026, filled, scene};

/// Everything that is told of a hit.
type Told = (usize, usize, i16, String, [u8; 10]);

fn told(hit: &Hit) -> Told {
    (hit.start, hit.end, hit.score.tenths(), format!("{hit:?}"), *hit.number.digits())
}

fn whole(text: &[u8], scene: &Scene<'_>) -> Vec<Told> {
    let mut hits = Vec::new();
    scan(text, scene, &mut |hit| hits.push(told(&hit)));
    hits
}

fn in_chunks<'t>(chunks: impl IntoIterator<Item = &'t [u8]>, scene: &Scene<'_>) -> Vec<Told> {
    let mut hits = Vec::new();
    let mut scanner = Scanner::new(*scene);
    for chunk in chunks {
        scanner.push(chunk, &mut |hit| hits.push(told(&hit)));
    }
    scanner.finish(&mut |hit| hits.push(told(&hit)));
    hits
}

/// Panics where a difference is; what it prints has no digit of a number.
fn check(found: &[Told], expected: &[Told], what: &str) {
    let shown = |hits: &[Told]| hits.iter().map(|hit| hit.3.clone()).collect::<Vec<_>>();
    assert!(found == expected, "{what}: {:?}, as a whole {:?}", shown(found), shown(expected));
}

/// Texts whose hits depend on much that is far from the number.
fn texts() -> Vec<Vec<u8>> {
    let templates = [
        "cpr: {}",
        "{\"cpr\":\"{-}\",\"x\":\"{!-}\"}",
        "Personnummeret er som bekendt det her: {6} - {4} og ikke andet",
        "cpr: [\"{}\", \"{!}\", \"{-}\"]",
        "cpr                                        {}",
        "\"system\":\"urn:oid:1.2.208.176.1.2\",\"value\":\"{}\"",
        "%22{}%22 \\u0022{-}\\u0022 x=3D{-}=0A",
        "{-}&#45;a {-}&#45;&#32; {-}%2D%41 {-}%2D%20",
        "a {!}, b {!-}",
        "12.03.75-{4} 12 03 75 {4} cpr 12-03-75-{4} og {}",
        "&#x10FFFF;{}&#x10FFFF;&#x000041;",
        // The longest that one judgement reaches: a separator of three, and two escapes of a character each behind.
        "{} {6} - {4}&#x0002d;a {6} - {4}&#x0002d;&#x00020;",
        "cpr 12.03.75 - {4}&#x0002d;a cpr 12.03.75 - {4}&#x0002d;&#x00020; cpr 12/03/75\u{2013}{4}%2D%20",
    ];
    let narrow: Vec<String> = templates.into_iter().map(filled).chain([sequence()]).collect();
    let wide = narrow.iter().flat_map(|text| {
        let units: Vec<u16> = text.encode_utf16().collect();
        [
            units.iter().flat_map(|unit| unit.to_le_bytes()).collect(),
            units.iter().flat_map(|unit| unit.to_be_bytes()).collect(),
        ]
    });
    let wide: Vec<Vec<u8>> = wide.collect();
    narrow.into_iter().map(String::into_bytes).chain(wide).collect()
}

/// Numbers that differ by little, the first and the last so far apart that only their neighbours tell.
fn sequence() -> String {
    (0..40).map(|number| format!("id {}\n", 1_203_751_200_u64 + number * 37)).collect()
}

#[test]
fn two_chunks_cut_anywhere() {
    for text in texts() {
        for place in [Place::UrlPath, Place::UrlQuery, Place::Other] {
            let scene = scene(Some("id"), place, NOVEMBER_2026);
            let expected = whole(&text, &scene);
            assert!(!expected.is_empty());
            for cut in 0..=text.len() {
                let (first, second) = text.split_at(cut);
                check(&in_chunks([first, second], &scene), &expected, "two chunks");
            }
        }
    }
}

/// Small texts of all that the grammar knows, whole against every cut into two.
#[test]
fn small_texts_cut_anywhere() {
    let random = &mut Rng::with_seed(5);
    let mut hits = 0;
    for round in 0..2000 {
        let length = random.usize(10..60);
        let text = oracle::soup(random, length);
        let scene = scene(None, Place::Other, CLOCKS[round % 3]);
        let expected = whole(&text, &scene);
        hits += expected.len();
        for cut in 0..=text.len() {
            let (first, second) = text.split_at(cut);
            check(&in_chunks([first, second], &scene), &expected, "a small text in two chunks");
        }
    }
    assert!(hits > 200, "{hits} hits");
}

#[test]
fn chunks_of_every_small_size() {
    for text in texts() {
        let scene = scene(None, Place::Other, NOVEMBER_2026);
        let expected = whole(&text, &scene);
        for size in 1..300 {
            check(&in_chunks(text.chunks(size), &scene), &expected, "chunks of one size");
        }
    }
}

/// The chunk in which a number stands is long, and the number is cut off it on either side.
#[test]
fn long_chunks_cut_anywhere_near_a_number() {
    for text in texts() {
        let padding = "en lang tekst uden tal ".repeat(40);
        let padded = [padding.as_bytes(), &text, padding.as_bytes()].concat();
        let scene = scene(None, Place::Other, NOVEMBER_2026);
        let expected = whole(&padded, &scene);
        for cut in padding.len() - 300..padding.len() + text.len() + 300 {
            let (first, second) = padded.split_at(cut);
            check(&in_chunks([first, second], &scene), &expected, "long chunks");
            check(
                &in_chunks([first, &second[..1], &second[1..]], &scene),
                &expected,
                "a byte between long chunks",
            );
        }
    }
}

#[test]
fn soup_in_any_chunks() {
    let random = &mut Rng::with_seed(4);
    for round in 0..400 {
        let length = random.usize(0..4000);
        let text = oracle::soup(random, length);
        let scene = scene(None, Place::Other, CLOCKS[round % 3]);
        let expected = whole(&text, &scene);
        let longest = random.choice([3, 40, 400, 2000]).unwrap();
        let mut rest = &text[..];
        let chunks = std::iter::from_fn(|| {
            let (chunk, others) = rest.split_at(random.usize(0..=longest.min(rest.len())));
            let is_over = rest.is_empty();
            rest = others;
            (!is_over).then_some(chunk)
        });
        check(&in_chunks(chunks, &scene), &expected, "soup");
    }
}
