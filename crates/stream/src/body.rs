//! The body of an HTTP message: its framing, and the content inside.

use crate::content::Content;
use crate::http::chunked::{Chunked, Event};
use crate::http::fields;
use crate::http::head::Framing;
use crate::plain::Plain;
use crate::said::Said;
use crate::window::{Decoding, Part, Place, Sink, Window};

/// See the module.
pub(crate) struct Body {
    pub(crate) place: Place,
    content: Content,
    frame: Frame,
}

/// How the end is known.
enum Frame {
    /// This many bytes to come.
    Length(u64),
    /// Chunks, and the framing between them, which is shown as it stands.
    Chunked(Box<(Chunked, Content)>),
    /// The stream's end.
    Close,
}

/// Whether the message goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    More,
    /// The message is complete, or its framing is broken.
    Over,
}

impl Body {
    pub(crate) fn new(place: Place, framing: Framing, said: &Said<'_>) -> Self {
        let (frame, outer): (_, &[Decoding]) = match framing {
            Framing::Length(length) => (Frame::Length(length), &[]),
            Framing::Chunked => (
                Frame::Chunked(Box::new((Chunked::default(), Content::lazy(Part::Raw)))),
                &[Decoding::Chunked],
            ),
            Framing::None | Framing::Close | Framing::Unsaid => (Frame::Close, &[]),
        };
        Self { place, content: Content::of(Part::Body, said, outer), frame }
    }

    /// Takes some of `bytes` (not empty), which stand at `at`; returns how many.
    pub(crate) fn take(&mut self, bytes: &[u8], at: u64, out: &mut Sink<'_>) -> (usize, Next) {
        match &mut self.frame {
            Frame::Close => {
                self.content.push(bytes, at, &self.place, out);
                (bytes.len(), Next::More)
            }
            Frame::Length(left) => {
                let count = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= count as u64;
                let next = if *left == 0 { Next::Over } else { Next::More };
                self.content.push(&bytes[..count], at, &self.place, out);
                (count, next)
            }
            Frame::Chunked(_) => self.take_chunked(bytes, at, out),
        }
    }

    fn take_chunked(&mut self, bytes: &[u8], at: u64, out: &mut Sink<'_>) -> (usize, Next) {
        let Self { place, content, frame: Frame::Chunked(chunked) } = self else {
            return (bytes.len(), Next::Over);
        };
        let (chunks, framing) = &mut **chunked;
        let (count, event) = chunks.next(bytes);
        let line_at = |line: &Plain| at + count as u64 - line.len() as u64;
        let mut next = Next::More;
        match event {
            Event::Wait => {}
            Event::Data => content.push(&bytes[..count], at, place, out),
            Event::Framing(line) => framing.push(line.as_slice(), line_at(&line), place, out),
            Event::Trailer(line) => {
                fields::show_trailer(line.as_slice(), line_at(&line), place, out);
                framing.push(line.as_slice(), line_at(&line), place, out);
            }
            Event::End(line) | Event::Broken(line) => {
                framing.push(line.as_slice(), line_at(&line), place, out);
                next = Next::Over;
            }
        }
        (count, next)
    }

    /// Goes over missing bytes; `Over` if it is then unknown where in the message the stream is.
    pub(crate) fn skip(&mut self, count: u64, out: &mut Sink<'_>) -> Next {
        let known = match &mut self.frame {
            Frame::Close => true,
            Frame::Length(left) => {
                let known = count < *left;
                *left = left.saturating_sub(count);
                known
            }
            Frame::Chunked(chunked) => chunked.0.skip_data(count),
        };
        if !known {
            return Next::Over;
        }
        self.content.end_here(&self.place, out);
        self.content = self.content.successor();
        Next::More
    }

    /// No bytes for a while.
    pub(crate) fn settle(&mut self, at: u64, out: &mut Sink<'_>) {
        self.content.settle(&self.place, out);
        if let Frame::Chunked(chunked) = &mut self.frame {
            let (chunks, framing) = &mut **chunked;
            framing.settle(&self.place, out);
            if chunks.line().len() > chunks.shown {
                chunks.shown = chunks.line().len();
                let source = at - chunks.shown as u64..at;
                out(Window { source, ..self.place.window(Part::Raw, chunks.line()) });
            }
        }
    }

    /// The message ends here; `at` is where the stream is.
    pub(crate) fn end_here(&mut self, at: u64, out: &mut Sink<'_>) {
        self.content.end_here(&self.place, out);
        if let Frame::Chunked(chunked) = &mut self.frame {
            let (chunks, framing) = &mut **chunked;
            let line = chunks.take_line();
            framing.push(line.as_slice(), at - line.len() as u64, &self.place, out);
            framing.end_here(&self.place, out);
        }
    }

    /// Bytes held now.
    pub(crate) fn held_bytes(&self) -> usize {
        let framing = match &self.frame {
            Frame::Chunked(chunked) => chunked.0.line().len() + chunked.1.held_bytes(),
            Frame::Length(_) | Frame::Close => 0,
        };
        self.content.held_bytes() + framing
    }
}
