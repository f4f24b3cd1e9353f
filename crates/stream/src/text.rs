//! Whether bytes are text that a matcher can read, or opaque.
//!
//! The rule: bytes are text if at most one in ten is a control or invalid byte, and at most three in ten
//! are bytes that are letters in Latin-1 only. Bytes of a well-formed UTF-8 character are good, whatever it
//! is. One in ten lets framed text pass (length prefixes, terminating NULs); compressed or encrypted bytes
//! have about one in four and more than one in three. Up to some 16 bytes chance can decide either way.
//!
//! UTF-16 is text where nine in ten of its characters are of Latin-1, and by the first rule for the other bytes.

/// Whether `bytes` read as UTF-8, Latin-1 or UTF-16 text with few control bytes. Nothing at all is text.
pub fn is_text(bytes: &[u8]) -> bool {
    is_narrow(bytes) || is_wide(bytes, 0) || is_wide(bytes, 1)
}

/// Whether the bytes with high bits of UTF-16, the first of them at `high`, are zero, and the others are text.
fn is_wide(bytes: &[u8], high: usize) -> bool {
    let halves = |first: usize| bytes.iter().skip(first).step_by(2);
    let others = halves(high).filter(|byte| **byte != 0).count();
    let bad = halves(1 - high).filter(|byte| is_control(**byte) || (0x80..0xA0).contains(*byte)).count();
    (others + bad) * 10 <= bytes.len() / 2
}

fn is_narrow(bytes: &[u8]) -> bool {
    let (low, is_ascii) = low_bytes(bytes);
    if low * 10 <= bytes.len() && (is_ascii || str::from_utf8(bytes).is_ok()) {
        return true;
    }
    let controls = bytes.iter().filter(|byte| is_control(**byte)).count();
    let invalid = bytes.utf8_chunks().flat_map(|chunk| chunk.invalid());
    let (latin, bad) = invalid.fold((0, controls), |(latin, bad), byte| match byte {
        0xA0.. => (latin + 1, bad),
        _ => (latin, bad + 1),
    });
    bad * 10 <= bytes.len() && latin * 10 <= bytes.len() * 3
}

/// How many bytes may be control bytes: those below the space, and delete. And whether all are ASCII. In sums of one
/// byte, which a processor has many of at a time.
fn low_bytes(bytes: &[u8]) -> (usize, bool) {
    /// Less than what a byte counts to.
    const PIECE_BYTES: usize = 192;
    let of_piece = |piece: &[u8]| {
        piece.iter().fold((0u8, 0u8), |(low, all), byte| {
            (low + u8::from((*byte < 0x20) | (*byte == 0x7F)), all | *byte)
        })
    };
    let pieces = bytes.chunks(PIECE_BYTES).map(of_piece);
    let (low, all) = pieces.fold((0, 0), |(sum, or), (low, all)| (sum + usize::from(low), or | all));
    (low, all < 0x80)
}

/// Control bytes that text does not use; tab, line feed, form feed, carriage return and escape are used.
const fn is_control(byte: u8) -> bool {
    const USED: u32 = 1 << b'\t' | 1 << b'\n' | 1 << b'\r' | 1 << 0x0C | 1 << 0x1B;
    (byte < 0x20 && USED >> byte & 1 == 0) || byte == 0x7F
}

#[cfg(test)]
mod tests {
    use super::is_text;

    #[test]
    fn rule() {
        let cases: &[(&[u8], bool, &str)] = &[
            (b"", true, "nothing"),
            (b"GET / HTTP/1.1\r\n\r\n", true, "ascii"),
            ("Sm\u{f8}rrebr\u{f8}d \u{2013} \u{1f980}".as_bytes(), true, "utf-8"),
            (b"S\xf8ren R\xf8nne", true, "latin-1"),
            (b"Q\0\0\0\x2aselect name from person where cpr = $1\0", true, "framed query"),
            (b"\0\0\0\0", false, "zeroes"),
            (b"\x8f\x1c\xd3\x02\x9a\xee\x07\x10", false, "cipher-like"),
            (&[0xE6; 40], false, "only high bytes"),
            (b"\x1b[31mred\x1b[0m text", true, "terminal colours"),
            (b"C\0P\0R\0 \0S\0\xF8\0r\0e\0n\0\r\0\n\0", true, "utf-16, low byte first"),
            (b"\0C\0P\0R\0 \0S\0\xF8\0r\0e\0n", true, "utf-16, high byte first"),
            (b"\x01\0\x02\0\x03\0\x04\0\x05\0\x06\0", false, "small numbers"),
            (b"a\x01b\x02c\x03d\x04e\x05f\x06", false, "letters and no zeroes"),
        ];
        for (bytes, expected, name) in cases {
            assert_eq!(is_text(bytes), *expected, "{name}");
        }
    }

    #[test]
    fn pseudo_random_bytes_are_opaque() {
        let mut state = 0x2545_F491_4F6C_DD1D_u64;
        for len in [64, 200, 4096, 65536] {
            let bytes: Vec<u8> = (0..len).map(|_| next(&mut state)).collect();
            assert!(!is_text(&bytes), "{len}");
        }
    }

    fn next(state: &mut u64) -> u8 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        (*state >> 32) as u8
    }
}
