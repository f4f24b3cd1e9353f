//! The decoder: however a stream is cut, the same comes out; whatever happens, each byte counts once.

use std::collections::BTreeSet;

use cprvagt_cpr::{Place, Scene, scan};
use cprvagt_stream::{Decoder, Decoding, Part, Window};

/// A day in 2100: the people of the corpus are not born yet.
const NOW_UNIX: i64 = 4_102_444_800;
/// What one direction may hold: its content, and a decompressor's window and tables.
const HELD_BYTES_MAX: usize = (3 << 20) + (200 << 10);
/// Longer streams may show raw pieces before the end of a message, which depends on the cuts.
const STREAM_BYTES_MAX: usize = 48 << 10;

/// The first byte says how the rest is cut, the second what happens between.
pub fn stream_decode(bytes: &[u8]) {
    if let Some((&choice, stream)) = bytes.split_first_chunk() {
        check(choice, stream);
    }
}

/// However it is cut, and whatever happens between.
pub(crate) fn check([cuts, events]: [u8; 2], stream: &[u8]) {
    if stream.len() > STREAM_BYTES_MAX {
        return;
    }
    let whole = Seen::of(Decoder::stream(), &[stream], 0);
    let pieces = cut(stream, cuts);
    let cut = Seen::of(Decoder::stream(), &pieces, 0);
    assert_eq!(cut.specific, whole.specific, "a cut changes values");
    assert_eq!(cut.numbers, whole.numbers, "a cut changes numbers");
    let stirred = Seen::of(Decoder::stream(), &pieces, events);
    let datagrams = Seen::of(Decoder::datagram(), &pieces, events);
    for seen in [whole, cut, stirred, datagrams] {
        assert_eq!(seen.counted, stream.len() as u64, "each byte counts once");
    }
}

/// Pieces of two lengths in turn: one of 1 to 16 bytes, one of 1 to 241.
fn cut(mut stream: &[u8], cuts: u8) -> Vec<&[u8]> {
    let lengths = [usize::from(cuts & 15) + 1, usize::from(cuts >> 4) * 16 + 1];
    let mut pieces = Vec::new();
    while !stream.is_empty() {
        let (piece, rest) = stream.split_at(stream.len().min(lengths[pieces.len() % 2]));
        pieces.push(piece);
        stream = rest;
    }
    pieces
}

/// What identifies a window that names a place in a message, however it came about.
type Specific = (u64, Part, Option<String>, Vec<Decoding>, Vec<u8>);
/// Message, part, field and digits of a number, when an earlier window of the message has not shown it.
type Shown = (u64, Part, Option<String>, [u8; 10]);

/// What came out of a decoder.
#[derive(Default)]
struct Seen {
    specific: BTreeSet<Specific>,
    numbers: BTreeSet<Shown>,
    counted: u64,
    message: u64,
}

impl Seen {
    /// Behind each piece: a pause where its bit of `events` is set, and a gap at every ninth.
    fn of(mut decoder: Decoder, pieces: &[&[u8]], events: u8) -> Self {
        let mut seen = Self::default();
        for (at, piece) in pieces.iter().enumerate() {
            decoder.push(piece, &mut |window| seen.take(&window));
            if events & (1 << (at % 8)) != 0 {
                decoder.quiet(&mut |window| seen.take(&window));
            }
            if events != 0 && at % 9 == 8 {
                decoder.gap(u64::from(events), &mut |window| seen.take(&window));
            }
            assert!(decoder.held_bytes() <= HELD_BYTES_MAX, "{} bytes held", decoder.held_bytes());
        }
        decoder.finish(&mut |window| seen.take(&window));
        seen.forget_raw();
        seen
    }

    /// Whether raw bytes come before a value that has the same number at another place depends on the cuts.
    fn forget_raw(&mut self) {
        let by_name = self.numbers.iter().filter(|(_, part, ..)| part.is_specific());
        let by_name: BTreeSet<_> = by_name.map(|(message, _, _, digits)| (*message, *digits)).collect();
        let is_told = |message: &u64, part: &Part, digits: &[u8; 10]| {
            part.is_specific() || !by_name.contains(&(*message, *digits))
        };
        self.numbers.retain(|(message, part, _, digits)| is_told(message, part, digits));
    }

    fn take(&mut self, window: &Window<'_>) {
        assert!(window.owned.start <= window.owned.end && window.owned.end <= window.bytes.len());
        let is_in_order = window.message >= self.message || window.protocol.interleaves();
        assert!(is_in_order, "messages do not go back");
        self.message = self.message.max(window.message);
        self.counted += window.counted;
        let field = window.field.map(str::to_owned);
        if window.part.is_specific() {
            let content = window.bytes[window.owned.clone()].to_vec();
            let decodings = window.decodings.to_vec();
            self.specific.insert((window.message, window.part, field.clone(), decodings, content));
        }
        let scene = Scene { key: window.field, place: Place::Other, now_unix: NOW_UNIX };
        scan(window.bytes, &scene, &mut |hit| {
            let digits = *hit.number.digits();
            if window.owned.contains(&hit.start) && !self.knows(window, digits) {
                self.numbers.insert((window.message, window.part, field.clone(), digits));
            }
        });
    }

    /// Whether the same part, or for raw bytes any part, of the message has shown the number.
    fn knows(&self, window: &Window<'_>, digits: [u8; 10]) -> bool {
        self.numbers.iter().any(|(message, part, _, other)| {
            *message == window.message
                && *other == digits
                && (*part == window.part || !window.part.is_specific())
        })
    }
}
