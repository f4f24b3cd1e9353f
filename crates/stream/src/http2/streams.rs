//! The open streams of one direction: what belongs to a message, and its content so far.
//!
//! *Limits*: [`STREAMS_MAX`]; the oldest ends for one more. Together they hold [`HELD_BYTES_MAX`]; beyond, the stream
//! that grows shows its content as it stands and from there on without its values.

use std::collections::BTreeMap;

use crate::content::Content;
use crate::said::Said;
use crate::window::{Part, Place, Protocol, Sink};

/// Most streams whose content is followed at a time; servers allow 100 or 128.
pub(crate) const STREAMS_MAX: usize = 128;

/// Most bytes that the content of all streams holds: the window of a decompressor (1 MiB), and as much for the rest.
pub(crate) const HELD_BYTES_MAX: usize = 2 << 20;

/// The message of a stream.
pub(super) struct Message {
    pub(super) place: Place,
    content: Content,
}

/// See the module.
#[derive(Default)]
pub(super) struct Streams {
    open: BTreeMap<u32, Message>,
    held: usize,
}

impl Message {
    pub(super) fn new(place: Place, said: &Said<'_>) -> Self {
        Self { place, content: Content::of(Part::Body, said, &[]) }
    }

    /// Content of a message whose start was not seen.
    fn stray(message: u64) -> Self {
        let place = Place { protocol: Protocol::Http2, ..Place::raw(message) };
        Self { place, content: Content::of(Part::Body, &Said::default(), &[]).successor() }
    }
}

impl Streams {
    /// The message of a stream, if it is open.
    pub(super) fn get(&self, stream: u32) -> Option<&Message> {
        self.open.get(&stream)
    }

    /// A message begins on a stream, and ends what was there.
    pub(super) fn begin(&mut self, stream: u32, message: Message, out: &mut Sink<'_>) {
        self.end(stream, out);
        if self.open.len() >= STREAMS_MAX
            && let Some((&oldest, _)) = self.open.first_key_value()
        {
            self.end(oldest, out);
        }
        self.open.insert(stream, message);
    }

    /// Takes data of a stream; returns whether it has a message of its own from now on, numbered `next`.
    pub(super) fn data(&mut self, stream: u32, bytes: &[u8], at: u64, next: u64, out: &mut Sink<'_>) -> bool {
        let is_stray = !self.open.contains_key(&stream);
        if is_stray {
            self.begin(stream, Message::stray(next), out);
        }
        if let Some(Message { place, content }) = self.open.get_mut(&stream) {
            let before = content.held_bytes();
            content.push(bytes, at, place, out);
            self.held = self.held + content.held_bytes() - before;
            if self.held > HELD_BYTES_MAX {
                self.held -= content.held_bytes();
                content.end_here(place, out);
                *content = content.successor();
            }
        }
        is_stray
    }

    /// Data of a stream is missing.
    pub(super) fn skip(&mut self, stream: u32, out: &mut Sink<'_>) {
        if let Some(Message { place, content }) = self.open.get_mut(&stream) {
            self.held -= content.held_bytes();
            content.end_here(place, out);
            *content = content.successor();
        }
    }

    /// No bytes for a while.
    pub(super) fn settle(&mut self, out: &mut Sink<'_>) {
        for Message { place, content } in self.open.values_mut() {
            let before = content.held_bytes();
            content.settle(place, out);
            self.held = self.held + content.held_bytes() - before;
        }
    }

    /// A stream ends.
    pub(super) fn end(&mut self, stream: u32, out: &mut Sink<'_>) {
        if let Some(Message { place, mut content }) = self.open.remove(&stream) {
            self.held -= content.held_bytes();
            content.end_here(&place, out);
        }
    }

    /// All streams end.
    pub(super) fn end_all(&mut self, out: &mut Sink<'_>) {
        while let Some((&oldest, _)) = self.open.first_key_value() {
            self.end(oldest, out);
        }
    }

    /// Captured bytes held now.
    pub(super) const fn held_bytes(&self) -> usize {
        self.held
    }
}
