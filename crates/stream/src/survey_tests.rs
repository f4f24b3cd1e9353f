//! A look at a text against one byte by byte.

use data_encoding::BASE64;
use proptest::prelude::*;

use super::*;

/// What [`walk`] tells, byte by byte.
fn naive(text: &[u8]) -> bool {
    let runs = |is_kind: fn(u8) -> bool, len_min: usize| {
        text.split(move |byte| !is_kind(*byte)).filter(move |run| run.len() >= len_min)
    };
    let digits = |run: &[u8]| Hidden::of(run).hex() || (run.len() == DIGITS && stands_alone(text, run));
    (0..text.len()).any(|at| is_escape(&text[at..]) || hidden::is_group(&text[at..]))
        || runs(|byte| byte.is_ascii_digit(), DIGITS).any(digits)
        || runs(is_base64, LONG_RUN_BYTES).any(is_any_readable)
}

fn fast(text: &[u8]) -> bool {
    let is_number = |run: &[u8]| run.len() == DIGITS && stands_alone(text, run);
    walk(text, is_number, |_| ControlFlow::Break(())).is_break()
}

fn check(text: &[u8]) {
    assert_eq!(fast(text), naive(text), "{}", text.escape_ascii());
}

/// Every length of runs, at every place of a word of marks.
#[test]
fn runs_are_found_wherever_they_begin() {
    for (start, len) in (0..140).flat_map(|start| (0..150).map(move |len| (start, len))) {
        let text = [" ".repeat(start), "1".repeat(len), " ".repeat(7)].concat();
        assert_eq!(fast(text.as_bytes()), len == DIGITS, "{len} digits at {start}");
        let text = [" ".repeat(start), BASE64.encode("a".repeat(len).as_bytes()), " ".repeat(7)].concat();
        check(text.as_bytes());
        let run = text.trim_matches([' ', '=']).len();
        assert_eq!(fast(text.as_bytes()), run >= LONG_RUN_BYTES, "{run} of Base64 at {start}");
    }
}

#[test]
fn every_byte_has_the_kinds_that_it_is_looked_at_for() {
    let bytes: Vec<u8> = (0..=255).collect();
    let mut marks = [SetMarks::default(); 4];
    for (number, word) in SIGNS.mark(&bytes, 0, &mut marks).iter().enumerate() {
        for byte in number * WORD_BYTES..(number + 1) * WORD_BYTES {
            let [digit, base64, escape, group] = word.map(|word| word >> (byte % WORD_BYTES) & 1 == 1);
            let byte = byte as u8;
            assert_eq!((digit, base64), (byte.is_ascii_digit(), may_be_base64(byte)), "{byte:x}");
            let escapes = (0..=255).flat_map(|second| b"-1".map(|third| [byte, second, third, b'+']));
            assert!(escape || !escapes.into_iter().any(|bytes| is_escape(&bytes)), "{byte:x}");
            assert_eq!(group, hidden::is_group(&[byte, b'D', b'A', b'w']), "{byte:x}");
        }
    }
}

/// Any ten digits, anywhere in a longer text, show as they stand, in Base64 and in base 16.
#[test]
fn ten_digits_always_show() {
    for seed in 0..20_000u64 {
        let number = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) % 10_000_000_000;
        let text =
            format!("{}{number:010}{}", &"abcde"[..(seed % 5) as usize], &"xyz"[..(seed % 3) as usize]);
        let encoded = BASE64.encode(text.as_bytes());
        let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
        let long = |text: &str| format!("{}{text}{}", " ".repeat((seed % 200) as usize), " ".repeat(99));
        assert!(is_encoded_in(long(&encoded).as_bytes()), "{text}");
        assert!(is_encoded_in(long(&hex).as_bytes()), "{text}");
        assert!(may_hold_number(long(&format!("{number:010}")).as_bytes()), "{text}");
    }
}

proptest! {
    #[test]
    fn a_look_tells_what_a_naive_one_does(text in "([0-9]{1,12}|[a-zA-Z0-9/+_-]{1,50}|\x7F|[%&\\\\=+MN\" ,:{}]{1,3}){0,20}") {
        check(text.as_bytes());
    }

    #[test]
    fn of_any_bytes(text in prop::collection::vec(any::<u8>(), 0..300)) {
        check(&text);
    }
}
