//! Words of a text: runs of bytes without white space, looked into where they may hold something encoded.
//!
//! *Limits*: a word of more than [`WORD_BYTES_MAX`] is looked into in pieces that overlap.

use std::ops::Range;

use crate::outlet::Outlet;
use crate::parser::Scene;
use crate::survey;
use crate::token::{Mode, SPLIT_OVERLAP_BYTES, Spot};
use crate::within;

/// Longest word that is looked into as one.
const WORD_BYTES_MAX: usize = 8 << 10;

/// Words that are looked at as a whole: a little less than the survey marks at a time.
const PIECE_BYTES: usize = 2000;

/// Reads on; returns where the first word begins that is not whole.
pub(crate) fn run(scene: &Scene<'_>, outlet: &mut Outlet<'_, '_>) -> usize {
    let buf = scene.buf;
    let space = buf[scene.from..].iter().rposition(u8::is_ascii_whitespace);
    let mut last = space.map_or(scene.from, |at| scene.from + at);
    look(scene, scene.from..last, outlet);
    while buf.len() - last >= WORD_BYTES_MAX {
        look(scene, last..last + WORD_BYTES_MAX, outlet);
        last += WORD_BYTES_MAX - SPLIT_OVERLAP_BYTES;
    }
    if matches!(scene.mode, Mode::Settle | Mode::End) {
        look(scene, last..buf.len(), outlet);
    }
    if scene.mode == Mode::End { buf.len() } else { last }
}

/// Looks into the words of a range: first at many of them as a whole, since most texts have nothing encoded.
fn look(scene: &Scene<'_>, range: Range<usize>, outlet: &mut Outlet<'_, '_>) {
    let mut from = range.start;
    while from < range.end {
        let rough = range.end.min(from + PIECE_BYTES);
        let rest = &scene.buf[rough..range.end];
        let end = rest.iter().position(u8::is_ascii_whitespace).map_or(range.end, |at| rough + at);
        // No sign of something encoded goes over white space.
        if survey::is_encoded_in(&scene.buf[from..end]) {
            look_at_each(scene, from..end, outlet);
        }
        from = end;
    }
}

/// Looks into each word by itself: which come together depends on how the bytes came.
fn look_at_each(scene: &Scene<'_>, range: Range<usize>, outlet: &mut Outlet<'_, '_>) {
    let mut at = range.start;
    for word in scene.buf[range].split(u8::is_ascii_whitespace) {
        if word.len() >= within::LOOK_BYTES_MIN && survey::is_encoded_in(word) {
            let source = (scene.source)(at..at + word.len());
            let spot = Spot { part: scene.frame.part, field: scene.frame.field, source };
            outlet.message = (scene.message)(at);
            within::look_into_word(word, &spot, scene.frame.trail, outlet);
        }
        at += word.len() + 1;
    }
}
