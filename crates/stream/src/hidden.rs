//! Whether text may hold a number that is encoded: a cheap look that may be wrong in one direction only.
//!
//! A number has ten digits. In Base64 three of them side by side, at the border of a group, make one of few groups of
//! characters; in base 16 a digit is a `3` and itself; an escape of a digit or of a separator has a few forms.

use cprvagt_cpr::{Backend, Grammar, find};
use memchr::{memchr_iter, memchr3_iter};

use crate::encoding::{Coding, is_base64};
use crate::start;
use crate::text::is_text;
use crate::token;

/// Shortest run of Base64 in a long text that is looked into though no digit shows in it.
const LONG_RUN_BYTES: usize = 40;

/// What was seen, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hidden(u32);

/// Ends of patterns of four characters and of six, in the state of the search.
const BASE64: u32 = 1 << 3;
const HEX: u32 = 1 << 13;
/// Where patterns begin.
const BEGIN: u32 = 1 | 1 << 8;
/// An escape may begin.
const ESCAPE: u32 = 1 << 16;

const PERCENT: u32 = 1 << 17;
const ENTITY: u32 = 1 << 18;
const SCRIPT: u32 = 1 << 19;
const QUOTED: u32 = 1 << 20;

/// In which places of which pattern a byte may stand.
const CLASSES: [u32; 256] = classes();

impl Hidden {
    /// Looks at text.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let (mut state, mut seen) = (0u32, 0u32);
        for (at, byte) in bytes.iter().enumerate() {
            let class = CLASSES[usize::from(*byte)];
            state = (state << 1 | BEGIN) & class;
            seen |= state;
            if class & ESCAPE != 0 {
                seen |= escape(&bytes[at..]);
            }
        }
        Self(seen & (BASE64 | HEX | PERCENT | ENTITY | SCRIPT | QUOTED))
    }

    pub(crate) const fn base64(self) -> bool {
        self.0 & BASE64 != 0
    }

    pub(crate) const fn hex(self) -> bool {
        self.0 & HEX != 0
    }

    pub(crate) const fn percent(self) -> bool {
        self.0 & PERCENT != 0
    }

    pub(crate) const fn entity(self) -> bool {
        self.0 & ENTITY != 0
    }

    pub(crate) const fn script(self) -> bool {
        self.0 & SCRIPT != 0
    }

    pub(crate) const fn quoted(self) -> bool {
        self.0 & QUOTED != 0
    }
}

/// Whether a text may hold a number at all, as it stands or encoded: a look at a long text before its values are read.
pub(crate) fn may_hold_number(text: &[u8]) -> bool {
    let mut any = is_encoded_in(text) || ten_digits(text);
    find(text, Grammar::Full, Backend::best(), &mut |_| any = true);
    any
}

/// Whether a text may hold something encoded.
pub(crate) fn is_encoded_in(text: &[u8]) -> bool {
    let is_escape = |at: usize| escape(&text[at..]) != 0;
    memchr3_iter(b'%', b'&', b'\\', text).any(is_escape)
        || memchr_iter(b'=', text).any(is_escape)
        || memchr3_iter(b'M', b'N', b'O', text).any(|at| is_group(&text[at..]))
        || digit_runs(text).any(|run| Hidden::of(run).hex())
        || long_runs(text).any(is_readable)
}

/// Whether Base64 of three digits begins here.
fn is_group(bytes: &[u8]) -> bool {
    let is_in = |(place, byte): (usize, &u8)| CLASSES[usize::from(*byte)] & 1 << place != 0;
    bytes.len() >= 4 && bytes.iter().take(4).enumerate().all(is_in)
}

fn ten_digits(text: &[u8]) -> bool {
    digit_runs(text).any(|run| run.len() == 10 && stands_alone(text, run))
}

/// Whether a run of digits is no piece of a word, such as an identifier in base 16.
fn stands_alone(text: &[u8], run: &[u8]) -> bool {
    let start = token::offset_in(text, run);
    let (before, behind) = (&text[..start], &text[start + run.len()..]);
    let is_word = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    !is_word(before.last()) && !is_word(behind.first())
}

/// Runs of ten digits and more: of ten in a row one stands at a multiple of eight.
fn digit_runs(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    runs(text, 8, 10, |byte| byte.is_ascii_digit())
}

/// Long runs of Base64, by their beginning.
fn long_runs(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    runs(text, 32, LONG_RUN_BYTES, is_base64)
}

/// Runs of bytes of a kind that are at least `len_min` long, which is more than `step`; a run may come twice.
fn runs(text: &[u8], step: usize, len_min: usize, is_kind: fn(u8) -> bool) -> impl Iterator<Item = &[u8]> {
    let reach = len_min * 2;
    (0..text.len()).step_by(step).filter(move |at| is_kind(text[*at])).filter_map(move |at| {
        let before = text[..at].iter().rev().take(reach).take_while(|byte| is_kind(**byte)).count();
        let behind = text[at..].iter().take(reach).take_while(|byte| is_kind(**byte)).count();
        (before + behind >= len_min).then_some(&text[at - before..at + behind])
    })
}

/// Whether a run of Base64 is text, or packed, by its first bytes.
fn is_readable(run: &[u8]) -> bool {
    let plain = Coding::Base64.decoded(&run[..run.len().min(LONG_RUN_BYTES) & !3]);
    is_text(plain.as_slice()) || start::is_packed(plain.as_slice())
}

/// Which escape that matters `bytes` begin with: one of a digit, a separator, or another escape.
fn escape(bytes: &[u8]) -> u32 {
    match bytes {
        [b'%', b'2' | b'3' | b'E' | b'e' | b'C' | b'c' | b'A' | b'a', ..] => PERCENT,
        [b'&', b'#' | b'a'..=b'z' | b'A'..=b'Z', ..] => ENTITY,
        [b'\\', b'u' | b'x' | b'/', ..] => SCRIPT,
        [b'=', b'2' | b'3', ..] => QUOTED,
        _ => 0,
    }
}

const fn classes() -> [u32; 256] {
    /// The characters of a group that three digits make, and of their first half in UTF-16.
    const GROUP: [&[u8]; 4] = [b"MNO", b"DTjzAQgw", b"AEIMQUYcgk", b"wxyz012345"];
    let mut classes = [0; 256];
    let mut place = 0;
    while place < GROUP.len() {
        let mut at = 0;
        while at < GROUP[place].len() {
            classes[GROUP[place][at] as usize] |= 1 << place;
            at += 1;
        }
        place += 1;
    }
    let mut digit = b'0';
    while digit <= b'9' {
        classes[digit as usize] |= 1 << 9 | 1 << 11 | 1 << 13;
        digit += 1;
    }
    classes[b'3' as usize] |= 1 << 8 | 1 << 10 | 1 << 12;
    classes[b'%' as usize] |= ESCAPE;
    classes[b'&' as usize] |= ESCAPE;
    classes[b'\\' as usize] |= ESCAPE;
    classes[b'=' as usize] |= ESCAPE;
    classes
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64;

    use super::{Hidden, is_encoded_in, may_hold_number};

    type Seen = fn(Hidden) -> bool;

    #[test]
    fn what_is_hidden() {
        let nothing = |_: Hidden| false;
        let cases: &[(&str, Seen)] = &[
            ("251248-9996 and some text", nothing),
            ("MjUxMjQ4OTk5Ng==", Hidden::base64),
            ("xMjUxMjQ4OTk5Ng", Hidden::base64),
            ("32353132", Hidden::hex),
            ("3235", nothing),
            ("2512%2D", Hidden::percent),
            ("100%", nothing),
            ("&#45;", Hidden::entity),
            ("a & b", nothing),
            ("\\x32", Hidden::script),
            ("\\n", nothing),
            ("=32", Hidden::quoted),
            ("a=b", nothing),
        ];
        for (text, expected) in cases {
            let hidden = Hidden::of(text.as_bytes());
            let is_seen = [
                hidden.base64(),
                hidden.hex(),
                hidden.percent(),
                hidden.entity(),
                hidden.script(),
                hidden.quoted(),
            ];
            let seen = is_seen.iter().filter(|seen| **seen).count();
            assert!(seen <= 1, "{text}: one thing at most");
            assert_eq!(expected(hidden), hidden != Hidden::default(), "{text}");
        }
    }

    /// Any ten digits, anywhere in a longer text, show in Base64 and in base 16.
    #[test]
    fn ten_digits_always_show() {
        for seed in 0..20_000u64 {
            let number = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) % 10_000_000_000;
            let text =
                format!("{}{number:010}{}", &"abcde"[..(seed % 5) as usize], &"xyz"[..(seed % 3) as usize]);
            let encoded = BASE64.encode(text.as_bytes());
            assert!(Hidden::of(encoded.as_bytes()).base64(), "{text}");
            let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
            assert!(Hidden::of(hex.as_bytes()).hex(), "{text}");
            let long = |text: &str| format!("{}{text}{}", " ".repeat((seed % 40) as usize), " ".repeat(99));
            assert!(is_encoded_in(long(&encoded).as_bytes()), "{text}");
            assert!(is_encoded_in(long(&hex).as_bytes()), "{text}");
            assert!(may_hold_number(long(&format!("{number:010}")).as_bytes()), "{text}");
        }
    }
}
