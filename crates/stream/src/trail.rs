//! What was undone on the way to some content, and how deep it lies in other content.
//!
//! *Limits*: [`LEN_MAX`] names are kept, and content is entered [`DEPTH_MAX`] deep.

use crate::window::Decoding;

/// Names kept; what is undone beyond them has no name in a report.
const LEN_MAX: usize = 16;

/// Content in content that is entered: a layer of compression, a part of a message, a value that is a text of its own.
pub(crate) const DEPTH_MAX: u8 = 6;

/// The decodings of a window, outermost first.
#[derive(Clone, Copy)]
pub(crate) struct Trail {
    items: [Decoding; LEN_MAX],
    len: usize,
    depth: u8,
}

impl Trail {
    /// Nothing was undone yet.
    pub(crate) const START: Self = Self { items: [Decoding::Chunked; LEN_MAX], len: 0, depth: 0 };

    pub(crate) fn as_slice(&self) -> &[Decoding] {
        &self.items[..self.len]
    }

    pub(crate) fn push(&mut self, decoding: Decoding) {
        if let Some(slot) = self.items.get_mut(self.len) {
            *slot = decoding;
            self.len += 1;
        }
    }

    /// The same, with one more thing undone.
    pub(crate) fn with(mut self, decoding: Decoding) -> Self {
        self.push(decoding);
        self
    }

    /// The same for content that lies in this one; `None` where that is too deep.
    pub(crate) fn deeper(self) -> Option<Self> {
        (self.depth < DEPTH_MAX).then_some(Self { depth: self.depth + 1, ..self })
    }
}

impl From<&[Decoding]> for Trail {
    fn from(outer: &[Decoding]) -> Self {
        let mut trail = Self::START;
        outer.iter().for_each(|decoding| trail.push(*decoding));
        trail
    }
}
