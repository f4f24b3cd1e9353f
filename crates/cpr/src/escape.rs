//! Reads one character forwards or backwards, escaped or not, so that `%22` beside a number is a quotation
//! mark and neither two more digits nor a letter.
//!
//! *Limits.* Percent (one or two rounds), `\uHHHH`, `\xHH`, `\n`-like, numeric HTML entities; backwards also
//! quoted-printable with a letter, such as `=3D`. Two-digit quoted-printable (`=20`) is left alone: `x=20...`
//! is far more often a plain assignment.

/// What stands for a byte that is no character on its own: never a letter or digit.
const UNKNOWN: char = char::REPLACEMENT_CHARACTER;

/// The longest numeric HTML entity that is read: `&#x10FFFF;`.
const ENTITY_BYTES_MAX: usize = 10;

/// The character that ends at `at`, and where it starts.
pub(crate) fn character_before(text: &[u8], at: usize) -> Option<(char, usize)> {
    escape_before(text, at).or_else(|| raw_before(text, at))
}

/// The character that starts at `at`, and where it ends.
pub(crate) fn character_after(text: &[u8], at: usize) -> Option<(char, usize)> {
    escape_after(text, at).or_else(|| raw_after(text, at))
}

/// The escape that ends at `at`, as the character it means, and where it starts.
pub(crate) fn escape_before(text: &[u8], at: usize) -> Option<(char, usize)> {
    let (meaning, length) = match text.get(..at)? {
        [.., b'\\', b'n' | b't' | b'r' | b'b' | b'f' | b'v'] => ('\n', 2),
        [.., b'%', b'2', b'5', high, low] if hex(&[*high, *low]).is_some() => (byte(*high, *low)?, 5),
        [.., b'%', high, low] => (byte(*high, *low)?, 3),
        [.., b'\\', b'u', a, b, c, d] => (code_point(hex(&[*a, *b, *c, *d])?), 6),
        [.., b'\\', b'x', high, low] => (byte(*high, *low)?, 4),
        [.., b'=', high, low @ b'A'..=b'F'] => (byte(*high, *low).filter(|c| !c.is_alphanumeric())?, 3),
        [.., b';'] => entity_before(&text[..at])?,
        _ => return None,
    };
    Some((meaning, at - length))
}

fn escape_after(text: &[u8], at: usize) -> Option<(char, usize)> {
    let (meaning, length) = match text.get(at..)? {
        [b'%', b'2', b'5', high, low, ..] if hex(&[*high, *low]).is_some() => (byte(*high, *low)?, 5),
        [b'%', high, low, ..] => (byte(*high, *low)?, 3),
        [b'\\', b'u', a, b, c, d, ..] => (code_point(hex(&[*a, *b, *c, *d])?), 6),
        [b'\\', b'x', high, low, ..] => (byte(*high, *low)?, 4),
        rest @ [b'&', b'#', ..] => entity(rest)?,
        _ => return None,
    };
    Some((meaning, at + length))
}

fn entity_before(text: &[u8]) -> Option<(char, usize)> {
    let window = &text[text.len().saturating_sub(ENTITY_BYTES_MAX)..];
    let start = window.iter().rposition(|&byte| byte == b'&')?;
    entity(&window[start..]).filter(|&(_, length)| start + length == window.len())
}

/// A numeric entity at the start of `text`, and its length.
fn entity(text: &[u8]) -> Option<(char, usize)> {
    let body = text.strip_prefix(b"&#")?;
    let length = body.iter().take(ENTITY_BYTES_MAX - 2).position(|&byte| byte == b';')?;
    let value = match &body[..length] {
        [b'x' | b'X', digits @ ..] => hex(digits)?,
        digits => radix(digits, 10)?,
    };
    Some((code_point(value), length + 3))
}

/// The character that ends at `at`, taken as it stands; a byte that is no UTF-8 is `UNKNOWN`.
fn raw_before(text: &[u8], at: usize) -> Option<(char, usize)> {
    let before = text.get(..at)?;
    let last = before.last()?;
    if last.is_ascii() {
        return Some((char::from(*last), at - 1));
    }
    let whole = (2..=4).find_map(|length| {
        let start = at.checked_sub(length)?;
        let mut characters = core::str::from_utf8(&before[start..]).ok()?.chars();
        characters.next_back().map(|character| (character, at - character.len_utf8()))
    });
    whole.or(Some((UNKNOWN, at - 1)))
}

/// The character that starts at `at`, taken as it stands; a byte that is no UTF-8 is `UNKNOWN`.
fn raw_after(text: &[u8], at: usize) -> Option<(char, usize)> {
    let first = *text.get(at)?;
    let length = match first {
        0..0x80 => return Some((char::from(first), at + 1)),
        0xC0..0xE0 => 2,
        0xE0..0xF0 => 3,
        _ => 4,
    };
    let whole = text.get(at..at + length).and_then(|bytes| core::str::from_utf8(bytes).ok());
    let character = whole.and_then(|whole| whole.chars().next()).unwrap_or(UNKNOWN);
    Some((character, at + character_len(character)))
}

fn character_len(character: char) -> usize {
    if character == UNKNOWN { 1 } else { character.len_utf8() }
}

fn byte(high: u8, low: u8) -> Option<char> {
    let value = hex(&[high, low])?;
    Some(if value < 0x80 { code_point(value) } else { UNKNOWN })
}

fn code_point(value: u32) -> char {
    char::from_u32(value).unwrap_or(UNKNOWN)
}

fn hex(digits: &[u8]) -> Option<u32> {
    radix(digits, 16)
}

fn radix(digits: &[u8], base: u32) -> Option<u32> {
    if digits.is_empty() || digits.len() > 7 {
        return None;
    }
    digits.iter().try_fold(0, |value, &digit| Some(value * base + char::from(digit).to_digit(base)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backwards() {
        let check = |text: &str, expected: Option<(char, usize)>| {
            assert_eq!(character_before(text.as_bytes(), text.len()), expected, "{text:?}");
        };
        check("", None);
        check("a", Some(('a', 0)));
        check("x\u{e5}", Some(('\u{e5}', 1)));
        check("x\u{2013}", Some(('\u{2013}', 1)));
        check("%22", Some(('"', 0)));
        check("x%3d", Some(('=', 1)));
        check("%2522", Some(('"', 0)));
        check("%C3%A5", Some((UNKNOWN, 3)));
        check("%g2", Some(('2', 2)));
        check("\\u0022", Some(('"', 0)));
        check("\\u00e5", Some(('\u{e5}', 0)));
        check("\\u", Some(('u', 1)));
        check("\\x2d", Some(('-', 0)));
        check("\\n", Some(('\n', 0)));
        check("%\\n", Some(('\n', 1)));
        check("n", Some(('n', 0)));
        check("=3D", Some(('=', 0)));
        check("=4A", Some(('A', 2)));
        check("=20", Some(('0', 2)));
        check("&#45;", Some(('-', 0)));
        check("&#x2d;", Some(('-', 0)));
        check("&#;", Some((';', 2)));
        check("&nbsp;", Some((';', 5)));
    }

    #[test]
    fn forwards() {
        let check = |text: &[u8], expected: Option<(char, usize)>| {
            assert_eq!(character_after(text, 0), expected, "{text:?}");
        };
        check(b"", None);
        check(b"a", Some(('a', 1)));
        check("\u{e5}x".as_bytes(), Some(('\u{e5}', 2)));
        check(b"\xe5", Some((UNKNOWN, 1)));
        check(b"\xe5ab", Some((UNKNOWN, 1)));
        check(b"%2E5", Some(('.', 3)));
        check(b"%252E", Some(('.', 5)));
        check(b"%zz", Some(('%', 1)));
        check(b"%2", Some(('%', 1)));
        check(b"\\u0041", Some(('A', 6)));
        check(b"\\n", Some(('\\', 1)));
        check(b"&#48;", Some(('0', 5)));
        check(b"&#48", Some(('&', 1)));
        check(b"&a=1;", Some(('&', 1)));
        check(b"=41", Some(('=', 1)));
    }
}
