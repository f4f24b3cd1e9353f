//! Whether text may hold a number that is encoded: a cheap look that may be wrong in one direction only.
//!
//! A number has ten digits. In Base64 three of them side by side, at the border of a group, make one of few groups of
//! characters; in base 16 a digit is a `3` and itself; an escape of a digit or of a separator has a few forms.

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

/// Whether Base64 of three digits begins here.
pub(crate) fn is_group(bytes: &[u8]) -> bool {
    let is_in = |(place, byte): (usize, &u8)| CLASSES[usize::from(*byte)] & 1 << place != 0;
    bytes.len() >= 4 && bytes.iter().take(4).enumerate().all(is_in)
}

/// Which escape that matters `bytes` begin with: one of a digit, a separator, or another escape.
pub(crate) fn escape(bytes: &[u8]) -> u32 {
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

    use super::Hidden;

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
        }
    }
}
