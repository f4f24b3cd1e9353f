//! From bytes to hits: the one pass over a text that is there as a whole.

use crate::Hit;
use crate::find::{Backend, Grammar, find};
use crate::reader::Reader;

/// What is known around a text.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// The name of the field that the text is the value of: a header, parameter, form or JSON key, column. Never the
    /// name of another field, of the message or of the document.
    pub key: Option<&'a str>,
    /// Where in its message the text stands.
    pub place: Place,
    /// Now, in Unix seconds.
    pub now_unix: i64,
}

/// The places that the rules tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// A URL's path, or one segment of it.
    UrlPath,
    /// A URL's query, or the value of one parameter.
    UrlQuery,
    /// Anywhere else.
    Other,
}

/// Reports every candidate in `text` that passes grammar, gate and calendar, with its score; the caller decides
/// from which confidence on it matters. `found` is called in rising order of `start`, after the scan has looked
/// at most sixteen candidates ahead. Time is linear in the length of `text`, memory constant.
pub fn scan(text: &[u8], scene: &Scene<'_>, found: &mut dyn FnMut(Hit)) {
    // Most texts have no candidate, and need no reader.
    let mut reader = None;
    find(text, Grammar::Full, Backend::best(), &mut |candidate| {
        reader.get_or_insert_with(|| Reader::new(*scene)).take(text, 0, &candidate, found);
    });
    if let Some(reader) = reader {
        reader.finish(found);
    }
}
