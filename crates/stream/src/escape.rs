//! Undoing percent-encoding, form plus signs, JSON and JavaScript escapes, and character references.
//!
//! *Invariants*: tolerant: what is not a well-formed escape stays as it stands. Output is never longer than
//! input, and work is linear.

use crate::plain::Plain;
use crate::trail::Trail;
use crate::window::Decoding;

/// What was undone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Undone {
    pub(crate) percent: bool,
    pub(crate) plus: bool,
    pub(crate) json: bool,
    pub(crate) entity: bool,
}

impl Undone {
    pub(crate) const fn or(self, other: Self) -> Self {
        Self {
            percent: self.percent || other.percent,
            plus: self.plus || other.plus,
            json: self.json || other.json,
            entity: self.entity || other.entity,
        }
    }

    /// Writes down what was undone.
    pub(crate) fn enter(self, trail: &mut Trail) {
        let steps = [
            (self.plus, Decoding::FormPlus),
            (self.percent, Decoding::Percent),
            (self.json, Decoding::JsonEscape),
            (self.entity, Decoding::HtmlEntity),
        ];
        for (_, decoding) in steps.into_iter().filter(|(done, _)| *done) {
            trail.push(decoding);
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
            (b'%', [high, low, after @ ..]) if let Some(byte) = hex_pair(*high, *low) => {
                decoded.push(byte);
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

/// Undoes escapes of JavaScript strings (ECMA-262, section 12.9.4), those of JSON among them; `None` if there is none
/// that stands for a character by its number.
pub(crate) fn script(bytes: &[u8]) -> Option<Plain> {
    bytes.windows(2).find(|pair| matches!(pair, [b'\\', b'x' | b'u']))?;
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(&byte) = rest.first() {
        let len = match rest {
            [b'\\', b'x', high, low, ..] if let Some(code) = hex_pair(*high, *low) => {
                push_char(char::from(code), &mut decoded);
                4
            }
            [b'\\', b'u', b'{', ..] => braced_escape(rest, &mut decoded),
            [b'\\', b'u', ..] => unicode_escape(rest, &mut decoded),
            [b'\\', ..] => json_escape(rest, &mut decoded),
            _ => {
                decoded.push(byte);
                1
            }
        };
        rest = &rest[len..];
    }
    let decoded = Plain::from(decoded);
    (decoded.len() < bytes.len()).then_some(decoded)
}

/// Undoes `\u{...}`; returns its length, at least 1.
fn braced_escape(bytes: &[u8], decoded: &mut Vec<u8>) -> usize {
    /// Digits of the largest code point, and some zeroes.
    const DIGITS_MAX: usize = 8;
    let digits = bytes[3..].iter().take(DIGITS_MAX).take_while(|byte| byte.is_ascii_hexdigit()).count();
    let code = bytes[3..3 + digits].iter().fold(0u32, |code, digit| code << 4 | u32::from(hex(*digit)));
    match (bytes.get(3 + digits), char::from_u32(code)) {
        (Some(b'}'), Some(character)) if digits > 0 => {
            push_char(character, decoded);
            digits + 4
        }
        _ => {
            decoded.push(b'\\');
            1
        }
    }
}

fn push_char(character: char, decoded: &mut Vec<u8>) {
    decoded.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
}

/// Longest character reference that is read, from the ampersand to the semicolon.
const ENTITY_BYTES_MAX: usize = 12;

/// Character references that have to do with text and numbers in it; WHATWG HTML, section 13.5, has two thousand.
const ENTITIES: [(&[u8], &str); 24] = [
    (b"amp", "&"),
    (b"lt", "<"),
    (b"gt", ">"),
    (b"quot", "\""),
    (b"apos", "'"),
    (b"nbsp", "\u{A0}"),
    (b"shy", "\u{AD}"),
    (b"hyphen", "\u{2010}"),
    (b"dash", "\u{2010}"),
    (b"ndash", "\u{2013}"),
    (b"mdash", "\u{2014}"),
    (b"minus", "\u{2212}"),
    (b"ensp", "\u{2002}"),
    (b"thinsp", "\u{2009}"),
    (b"period", "."),
    (b"sol", "/"),
    (b"Tab", "\t"),
    (b"NewLine", "\n"),
    (b"aelig", "\u{E6}"),
    (b"oslash", "\u{F8}"),
    (b"aring", "\u{E5}"),
    (b"AElig", "\u{C6}"),
    (b"Oslash", "\u{D8}"),
    (b"Aring", "\u{C5}"),
];

/// Undoes character references; `None` if there is none that is known.
pub(crate) fn entities(bytes: &[u8]) -> Option<Plain> {
    let mut at = bytes.iter().position(|byte| *byte == b'&')?;
    let mut decoded = Vec::with_capacity(bytes.len());
    decoded.extend_from_slice(&bytes[..at]);
    let mut any = false;
    while let Some(&byte) = bytes.get(at) {
        if byte == b'&'
            && let Some((character, len)) = entity(&bytes[at..])
        {
            decoded.extend_from_slice(character.as_slice());
            at += len;
            any = true;
        } else {
            decoded.push(byte);
            at += 1;
        }
    }
    let decoded = Plain::from(decoded);
    any.then_some(decoded)
}

/// The text of the reference that `bytes` begin with, and its length.
fn entity(bytes: &[u8]) -> Option<(Plain, usize)> {
    let end = bytes.iter().take(ENTITY_BYTES_MAX).position(|byte| *byte == b';')?;
    let name = &bytes[1..end];
    let text = match name.strip_prefix(b"#") {
        Some(digits) => Plain::copy_of(numbered(digits)?.encode_utf8(&mut [0; 4]).as_bytes()),
        None => ENTITIES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, text)| Plain::copy_of(text.as_bytes()))?,
    };
    Some((text, end + 1))
}

/// The character of a number, decimal or behind an `x` hexadecimal.
fn numbered(digits: &[u8]) -> Option<char> {
    let (digits, radix) = match digits {
        [b'x' | b'X', digits @ ..] => (digits, 16),
        digits => (digits, 10),
    };
    let digits = std::str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'))?;
    u32::from_str_radix(digits, radix).ok().and_then(char::from_u32)
}

/// The byte that two hexadecimal digits stand for.
pub(crate) fn hex_pair(high: u8, low: u8) -> Option<u8> {
    (high.is_ascii_hexdigit() && low.is_ascii_hexdigit()).then(|| hex(high) << 4 | hex(low))
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
        let expected = |percent, plus| Some(Undone { percent, plus, ..Undone::default() });
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
