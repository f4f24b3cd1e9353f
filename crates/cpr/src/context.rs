//! The text of the same field before a number, and what it says.
//!
//! *Limits.* At most `FIELD_BYTES_MAX` bytes are read, so that the cost per candidate is constant.
//!
//! The field's text starts after the last of these, escaped or not:
//! - a delimiter: `&` `;` `,` `{` `}` `|`, a line end or NUL (`&nbsp;` and its like are no delimiters);
//! - an earlier number (six digits or more), which has used up the label before it. Only a list goes on:
//!   where nothing but one comma, spaces, quotes and brackets stand between two numbers, the second has the
//!   first one's label (`continues_list`);
//! - the previous `=` where the number follows an `=`, the previous `:` where it follows a `:`, so that
//!   `cpr=none ts=...` lends nothing to `ts`.
//!
//! Names in tags that have been closed (`<cpr>...</cpr><ts>`) do not count. One label is read across
//! delimiters: the OID of the CPR register, because it names the scheme of a sibling value
//! (`{"system":"urn:oid:1.2.208.176.1.2","value":"..."}`).

use crate::key::{self, Naming};

/// How far before a number its label may start.
pub(crate) const FIELD_BYTES_MAX: usize = 40;

/// The CPR register (oid-base.com).
const OID: &[u8] = b"1.2.208.176.1.2";

/// The longest gap between two numbers of one list.
const LIST_GAP_BYTES_MAX: usize = 12;

/// What the field's text before `start` says.
pub(crate) fn naming_before(text: &[u8], start: usize) -> Naming {
    let window = &text[start.saturating_sub(FIELD_BYTES_MAX)..start];
    let field = assigned(&window[field_start(window)..]);
    let closing = field.windows(2).rposition(|pair| pair == b"</" || pair == b"/>");
    let is_closed = |at, closing| is_in_tag(field, at) && opens_before(field, at, closing);
    let naming = key::of_text(field, |at| closing.is_some_and(|closing| is_closed(at, closing)));
    Naming { strong: naming.strong || names_register(window), ..naming }
}

/// Whether a number that starts at `start` goes on a list whose previous number ended at `end`.
pub(crate) fn continues_list(text: &[u8], end: usize, start: usize) -> bool {
    let gap = text.get(end..start).unwrap_or_default();
    gap.len() <= LIST_GAP_BYTES_MAX
        && gap.iter().filter(|&&byte| byte == b',').count() == 1
        && gap.iter().all(|byte| b", \"'\\[]()".contains(byte))
}

/// Where the last delimiter or earlier number ends.
fn field_start(window: &[u8]) -> usize {
    let mut start = 0;
    let mut digits = 0;
    let mut at = 0;
    while at < window.len() {
        let rest = &window[at..];
        digits = if rest[0].is_ascii_digit() { digits + 1 } else { 0 };
        let (length, delimits) = piece(rest);
        at += length;
        if delimits || digits >= 6 {
            start = at;
        }
    }
    start
}

/// The length of the character or escape that `rest` starts with, and whether it ends a field.
fn piece(rest: &[u8]) -> (usize, bool) {
    if let Some(length) = entity(rest) {
        return (length, false);
    }
    match rest {
        [b'&' | b';' | b',' | b'{' | b'}' | b'|' | b'\r' | b'\n' | 0, ..] => (1, true),
        [b'\\', b'n' | b'r', ..] => (2, true),
        [b'%', b'2', b'6' | b'c' | b'C', ..] => (3, true),
        [b'%', b'3', b'b' | b'B', ..] => (3, true),
        [b'%', b'7', b'b' | b'B' | b'c' | b'C' | b'd' | b'D', ..] => (3, true),
        [b'%', b'0', b'a' | b'A' | b'd' | b'D', ..] => (3, true),
        [b'%', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => (3, false),
        _ => (1, false),
    }
}

/// The length of an HTML entity that stands for a space, quotation mark or numbered character.
fn entity(rest: &[u8]) -> Option<usize> {
    const NAMED: [&[u8]; 3] = [b"&nbsp;", b"&quot;", b"&apos;"];
    if let Some(named) = NAMED.iter().find(|named| rest.starts_with(named)) {
        return Some(named.len());
    }
    let body = rest.strip_prefix(b"&#")?;
    let digits = body.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
    (body.get(digits) == Some(&b';')).then_some(digits + 3)
}

/// The part of a field that is assigned to the number by `=` or `:`, or all of it.
fn assigned(field: &[u8]) -> &[u8] {
    let label_end = field.iter().rposition(|byte| !b" \t\"'\\[(>".contains(byte)).map_or(0, |last| last + 1);
    let Some((sign, label)) = field[..label_end].split_last().filter(|(sign, _)| b"=:".contains(sign)) else {
        return field;
    };
    let name_end = label.iter().rposition(|byte| byte != sign).map_or(0, |last| last + 1);
    let start = label[..name_end].iter().rposition(|byte| byte == sign).map_or(0, |at| at + 1);
    &field[start..]
}

/// Whether `at` lies between `<` and `>`; a `>` without its `<` closes a tag that started before the text.
fn is_in_tag(text: &[u8], at: usize) -> bool {
    let is_bracket = |byte: &u8| matches!(byte, b'<' | b'>');
    match text[..at].iter().rfind(|byte| is_bracket(byte)) {
        Some(bracket) => *bracket == b'<',
        None => text[at..].iter().find(|byte| is_bracket(byte)) == Some(&b'>'),
    }
}

/// Whether the tag around `at` opened before the last closing tag, or is that tag.
fn opens_before(text: &[u8], at: usize, closing: usize) -> bool {
    text[..at].iter().rposition(|&byte| byte == b'<').is_none_or(|open| open <= closing)
}

/// Whether the OID of the register stands in the window, and not as the start of a longer one.
fn names_register(window: &[u8]) -> bool {
    window.windows(OID.len()).enumerate().any(|(at, part)| {
        let longer = match &window[at + OID.len()..] {
            [b'.', next, ..] | [next, ..] => next.is_ascii_digit(),
            [] => false,
        };
        part == OID && !longer
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let naming = naming_before(text.as_bytes(), text.len());
        let found = [(naming.strong, 's'), (naming.weak, 'w'), (naming.denied, 'd')];
        let found: std::string::String =
            found.iter().filter(|(holds, _)| *holds).map(|(_, letter)| *letter).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn labels_of_the_same_field() {
        check("cpr=", "s");
        check("{\"cpr\":\"", "s");
        check("{\\\"cpr\\\":\\\"", "s");
        check("%22cpr%22%3A%22", "s");
        check("CPR-nr.: ", "s");
        check("CPR&nbsp;nr.:&nbsp;", "s");
        check("Personnummer på patienten: ", "sw");
        check("<cpr>", "s");
        check("<td>CPR</td><td>", "s");
        check("<b>CPR:</b> ", "s");
        check("<field name=\"cpr\">", "s");
        check("<p ts=\"\" cpr=\"", "s");
        check("cpr => '", "s");
        check("cpr: [\"", "s");
        check("urn:oid:1.2.208.176.1.2:", "s");
        check("\"system\":\"urn:oid:1.2.208.176.1.2\",\"value\":\"", "s");
        check("patient ", "w");
        check("ordre nr. ", "d");
        check("\"iat\":", "d");
    }

    #[test]
    fn no_label_of_another_field() {
        check("cpr=x&id=", "");
        check("cpr=x;id=", "");
        check("cpr=x&amp;id=", "");
        check("\"cpr\":null,\"id\":\"", "");
        check("{\"cpr\":{\"id\":\"", "");
        check("%22cpr%22%3Anull%2C%22id%22%3A", "");
        check("cpr%3Dx%26id%3D", "");
        check("cpr\nid ", "");
        check("cpr\\nid ", "");
        check("cpr|", "");
        check("cpr=none ts=", "d");
        check("cpr:none ts:", "d");
        check("<p cpr=\"none\" ts=\"", "d");
        check("<cpr>none</cpr><id>", "");
        check("<cpr/><id>", "");
        check("pr>none</cpr><id>", "");
        check("</cpr><id>", "");
        check("cpr 123456 ", "");
        check("cpr 010190-1234 ", "");
        check("1.2.208.176.1.21:", "");
        check("1.2.208.176.1.2.3:", "");
        check("cpr ......................................... ", "");
        check("", "");
    }

    #[test]
    fn lists() {
        let check = |gap: &str, expected: bool| {
            assert_eq!(continues_list(gap.as_bytes(), 0, gap.len()), expected, "{gap}");
        };
        check(",", true);
        check("\", \"", true);
        check("\\\",\\\"", true);
        check("", false);
        check(" ", false);
        check(",,", false);
        check(";", false);
        check(",\n", false);
        check("\",\"id\":\"", false);
        check(",                              ", false);
    }
}
