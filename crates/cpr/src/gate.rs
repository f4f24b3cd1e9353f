//! Whether a token stands alone, or is a piece of something longer: a decimal, an id, a UUID, a hash.
//!
//! A digit, a letter, or `.` `-` with a letter or digit behind it, on either side, makes it a piece. Three
//! things do not: `_`; a keyword that ends directly before (`cprnr0101...`, `cpr-0101...`); an escape that
//! means something else (`%22`, `\n`). A comma makes it a piece only as a decimal comma: with a digit
//! behind it, and not beside the official hyphenated form, which no decimal takes. Without that
//! exception no comma-separated table could be read.

use crate::escape::{character_after, character_before, escape_before};
use crate::{Candidate, Place, Shape};

/// What may end directly before a number, with at most one of `._-` between. Lower case.
const KEYWORDS: [&[u8]; 13] = [
    b"cpr",
    b"cprnr",
    b"cpr-nr",
    b"cpr_nr",
    b"cpr nr",
    b"cpr.nr",
    b"cprno",
    b"cprnummer",
    b"cpr-nummer",
    b"cprnumber",
    b"personnr",
    b"personnummer",
    b"1.2.208.176.1.2",
];

/// Whether neither side ties the token to something longer.
pub(crate) fn stands_alone(text: &[u8], candidate: &Candidate) -> bool {
    let ties: Ties = if candidate.shape == Shape::Hyphen { joins } else { joins_or_decimal };
    left_is_open(text, candidate, ties) && right_is_open(text, candidate.end, ties)
}

/// Whether the token may stand alone in some reading of the text, in which any punctuation beside it is the border of a
/// value.
pub(crate) fn may_stand_alone(text: &[u8], candidate: &Candidate) -> bool {
    left_is_open(text, candidate, is_of_word) && right_is_open(text, candidate.end, is_of_word)
}

/// Whether the token is the whole of a path segment or of a query value, so that nothing but its place
/// says what it is. Always false in other places.
pub(crate) fn is_whole_value(text: &[u8], candidate: &Candidate, place: Place) -> bool {
    let (opening, closing): (&[u8], &[u8]) = match place {
        Place::UrlPath => (b"/", b"/?#; "),
        Place::UrlQuery => (b"=?&", b"&;# "),
        Place::Other => return false,
    };
    let before = candidate.start.checked_sub(1).and_then(|at| text.get(at));
    let after = text.get(candidate.end);
    before.is_none_or(|byte| opening.contains(byte)) && after.is_none_or(|byte| closing.contains(byte))
}

fn left_is_open(text: &[u8], candidate: &Candidate, ties: Ties) -> bool {
    if text[..candidate.start].last().is_some_and(u8::is_ascii_digit) {
        return excess_is_escape(text, candidate, ties);
    }
    if starts_inside_escape(text, candidate.start) {
        return false;
    }
    let Some((neighbour, at)) = character_before(text, candidate.start) else {
        return true;
    };
    let beyond = character_before(text, at).map(|(character, _)| character);
    !ties(neighbour, beyond) || keyword_ends_at(text, candidate.start)
}

/// The digits of the run before the token must all belong to an escape, as in `%22` + number.
fn excess_is_escape(text: &[u8], candidate: &Candidate, ties: Ties) -> bool {
    let Some((neighbour, at)) = escape_before(text, candidate.start) else {
        return false;
    };
    let beyond = character_before(text, at).map(|(character, _)| character);
    !ties(neighbour, beyond)
}

/// Whether the first digits after `at` belong to an escape: `%20` + eight digits is no number of ten. An SQL
/// pattern (`LIKE '%...%'`) is told apart by the quotation mark before its percent sign.
fn starts_inside_escape(text: &[u8], at: usize) -> bool {
    match &text[..at] {
        [.., b'\'' | b'"', b'%'] | [b'%'] => false,
        [.., b'%'] | [.., b'&', b'#'] => true,
        _ => false,
    }
}

fn right_is_open(text: &[u8], end: usize, ties: Ties) -> bool {
    let Some((neighbour, at)) = character_after(text, end) else {
        return true;
    };
    let beyond = character_after(text, at).map(|(character, _)| character);
    !ties(neighbour, beyond)
}

/// Whether a neighbour, with what is beyond it, ties a token to something longer.
type Ties = fn(char, Option<char>) -> bool;

fn is_of_word(neighbour: char, _beyond: Option<char>) -> bool {
    neighbour.is_alphanumeric()
}

fn joins(neighbour: char, beyond: Option<char>) -> bool {
    match neighbour {
        '.' | '-' => beyond.is_some_and(char::is_alphanumeric),
        character => character.is_alphanumeric(),
    }
}

fn joins_or_decimal(neighbour: char, beyond: Option<char>) -> bool {
    match neighbour {
        ',' => beyond.is_some_and(|character| character.is_ascii_digit()),
        _ => joins(neighbour, beyond),
    }
}

fn keyword_ends_at(text: &[u8], at: usize) -> bool {
    let before = match &text[..at] {
        [before @ .., b'.' | b'_' | b'-'] => before,
        before => before,
    };
    KEYWORDS.iter().any(|keyword| {
        before.len() >= keyword.len() && before[before.len() - keyword.len()..].eq_ignore_ascii_case(keyword)
    })
}
