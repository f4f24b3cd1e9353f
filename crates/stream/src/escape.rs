//! Undoing percent-encoding, form plus signs and JSON escapes.
//!
//! *Invariants*: tolerant: what is not a well-formed escape stays as it stands. Output is never longer than
//! input, and work is linear.

use crate::plain::Plain;

/// What was undone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Undone {
    pub(crate) percent: bool,
    pub(crate) plus: bool,
    pub(crate) json: bool,
}

impl Undone {
    pub(crate) const fn or(self, other: Self) -> Self {
        Self {
            percent: self.percent || other.percent,
            plus: self.plus || other.plus,
            json: self.json || other.json,
        }
    }
}

/// Undoes `%XX`, and `+` for a space where `plus` says so; `None` if there was nothing to undo.
pub(crate) fn percent(bytes: &[u8], plus: bool) -> Option<(Plain, Undone)> {
    if !bytes.iter().any(|byte| *byte == b'%' || (plus && *byte == b'+')) {
        return None;
    }
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut undone = Undone::default();
    let mut rest = bytes;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match (byte, tail) {
            (b'%', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                decoded.push(hex(*high) << 4 | hex(*low));
                undone.percent = true;
                rest = after;
            }
            (b'+', _) if plus => {
                decoded.push(b' ');
                undone.plus = true;
            }
            _ => decoded.push(byte),
        }
    }
    let decoded = Plain::from(decoded);
    (undone != Undone::default()).then_some((decoded, undone))
}

/// Undoes JSON escapes; `None` if there is no backslash.
pub(crate) fn json(bytes: &[u8]) -> Option<Plain> {
    let mut at = bytes.iter().position(|byte| *byte == b'\\')?;
    let mut decoded = Vec::with_capacity(bytes.len());
    decoded.extend_from_slice(&bytes[..at]);
    while let Some(&byte) = bytes.get(at) {
        if byte == b'\\' {
            at += json_escape(&bytes[at..], &mut decoded);
        } else {
            decoded.push(byte);
            at += 1;
        }
    }
    Some(Plain::from(decoded))
}

/// Undoes the escape that `bytes` begin with; returns its length, at least 1.
fn json_escape(bytes: &[u8], decoded: &mut Vec<u8>) -> usize {
    let plain = match bytes.get(1) {
        Some(b'n') => b'\n',
        Some(b't') => b'\t',
        Some(b'r') => b'\r',
        Some(b'b') => 8,
        Some(b'f') => 12,
        Some(b'u') => return unicode_escape(bytes, decoded),
        Some(&other) => other,
        None => b'\\',
    };
    decoded.push(plain);
    bytes.len().min(2)
}

/// Undoes `\uXXXX`, or a pair of them that makes one character (RFC 8259, section 7).
fn unicode_escape(bytes: &[u8], decoded: &mut Vec<u8>) -> usize {
    let Some(first) = unit(bytes) else {
        decoded.push(b'\\');
        return 1;
    };
    let second = bytes.get(6..).and_then(unit);
    let pair = second.map(|second| char::decode_utf16([first, second]).next());
    let (character, len) = match pair {
        Some(Some(Ok(character))) if character > '\u{FFFF}' => (character, 12),
        _ => (char::from_u32(u32::from(first)).unwrap_or(char::REPLACEMENT_CHARACTER), 6),
    };
    decoded.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    len
}

/// The code unit of `\uXXXX` at the start of `bytes`.
fn unit(bytes: &[u8]) -> Option<u16> {
    let digits = bytes.strip_prefix(b"\\u")?.get(..4)?;
    digits
        .iter()
        .all(u8::is_ascii_hexdigit)
        .then(|| digits.iter().fold(0, |value, digit| value << 4 | u16::from(hex(*digit))))
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => (digit | 0x20).wrapping_sub(b'a').wrapping_add(10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_cases() {
        let cases: &[(&str, bool, Option<&[u8]>)] = &[
            ("plain", true, None),
            ("a+b", false, None),
            ("a+b", true, Some(b"a b")),
            ("251248%2D9996", false, Some(b"251248-9996")),
            ("%32%35", false, Some(b"25")),
            ("%E2%80%90", false, Some("\u{2010}".as_bytes())),
            ("100%", false, None),
            ("%zz%z4%4z%4", true, None),
            ("%4%41", false, Some(b"%4A")),
            ("%2e%2E%", false, Some(b"..%")),
            ("%252D", false, Some(b"%2D")),
        ];
        for (input, plus, expected) in cases {
            let decoded = percent(input.as_bytes(), *plus);
            assert_eq!(decoded.as_ref().map(|(plain, _)| plain.as_slice()), *expected, "{input}");
        }
    }

    #[test]
    fn percent_tells_what_it_undid() {
        let undone = |input: &str| percent(input.as_bytes(), true).map(|(_, undone)| undone);
        let expected = |percent, plus| Some(Undone { percent, plus, json: false });
        assert_eq!(undone("a+b"), expected(false, true));
        assert_eq!(undone("a%20b"), expected(true, false));
        assert_eq!(undone("a+%20"), expected(true, true));
    }

    #[test]
    fn json_cases() {
        let cases: &[(&str, Option<&str>)] = &[
            ("plain", None),
            (r"251248\u002d9996", Some("251248-9996")),
            (r"\n\t\r\b\f\/\\\x", Some("\n\t\r\u{8}\u{c}/\\x")),
            (r#"say \"hi\""#, Some("say \"hi\"")),
            (r"\ud83e\udd80", Some("\u{1f980}")),
            (r"\ud83e-", Some("\u{fffd}-")),
            (r"\ud83e\u0041", Some("\u{fffd}A")),
            (r"\u00e6\u00", Some("\u{e6}\\u00")),
            (r"\u12G4", Some(r"\u12G4")),
            ("\\", Some("\\")),
        ];
        for (input, expected) in cases {
            let decoded = json(input.as_bytes());
            assert_eq!(decoded.as_ref().and_then(Plain::as_str), *expected, "{input}");
        }
    }
}
