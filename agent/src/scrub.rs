//! Takes CPR numbers, and whatever a terminal would obey, out of names.
//!
//! Attackers shape hosts, paths, fields and program names. A number may stand there plainly,
//! percent-encoded, or as hex or base64 of its digits; each becomes `{}`.
//!
//! *Invariants*: the text is scrubbed before it is cut, so no cut shows part of a number.
//! *Limits*: [`NAME_BYTES_MAX`] bytes come out; [`READ_BYTES_MAX`] are looked at; percent-encoding is
//! undone [`PERCENT_DEPTH_MAX`] times, and what is still encoded then is `{}` as a whole.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::LazyLock;

use cprvagt_report::{Scrub, Scrubbed};
use data_encoding::Encoding;
use percent_encoding::percent_decode;

/// Longest name that comes out, in bytes.
pub const NAME_BYTES_MAX: usize = 256;

/// Most of a name that is looked at, in bytes.
const READ_BYTES_MAX: usize = 2048;

/// Dropped from the end of what comes out when a name is longer than what is looked at: more characters than
/// any start of a number takes, encoded or not.
const CUT_MARGIN_CHARS: usize = 64;

/// How many times percent-encoding is undone.
const PERCENT_DEPTH_MAX: usize = 4;

/// What stands for a number.
const HOLE: &str = "{}";

/// Shortest hex form of ten digits.
const HEX_CHARS_MIN: usize = 20;

/// Shortest base64 form of ten digits, padding left out.
const BASE64_CHARS_MIN: usize = 14;

/// Shortest run of digits at the cut of a command name that is taken for the start of a number.
const CUT_DIGITS_MIN: usize = 4;

/// Base64 in its standard and its URL-safe alphabet, without padding, cut anywhere.
static BASE64_EITHER: LazyLock<Encoding> = LazyLock::new(|| {
    let mut either = data_encoding::BASE64URL_NOPAD.specification();
    either.check_trailing_bits = false;
    either.translate.from.push_str("+/");
    either.translate.to.push_str("-_");
    either.encoding().expect("the alphabet stays as it is")
});

/// Longest command name that the kernel keeps.
const COMM_BYTES_MAX: usize = 15;

/// The scrubber at one moment: whether digits are a possible birth date depends on it.
#[derive(Clone, Copy, Debug)]
pub struct Scrubber {
    now_unix: i64,
}

impl Scrubber {
    /// The scrubber at `now_unix` seconds of Unix time.
    pub const fn at(now_unix: i64) -> Self {
        Self { now_unix }
    }

    /// A name without numbers.
    pub fn name(&self, text: impl AsRef<[u8]>) -> Scrubbed {
        Scrubbed::by(self, text)
    }

    /// A URL path with each id-like segment replaced by `{}`; query and fragment are left out.
    pub fn path(&self, path: impl AsRef<[u8]>) -> Scrubbed {
        Scrubbed::by(&PathScrubber(self), path)
    }

    /// A command name. The kernel cuts it at 15 bytes: digits at that cut may be the start of a number.
    pub fn comm(&self, comm: impl AsRef<[u8]>) -> Scrubbed {
        Scrubbed::by(&CommScrubber(self), comm)
    }

    /// Everything but the cut to [`NAME_BYTES_MAX`].
    fn whole(&self, text: &[u8]) -> String {
        let Some(start) = text.get(..READ_BYTES_MAX).filter(|start| start.len() < text.len()) else {
            return self.decoded(&self.cleared(&readable(text)));
        };
        let shown = self.decoded(&self.cleared(&readable(start)));
        let kept = shown.chars().count().saturating_sub(CUT_MARGIN_CHARS);
        shown.chars().take(kept).chain(['…']).collect()
    }

    /// `text`, or its percent-decoded form if that is where numbers stand.
    fn decoded(&self, text: &str) -> String {
        let (mut shown, mut inner) = (text.to_owned(), text.to_owned());
        for _ in 0..PERCENT_DEPTH_MAX {
            let decoded = readable(&Cow::from(percent_decode(inner.as_bytes())));
            if decoded == inner {
                return shown;
            }
            inner = self.cleared(&decoded);
            if inner != decoded {
                shown = inner.clone();
            }
        }
        if readable(&Cow::from(percent_decode(inner.as_bytes()))) == inner { shown } else { HOLE.to_owned() }
    }

    /// `text` with each number that stands there plainly, as hex or as base64 replaced.
    fn cleared(&self, text: &str) -> String {
        let text = replace_runs(text, |c| c.is_ascii_hexdigit(), |run| self.is_in_any(from_hex(run)));
        let base64 = |run: &str| self.is_in_any(from_base64(run));
        // A slash is a character of base64, and parts paths: what hides beside none of them is taken first.
        let text = replace_runs(&text, |c| in_base64(c) && c != '/', base64);
        self.plain(&replace_runs(&text, in_base64, base64))
    }

    /// `text` with each number that stands there plainly replaced.
    fn plain(&self, text: &str) -> String {
        let ranges = self.numbers(text.as_bytes());
        let mut left = String::with_capacity(text.len());
        let mut from = 0;
        for range in ranges {
            left.push_str(text.get(from..range.start).unwrap_or_default());
            left.push_str(HOLE);
            from = range.end;
        }
        left.push_str(text.get(from..).unwrap_or_default());
        left
    }

    /// Where numbers stand, ascending and disjoint.
    fn numbers(&self, text: &[u8]) -> Vec<Range<usize>> {
        let mut found: Vec<Range<usize>> = Vec::new();
        cprvagt_cpr::scrub_ranges(text, self.now_unix, &mut |range| found.push(range));
        found.sort_by_key(|range| range.start);
        let mut disjoint: Vec<Range<usize>> = Vec::with_capacity(found.len());
        for range in found {
            match disjoint.last_mut() {
                Some(last) if range.start < last.end => last.end = last.end.max(range.end),
                _ => disjoint.push(range),
            }
        }
        disjoint
    }

    fn is_in_any(&self, mut forms: impl Iterator<Item = Vec<u8>>) -> bool {
        forms.any(|bytes| !self.numbers(&bytes).is_empty())
    }
}

impl Scrub for Scrubber {
    fn scrub(&self, text: &[u8]) -> String {
        cut(self.whole(text))
    }
}

struct PathScrubber<'a>(&'a Scrubber);

impl Scrub for PathScrubber<'_> {
    fn scrub(&self, path: &[u8]) -> String {
        let end = path.iter().position(|byte| matches!(byte, b'?' | b'#')).unwrap_or(path.len());
        let path = self.0.whole(&path[..end]);
        let segments: Vec<&str> = path.split('/').map(|it| if is_id_like(it) { HOLE } else { it }).collect();
        cut(segments.join("/"))
    }
}

struct CommScrubber<'a>(&'a Scrubber);

impl Scrub for CommScrubber<'_> {
    fn scrub(&self, comm: &[u8]) -> String {
        let text = self.0.whole(comm);
        let before = text.trim_end_matches(|c: char| c.is_ascii_digit() || c == '-');
        let tail = text[before.len()..].trim_start_matches('-');
        let may_be_cut = comm.len() >= COMM_BYTES_MAX && tail.len() >= CUT_DIGITS_MIN;
        if may_be_cut { text.strip_suffix(tail).unwrap_or(before).to_owned() + HOLE } else { text }
    }
}

/// `text` as text without controls, escape sequences and direction marks.
fn readable(text: &[u8]) -> String {
    without_escapes(&String::from_utf8_lossy(text))
}

fn without_escapes(text: &str) -> String {
    let mut left = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' && chars.next_if_eq(&'[').is_some() {
            // The rest of a control sequence (ECMA-48, 5.4): parameters up to a final byte.
            while chars.next_if(|c| matches!(c, '\u{20}'..='\u{3f}')).is_some() {}
            chars.next_if(|c| matches!(c, '\u{40}'..='\u{7e}'));
        } else if !is_invisible(c) {
            left.push(c);
        }
    }
    left
}

/// Controls, and the marks that reorder or hide text on a screen.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// At most [`NAME_BYTES_MAX`] bytes, the last of them an ellipsis where something is left out.
fn cut(mut text: String) -> String {
    if text.len() > NAME_BYTES_MAX {
        text.truncate(text.floor_char_boundary(NAME_BYTES_MAX - '…'.len_utf8()));
        text.push('…');
    }
    text
}

/// Replaces each run of characters that `is_hiding` by `{}`.
fn replace_runs(text: &str, in_run: impl Fn(char) -> bool, is_hiding: impl Fn(&str) -> bool) -> String {
    let mut left = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let inside = in_run(first);
        let end = rest.find(|c| in_run(c) != inside).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        left.push_str(if inside && is_hiding(run) { HOLE } else { run });
        rest = after;
    }
    left
}

/// What a run of hex may say, whichever digit of a byte it starts with.
fn from_hex(run: &str) -> impl Iterator<Item = Vec<u8>> + '_ {
    let starts = (0..2).filter_map(|start| run.get(start..)).filter(|rest| rest.len() >= HEX_CHARS_MIN);
    let whole = starts.filter_map(|rest| rest.get(..rest.len() & !1));
    whole.filter_map(|rest| data_encoding::HEXLOWER_PERMISSIVE.decode(rest.as_bytes()).ok())
}

fn in_base64(c: char) -> bool {
    c.is_ascii_alphanumeric() || "+-_/".contains(c)
}

/// What a run of base64 may say, in either alphabet, whichever character of a group it starts with.
fn from_base64(run: &str) -> impl Iterator<Item = Vec<u8>> + '_ {
    let starts = (0..4).filter_map(|start| run.get(start..)).filter(|rest| rest.len() >= BASE64_CHARS_MIN);
    // One character over whole groups says nothing.
    let whole = starts.map(|rest| &rest[..rest.len() - usize::from(rest.len() % 4 == 1)]);
    whole.filter_map(|rest| BASE64_EITHER.decode(rest.as_bytes()).ok())
}

/// Whether a path segment names one thing rather than a kind of thing.
fn is_id_like(segment: &str) -> bool {
    let digits = segment.bytes().filter(u8::is_ascii_digit).count();
    let all_digits = digits > 0 && digits == segment.len();
    segment.contains(HOLE) || segment.contains('@') || all_digits || digits >= 4 || is_random(segment)
}

/// Long hex, and long runs that mix cases and digits as base64 does.
fn is_random(segment: &str) -> bool {
    let has = |kind: fn(&u8) -> bool| segment.bytes().any(|byte| kind(&byte));
    let hex = segment.len() >= 8 && segment.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    let base64 = segment.len() >= 20
        && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-_=.~".contains(&byte));
    let mixed = has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase) && has(u8::is_ascii_digit);
    (hex && has(u8::is_ascii_digit)) || (base64 && mixed)
}

#[cfg(test)]
#[path = "scrub_tests.rs"]
mod tests;
