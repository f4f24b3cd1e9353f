//! Where in the stream content stood.
//!
//! *Limits*: [`BORDERS_MAX`] borders are kept; beyond, what is told is the closest known place, or a wider range.

use std::collections::VecDeque;
use std::ops::Range;

const BORDERS_MAX: usize = 256;

/// Content offsets and where in the stream what follows them came from.
#[derive(Default)]
pub(crate) struct Borders(VecDeque<Border>);

struct Border {
    content: u64,
    source: Source,
}

/// Where content came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// It stood in the stream as it is, from this offset.
    At(u64),
    /// It was made of these bytes of the stream.
    Of(Range<u64>),
}

impl Source {
    /// What `len` bytes that were found at `range` are made of.
    pub(crate) fn of(range: Range<u64>, len: usize) -> Self {
        if range.end - range.start == len as u64 { Self::At(range.start) } else { Self::Of(range) }
    }
}

impl Borders {
    pub(crate) const fn new() -> Self {
        Self(VecDeque::new())
    }

    /// What comes behind `content` is from `source`.
    pub(crate) fn add(&mut self, content: u64, source: Source) {
        let is_full = self.0.len() >= BORDERS_MAX;
        let Some(last) = self.0.back_mut() else { return self.0.push_back(Border { content, source }) };
        match (&mut last.source, &source) {
            (Source::At(at), Source::At(stream)) if *at + (content - last.content) == *stream => {}
            (Source::Of(known), Source::Of(range)) if known.start == range.start || is_full => {
                known.end = known.end.max(range.end);
            }
            _ if is_full => {}
            _ => self.0.push_back(Border { content, source }),
        }
    }

    /// Where in the stream `range` of the content is from.
    pub(crate) fn source(&self, range: Range<u64>) -> Range<u64> {
        let start = self.stream(range.start).start;
        let last = range.end.saturating_sub(1).max(range.start);
        let end = match self.stream(last) {
            at if at.is_empty() => at.start + (range.end.min(last + 1) - last),
            made_of => made_of.end,
        };
        start..end.max(start)
    }

    /// The place of one content byte: an empty range where it stood as it is.
    fn stream(&self, content: u64) -> Range<u64> {
        let behind = self.0.partition_point(|border| border.content <= content);
        match behind.checked_sub(1).and_then(|index| self.0.get(index)) {
            None => 0..0,
            Some(Border { source: Source::Of(range), .. }) => range.clone(),
            Some(Border { content: from, source: Source::At(at) }) => {
                let at = at + (content - from);
                at..at
            }
        }
    }

    /// Keeps the last border before `content` and those behind it.
    pub(crate) fn forget(&mut self, content: u64) {
        while self.0.get(1).is_some_and(|border| border.content <= content) {
            self.0.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_follow_chunk_borders() {
        let mut borders = Borders::new();
        borders.add(0, Source::At(100));
        borders.add(10, Source::At(110));
        borders.add(20, Source::At(125));
        assert_eq!(borders.0.len(), 2);
        assert_eq!(borders.source(5..15), 105..115);
        assert_eq!(borders.source(15..25), 115..130);
        assert_eq!(borders.source(15..20), 115..120);
        assert_eq!(borders.source(7..7), 107..107);
        borders.forget(22);
        assert_eq!(borders.source(22..23), 127..128);
    }

    #[test]
    fn what_is_made_of_bytes_has_their_range() {
        let mut borders = Borders::new();
        borders.add(0, Source::Of(10..14));
        borders.add(50, Source::Of(10..20));
        borders.add(90, Source::Of(20..25));
        assert_eq!(borders.0.len(), 2, "one piece that was taken in two steps is one");
        assert_eq!(borders.source(3..7), 10..20);
        assert_eq!(borders.source(60..95), 10..25);
        assert_eq!(borders.source(95..99), 20..25);
        for piece in 1..1000u64 {
            borders.add(90 + piece, Source::Of(25 + piece..26 + piece));
        }
        assert_eq!(borders.0.len(), BORDERS_MAX);
        assert_eq!(borders.source(1088..1089).end, 1025, "no end is told too early");
    }
}
