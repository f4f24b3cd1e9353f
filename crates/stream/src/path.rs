//! The path of names that leads to a value, such as `persons[].cpr`.
//!
//! *Limits*: [`PATH_BYTES_MAX`]; a step that does not fit is left out.

use crate::plain::Plain;

/// Longest path.
const PATH_BYTES_MAX: usize = 512;

/// See the module.
#[derive(Default)]
pub(crate) struct Path(Option<Plain>);

impl Path {
    pub(crate) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, Plain::len)
    }

    /// The path, unless it is empty or its keys are not UTF-8.
    pub(crate) fn as_str(&self) -> Option<&str> {
        self.0.as_ref().and_then(Plain::as_str).filter(|path| !path.is_empty())
    }

    pub(crate) fn enter(&mut self, key: &Plain) {
        if self.len() > 0 {
            self.append(b".");
        }
        self.append(key.as_slice());
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) {
        if self.len() + bytes.len() <= PATH_BYTES_MAX {
            self.0.get_or_insert_with(Plain::new).append(bytes);
        }
    }

    pub(crate) fn truncate(&mut self, len: usize) {
        if let Some(path) = &mut self.0 {
            path.truncate(len);
        }
    }
}
