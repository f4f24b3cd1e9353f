//! A look at a text before its values are read: whether it may hold a number at all, as it stands or encoded.
//!
//! Most texts hold none, and a look costs a fraction of reading. It may be wrong in one direction only.
//!
//! The bytes are marked by kind, 64 at a time ([`ByteSets`]): where an escape may begin, where Base64 of three digits may,
//! and runs of digits and of Base64, found by shifts of the marks. Only what is marked is looked at by itself.

use std::mem;
use std::ops::{ControlFlow, Range};

use cprvagt_cpr::{Backend, ByteSets, Grammar, SetMarks, WORD_BYTES, find};

use crate::encoding::{Coding, is_base64};
use crate::hidden::{self, Hidden};
use crate::start;
use crate::text::is_text;
use crate::token;

/// Digits of a number.
const DIGITS: usize = 10;

/// Shortest run of Base64 in a long text that is looked into though no digit shows in it.
const LONG_RUN_BYTES: usize = 40;

/// From one place in a long run to the next at which something readable may begin: whole groups of four characters.
const LONG_RUN_STEP: usize = 32;

/// Words of marks made at a time.
const WORDS: usize = 16;

const DIGIT: u8 = 1 << 0;
const BASE64: u8 = 1 << 1;
const ESCAPE: u8 = 1 << 2;
const GROUP: u8 = 1 << 3;

/// By the upper and the lower half of a byte.
static SIGNS: ByteSets = ByteSets::new([
    (1 << 3, 0x03FF, DIGIT | BASE64),
    (1 << 4, 0xE000, GROUP | BASE64),
    (1 << 4 | 1 << 6, 0xFFFE, BASE64),
    // With `_`, and delete, which is none.
    (1 << 5 | 1 << 7, 0x87FF, BASE64),
    // `+`, `-` and `/`.
    (1 << 2, 1 << 0xB | 1 << 0xD | 1 << 0xF, BASE64),
    // `%`, `&` and `+`.
    (1 << 2, 1 << 5 | 1 << 6 | 1 << 0xB, ESCAPE),
    (1 << 3, 1 << 0xD, ESCAPE),
    (1 << 5, 1 << 0xC, ESCAPE),
]);

/// Signs kept of one text; with more, all of it counts as one.
const SIGNS_MAX: usize = 1024;

/// Whether a text may hold a number at all, as it stands or encoded.
pub(crate) fn may_hold_number(text: &[u8]) -> bool {
    number_signs(text, |_| ControlFlow::Break(())).is_break()
}

/// Whether a text may hold something encoded.
pub(crate) fn is_encoded_in(text: &[u8]) -> bool {
    walk(text, |_| false, |_| ControlFlow::Break(())).is_break()
}

/// Where in a text there are signs of a number, in rising order and apart from each other.
#[derive(Default)]
pub(crate) struct Signs(Vec<Range<usize>>);

impl Signs {
    /// Those of `text` from `from` on, as places in all of it.
    pub(crate) fn of(text: &[u8], from: usize) -> Self {
        let mut found = Vec::new();
        let is_all = number_signs(&text[from..], |sign| {
            found.push(from + sign.start..from + sign.end);
            if found.len() < SIGNS_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        if is_all.is_break() {
            found.clear();
            found.push(from..text.len());
        }
        found.sort_unstable_by_key(|sign| sign.start);
        found.dedup_by(|next, last| {
            let joins = next.start <= last.end;
            last.end = if joins { last.end.max(next.end) } else { last.end };
            joins
        });
        Self(found)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one has a byte in a range.
    pub(crate) fn touch(&self, range: &Range<usize>) -> bool {
        let begun = self.0.partition_point(|sign| sign.start < range.end);
        self.0[..begun].last().is_some_and(|sign| sign.end > range.start)
    }
}

/// Tells each sign of a number, as it stands or encoded.
fn number_signs(text: &[u8], mut tell: impl FnMut(Range<usize>) -> ControlFlow<()>) -> ControlFlow<()> {
    walk(text, |run| run.len() == DIGITS && stands_alone(text, run), &mut tell)?;
    let mut flow = ControlFlow::Continue(());
    find(text, Grammar::Full, Backend::best(), &mut |candidate| {
        if flow.is_continue() && candidate.may_stand_alone(text) {
            flow = tell(candidate.start..candidate.end);
        }
    });
    flow
}

/// Tells each sign of something encoded, and each run of ten digits and more of which `is_number` holds.
fn walk(
    text: &[u8],
    is_number: impl Fn(&[u8]) -> bool,
    mut tell: impl FnMut(Range<usize>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let mut marks = [SetMarks::default(); WORDS];
    let (mut digits, mut base64) = (Runs::<DIGITS>::default(), Runs::<LONG_RUN_BYTES>::default());
    for from in (0..text.len()).step_by(WORDS * WORD_BYTES) {
        for (number, word) in SIGNS.mark(text, from, &mut marks).iter().enumerate() {
            let [digit, long, escape, group] = *word;
            let (digits, long) = (digits.next(digit), base64.next(long));
            // Most words have nothing, which one branch tells.
            if (escape | group != 0) | digits.may_begin() | (long.may_begin() && long.begun().any()) {
                let word = Word { at: from + number * WORD_BYTES, escape, group, digits, long };
                word.signs(text, &is_number).try_for_each(&mut tell)?;
            }
        }
    }
    ControlFlow::Continue(())
}

/// A word of marks of each kind that is looked at by itself.
struct Word {
    at: usize,
    escape: u64,
    group: u64,
    digits: Border<DIGITS>,
    long: Border<LONG_RUN_BYTES>,
}

impl Word {
    fn signs(&self, text: &[u8], is_number: impl Fn(&[u8]) -> bool) -> impl Iterator<Item = Range<usize>> {
        let escapes = places(self.at, self.escape).filter(|at| is_escape(&text[*at..]));
        let groups = places(self.at, self.group).filter(|at| hidden::is_group(&text[*at..]));
        let digits = self.digits.begun().places(self.at).filter_map(move |at| {
            let run = run_from(&text[at..], |byte| byte.is_ascii_digit());
            (is_number(run) || Hidden::of(run).hex()).then_some(at..at + run.len())
        });
        let long = self.long.begun().places(self.at).filter_map(|at| {
            let run = run_from(&text[at..], may_be_base64);
            is_any_readable(run).then_some(at..at + run.len())
        });
        escapes.chain(groups).map(|at| at..at + 1).chain(digits).chain(long)
    }
}

/// The places of the bits of a word, whose first is at `at`.
fn places(at: usize, mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let next = (word != 0).then(|| at + word.trailing_zeros() as usize);
        word &= word.wrapping_sub(1);
        next
    })
}

/// Finds where runs of at least `LEN` bits begin, each once, in words that follow each other.
#[derive(Default)]
struct Runs<const LEN: usize> {
    /// The word before.
    before: u64,
}

impl<const LEN: usize> Runs<LEN> {
    /// Goes on to the next word.
    fn next(&mut self, word: u64) -> Border<LEN> {
        Border { before: mem::replace(&mut self.before, word), word }
    }
}

/// A word and the one before it.
#[derive(Clone, Copy)]
struct Border<const LEN: usize> {
    before: u64,
    word: u64,
}

impl<const LEN: usize> Border<LEN> {
    /// Whether a run may reach its length in this word; it does not if not. A run over the border has half of its
    /// length on one side of it; one within a word has the bits of its middle.
    fn may_begin(self) -> bool {
        let half = LEN / 2;
        let edge = u64::MAX >> (64 - half);
        let within = match LEN.checked_sub(WORD_BYTES / 2) {
            None => starts_of_runs::<LEN>(self.word) != 0,
            Some(_) => !self.word & (u64::MAX << (WORD_BYTES - LEN)) & (u64::MAX >> (WORD_BYTES - LEN)) == 0,
        };
        within | (!self.word & edge == 0) | (!self.before & edge << (64 - half) == 0)
    }

    /// The runs that reach their length in this word.
    fn begun(self) -> Begun {
        let (earlier, here) = (self.before.leading_ones() as usize, self.word.trailing_ones() as usize);
        let goes_on = earlier > 0 && here > 0;
        let reaches_on = goes_on && earlier < LEN && earlier + here >= LEN;
        // What goes on is no run of this word's own.
        let own = if goes_on { self.word & self.word.wrapping_add(1) } else { self.word };
        Begun { earlier: reaches_on.then_some(earlier), here: starts_of_runs::<LEN>(own) }
    }
}

/// Where runs begin.
#[derive(Clone, Copy)]
struct Begun {
    /// So many bytes before a word.
    earlier: Option<usize>,
    /// In the word.
    here: u64,
}

impl Begun {
    fn any(self) -> bool {
        self.earlier.is_some() || self.here != 0
    }

    /// The places in a text in which the word is at `at`.
    fn places(self, at: usize) -> impl Iterator<Item = usize> {
        self.earlier.map(|earlier| at - earlier).into_iter().chain(places(at, self.here))
    }
}

/// Where runs of at least `LEN` bits begin in a word.
fn starts_of_runs<const LEN: usize>(word: u64) -> u64 {
    let (mut starts, mut len) = (word, 1);
    while len * 2 <= LEN {
        starts &= starts >> len;
        len *= 2;
    }
    starts &= starts >> (LEN - len);
    starts & !(starts << 1)
}

/// The run of bytes of a kind that a text begins with.
fn run_from(text: &[u8], is_kind: impl Fn(u8) -> bool) -> &[u8] {
    &text[..text.iter().position(|byte| !is_kind(*byte)).unwrap_or(text.len())]
}

/// Whether a run of digits is no piece of a word, such as an identifier in base 16.
fn stands_alone(text: &[u8], run: &[u8]) -> bool {
    let start = token::offset_in(text, run);
    let (before, behind) = (&text[..start], &text[start + run.len()..]);
    let is_word = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let is_escaped = matches!(before, [.., b'\\', _] | [.., b'%', _, _]);
    (is_escaped || !is_word(before.last())) && !is_word(behind.first())
}

/// Whether `bytes` begin with an escape of a digit, of a separator or of another escape.
fn is_escape(bytes: &[u8]) -> bool {
    let makes_separator = matches!(
        bytes,
        [b'\\', b't', b'0'..=b'9', ..] | [b'\\', b' ' | b'+'..=b'9' | b'_', ..] | [b'+', b'-', b'+', ..]
    );
    makes_separator || hidden::escape(bytes) != 0
}

/// Whether a byte is marked as Base64.
fn may_be_base64(byte: u8) -> bool {
    const DELETE: u8 = 0x7F;
    byte == DELETE || is_base64(byte)
}

/// Whether a long run of Base64 is text, or packed, from its beginning or from a place in it on.
fn is_any_readable(marked: &[u8]) -> bool {
    let runs = marked.split(|byte| !is_base64(*byte));
    let mut pieces = runs.flat_map(|run| run.windows(LONG_RUN_BYTES).step_by(LONG_RUN_STEP));
    pieces.any(|piece| {
        let plain = Coding::Base64.decoded(piece);
        is_text(plain.as_slice()) || start::is_packed(plain.as_slice())
    })
}

#[cfg(test)]
#[path = "survey_tests.rs"]
mod tests;
