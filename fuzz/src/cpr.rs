//! The matcher, over any text and under any clock.

#[path = "../../crates/cpr/tests/oracle/mod.rs"]
mod oracle;

use cprvagt_cpr::{Hit, Place, Scanner, Scene, scan, scrub_ranges};

/// Every backend finds what the naive reading finds.
pub fn cpr_find(bytes: &[u8]) {
    oracle::check(bytes, "fuzzed");
}

/// The first bytes choose place, clock and whether there is a key; the key is the start of the text.
pub fn cpr_scan(bytes: &[u8]) {
    let Some((choice, text)) = bytes.split_at_checked(9) else { return };
    let now_unix = i64::from_le_bytes(choice[1..].try_into().expect("eight bytes"));
    // Years that jiff and people know; the clock comes from the system, not from strangers.
    let now_unix = now_unix.rem_euclid(8_000_000_000);
    let key_end = text.len().min(usize::from(choice[0] >> 2));
    let key = core::str::from_utf8(&text[..key_end]).ok().filter(|key| !key.is_empty());
    let place = [Place::UrlPath, Place::UrlQuery, Place::Other, Place::Other][usize::from(choice[0] & 3)];
    let scene = Scene { key, place, now_unix };
    check(text, &scene);
    check_chunks(text, &scene, usize::from(choice[0]) + 1);
}

/// Chunks of one size give what the whole gives.
fn check_chunks(text: &[u8], scene: &Scene<'_>, size: usize) {
    let told = |hit: Hit| (hit.start, hit.end, hit.score, hit.class, hit.shape);
    let (mut whole, mut chunks) = (Vec::new(), Vec::new());
    scan(text, scene, &mut |hit| whole.push(told(hit)));
    let mut scanner = Scanner::new(*scene);
    text.chunks(size).for_each(|chunk| scanner.push(chunk, &mut |hit| chunks.push(told(hit))));
    scanner.finish(&mut |hit| chunks.push(told(hit)));
    assert!(whole == chunks, "chunks of {size}: {chunks:?}, the whole {whole:?}");
}

/// Hits stand in the text in order, apart, and the scrubber blots out each.
fn check(text: &[u8], scene: &Scene<'_>) {
    let mut blotted = Vec::new();
    scrub_ranges(text, scene.now_unix, &mut |range| blotted.push(range));
    assert!(blotted.is_sorted_by(|a, b| a.end < b.start), "ranges rise and do not touch");
    assert!(blotted.iter().all(|range| range.start < range.end && range.end <= text.len()));
    let mut last_end = 0;
    scan(text, scene, &mut |hit| {
        assert!(last_end <= hit.start && hit.start < hit.end && hit.end <= text.len(), "{hit:?}");
        last_end = hit.end;
        let written: Vec<u8> = text[hit.start..hit.end].iter().copied().filter(u8::is_ascii_digit).collect();
        let digits = hit.number.digits();
        assert!(written.starts_with(&digits[..6]) && written.ends_with(&digits[6..]), "{hit:?}");
        let is_blotted = blotted.iter().any(|range| range.start <= hit.start && hit.end <= range.end);
        assert!(is_blotted, "the scrubber misses {hit:?}");
    });
}
