//! What lies within a value: a text of its own (JSON, a document, a form), escapes that are still there once those of
//! the syntax are undone, and runs of Base64 or base 16.
//!
//! *Limits*: [`crate::trail::DEPTH_MAX`] in each other, and what [`crate::outlet::Meter`] allows; what lies deeper is
//! shown as it stands.

use std::ops::Range;

use crate::borders::Source;
use crate::content::Content;
use crate::encoding::{self, Coding};
use crate::escape;
use crate::form::Form;
use crate::hidden::Hidden;
use crate::json::Json;
use crate::markup::Markup;
use crate::outlet::Outlet;
use crate::parser::{Frame, Parser};
use crate::plain::Plain;
use crate::start::{self, Start};
use crate::text::is_text;
use crate::token::{self, Mode, Spot, Value};
use crate::trail::Trail;
use crate::window::Decoding;

/// Shortest value that is looked into: a shorter one cannot hold a number.
pub(crate) const LOOK_BYTES_MIN: usize = 10;

/// Shortest runs that can hold a number: ten digits in Base64 and in base 16.
const BASE64_BYTES_MIN: usize = 14;
const HEX_BYTES_MIN: usize = 20;

/// Escapes in a text by which it counts as quoted-printable without being announced.
const QUOTED_MIN: usize = 2;

/// Hands out what a value reads as, and what lies within it. The values of a text of its own come before that text.
pub(crate) fn show(bytes: &[u8], spot: &Spot<'_>, trail: &Trail, outlet: &mut Outlet<'_, '_>) {
    if bytes.len() >= LOOK_BYTES_MIN && own_text(bytes, spot, trail, outlet) {
        return spot.as_such(outlet.place).show(bytes, 0..bytes.len(), trail, outlet);
    }
    show_piece(bytes, 0..bytes.len(), spot, trail, outlet);
}

/// The same for a piece of a value, which answers for `owned`.
pub(crate) fn show_piece(
    bytes: &[u8],
    owned: Range<usize>,
    spot: &Spot<'_>,
    trail: &Trail,
    outlet: &mut Outlet<'_, '_>,
) {
    spot.show(bytes, owned, trail, outlet);
    look(bytes, spot, trail, outlet);
}

/// Hands out what is encoded in a text that was shown.
fn look(bytes: &[u8], spot: &Spot<'_>, trail: &Trail, outlet: &mut Outlet<'_, '_>) {
    if bytes.len() < LOOK_BYTES_MIN {
        return;
    }
    let hidden = Hidden::of(bytes);
    if let Some((plain, decoding)) = unescaped(bytes, hidden) {
        return show_undone(&plain, decoding, spot, trail, outlet);
    }
    if hidden.hex() {
        hex_runs(bytes, spot, trail, outlet);
    }
    for run in runs(bytes, encoding::is_base64, BASE64_BYTES_MIN) {
        base64_run(run, hidden, spot, trail, outlet);
    }
}

/// Reads a value that is a text of its own, if it is one.
fn own_text(bytes: &[u8], spot: &Spot<'_>, trail: &Trail, outlet: &mut Outlet<'_, '_>) -> bool {
    let text = bytes.trim_ascii();
    let step = (Mode::End, usize::MAX);
    let found = match (text.first(), text.last()) {
        (Some(b'{' | b'['), Some(b'}' | b']')) | (Some(b'<'), Some(b'>')) => start::of(text, true, None),
        (Some(byte), _) if byte.is_ascii_alphabetic() && is_form(text) => Some(Start::AsSaid),
        _ => None,
    };
    let Some(found) = found else { return false };
    let Some(trail) = trail.deeper().filter(|_| outlet.meter.make(bytes.len())) else { return false };
    let frame = Frame { part: spot.part, field: spot.field, trail: &trail };
    let keeps_part = !spot.part.is_of_body();
    let mut sink = |value: Value<'_>| {
        let part = if keeps_part { spot.part } else { value.part };
        Value { part, ..value }.show_in(&frame, spot.source.clone(), outlet);
    };
    match found {
        Start::Json => Json::default().run(text, 0, step, &mut sink),
        Start::Xml => Markup::xml().run(text, 0, step, &mut sink),
        Start::Html => Markup::html().run(text, 0, step, &mut sink),
        Start::AsSaid if text.first().is_some_and(u8::is_ascii_alphabetic) => {
            Form::default().run(text, 0, step, &mut sink)
        }
        _ => return false,
    };
    true
}

/// Whether a value is a form: several fields, all with a name that is a word.
fn is_form(text: &[u8]) -> bool {
    let is_word =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'[' | b']' | b'%');
    let is_field = |field: &[u8]| {
        let name = field.split(|byte| *byte == b'=').next().unwrap_or_default();
        !name.is_empty() && name.len() < field.len() && name.iter().all(is_word)
    };
    text.contains(&b'&') && !text.contains(&b';') && text.split(|byte| *byte == b'&').all(is_field)
}

/// What a text reads as once one kind of escapes is undone.
fn unescaped(bytes: &[u8], hidden: Hidden) -> Option<(Plain, Decoding)> {
    let percent = || escape::percent(bytes, false).map(|(plain, _)| (plain, Decoding::Percent));
    let entity = || escape::entities(bytes).map(|plain| (plain, Decoding::HtmlEntity));
    let script = || escape::script(bytes).map(|plain| (plain, Decoding::JsEscape));
    let quoted = || quoted(bytes).map(|plain| (plain, Decoding::QuotedPrintable));
    None.or_else(|| hidden.percent().then(percent).flatten())
        .or_else(|| hidden.entity().then(entity).flatten())
        .or_else(|| hidden.script().then(script).flatten())
        .or_else(|| hidden.quoted().then(quoted).flatten())
}

/// Undoes quoted-printable where every equals sign is an escape as mail programs write it.
fn quoted(bytes: &[u8]) -> Option<Plain> {
    let is_hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'A'..=b'F');
    let mut signs = memchr::memchr_iter(b'=', bytes);
    let is_escape = |at: usize| bytes.get(at + 1..at + 3).is_some_and(|pair| pair.iter().all(is_hex));
    let count = signs.try_fold(0, |count, at| is_escape(at).then_some(count + 1))?;
    (count >= QUOTED_MIN).then(|| Coding::Quoted.decoded(bytes))
}

/// Hands out what a value reads as behind a decoding, and what lies within that.
fn show_undone(
    plain: &Plain,
    decoding: Decoding,
    spot: &Spot<'_>,
    trail: &Trail,
    outlet: &mut Outlet<'_, '_>,
) {
    let Some(trail) = trail.with(decoding).deeper().filter(|_| outlet.meter.make(plain.len())) else {
        return;
    };
    show(plain.as_slice(), spot, &trail, outlet);
}

/// The longest runs of bytes of a kind.
fn runs(bytes: &[u8], is_kind: impl Fn(u8) -> bool, len_min: usize) -> impl Iterator<Item = &[u8]> {
    bytes.split(move |byte| !is_kind(*byte)).filter(move |run| run.len() >= len_min)
}

/// What is in base 16 may begin at either digit.
fn hex_runs(bytes: &[u8], spot: &Spot<'_>, trail: &Trail, outlet: &mut Outlet<'_, '_>) {
    for run in runs(bytes, |byte| byte.is_ascii_hexdigit(), HEX_BYTES_MIN) {
        for phase in 0..2 {
            let pairs = run[phase..].as_chunks::<2>().0;
            let plain =
                pairs.iter().filter_map(|[high, low]| escape::hex_pair(*high, *low)).collect::<Vec<u8>>();
            let plain = Plain::from(plain);
            if token::may_hold_number(plain.as_slice()) {
                show_undone(&plain, Decoding::Hex, spot, trail, outlet);
            }
        }
    }
}

/// Base64 begins where its run does, or, behind something else, at any of four characters.
fn base64_run(run: &[u8], hidden: Hidden, spot: &Spot<'_>, trail: &Trail, outlet: &mut Outlet<'_, '_>) {
    let plain = Coding::Base64.decoded(run);
    if start::is_packed(plain.as_slice()) {
        return unpack(&plain, spot, trail, outlet);
    }
    if is_text(plain.as_slice()) {
        return show_undone(&plain, Decoding::Base64, spot, trail, outlet);
    }
    for phase in (0..4).filter(|_| hidden.base64()) {
        let plain = Coding::Base64.decoded(&run[phase..]);
        if token::may_hold_number(plain.as_slice()) {
            show_undone(&plain, Decoding::Base64, spot, trail, outlet);
        }
    }
}

/// What is packed is a content of its own.
fn unpack(plain: &Plain, spot: &Spot<'_>, trail: &Trail, outlet: &mut Outlet<'_, '_>) {
    let Some(trail) = trail.with(Decoding::Base64).deeper().filter(|_| outlet.meter.make(plain.len())) else {
        return;
    };
    let mut content = Content::within(spot.part, spot.field, Parser::undecided(None), trail);
    content.feed(plain.as_slice(), Source::Of(spot.source.clone()), outlet);
    content.follow(Mode::End, outlet);
}

/// Hands out what is encoded in a word of a text that is shown anyway.
pub(crate) fn look_into_word(word: &[u8], spot: &Spot<'_>, trail: &Trail, outlet: &mut Outlet<'_, '_>) {
    if word.len() >= LOOK_BYTES_MIN && !own_text(word, spot, trail, outlet) {
        look(word, spot, trail, outlet);
    }
}
