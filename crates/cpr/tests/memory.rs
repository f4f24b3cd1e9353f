//! Each text is an allocation of its own, so that whoever watches memory sees a read of one byte outside of it:
//! `cargo xtask memcheck` runs these tests under Miri, AddressSanitizer and valgrind. Alone they show that nothing is
//! missed at any length.
#![allow(clippy::unwrap_used, reason = "tests")]

mod oracle;

use cprvagt_cpr::{Backend, Grammar, Place, Scanner, Scene, find, scan, scrub_ranges};
use fastrand::Rng;

/// Lengths at which the search goes another way: words, blocks, short and middle texts, a chunk, two chunks.
const BORDERS: [usize; 11] = [10, 16, 64, 112, 128, 201, 256, 448, 1088, 1600, 3136];

/// What is read last lies at every distance from a border. Miri takes a thousand times as long, and sees as much in a
/// few of them.
fn lengths() -> Vec<usize> {
    if cfg!(miri) {
        return vec![0, 10, 17, 65, 202, 1601];
    }
    BORDERS.into_iter().flat_map(|border| border - 9..border + 10).chain(0..300).collect()
}

/// Miri, for which a naive reading takes minutes, sees how the backends read; what they find is looked at elsewhere.
fn check(text: &[u8], what: &str) {
    if !cfg!(miri) {
        return oracle::check(text, what);
    }
    for backend in Backend::all() {
        find(text, Grammar::Full, backend, &mut |candidate| assert!(candidate.end <= text.len(), "{what}"));
    }
}

/// A text of that length, in memory of that length.
fn alone(mut text: Vec<u8>, length: usize) -> Box<[u8]> {
    text.truncate(length);
    text.into_boxed_slice()
}

#[test]
fn every_backend_reads_nothing_but_its_text() {
    let random = &mut Rng::with_seed(1);
    for length in lengths() {
        check(&alone(oracle::soup(random, length), length), "soup");
        check(&alone(b"251248-9996".repeat(length / 11 + 1), length), "numbers only");
        check(
            &alone(b"2\x005\x001\x002\x004\x008\x009\x009\x009\x006\0".repeat(length / 20 + 1), length),
            "wide",
        );
        let dated = b"2\x005\0.\x001\x002\0.\x004\x008\0-\x009\x009\x009\x006\0";
        check(&alone(dated.repeat(length / dated.len() + 1), length), "wide, with separators in the date");
    }
}

#[test]
fn judging_reads_nothing_but_the_text_in_chunks_too() {
    let random = &mut Rng::with_seed(2);
    let scene = Scene { key: Some("cpr"), place: Place::UrlQuery, now_unix: 1_795_305_600 };
    for length in lengths() {
        let text = alone(oracle::soup(random, length), length);
        let mut whole = Vec::new();
        scan(&text, &scene, &mut |hit| whole.push((hit.start, hit.score)));
        let (mut scanner, mut parts) = (Scanner::new(scene), Vec::new());
        let (one, two) = text.split_at(length / 3);
        for chunk in [one, two] {
            scanner.push(&Box::<[u8]>::from(chunk), &mut |hit| parts.push((hit.start, hit.score)));
        }
        scanner.finish(&mut |hit| parts.push((hit.start, hit.score)));
        assert!(whole == parts, "{length} bytes");
        scrub_ranges(&text, 0, &mut |range| assert!(range.end <= length));
    }
}
