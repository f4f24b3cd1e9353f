//! RE2, with the neighbours in the pattern.

use std::ffi::{CString, c_char, c_void};

use anyhow::{Context, Result, ensure};

use super::Tally;

unsafe extern "C" {
    fn rival_re2_new(pattern: *const c_char) -> *mut c_void;
    fn rival_re2_find(
        expression: *const c_void,
        text: *const c_char,
        length: usize,
        from: usize,
        start: *mut usize,
        end: *mut usize,
    ) -> bool;
}

/// A compiled pattern; freed when the program ends.
pub struct Re2(*mut c_void);

impl Re2 {
    pub fn new() -> Result<Self> {
        let pattern = CString::new(super::between_neighbours()).context("a pattern without zeros")?;
        // SAFETY: the pattern ends with a zero.
        let expression = unsafe { rival_re2_new(pattern.as_ptr()) };
        ensure!(!expression.is_null(), "RE2 refuses the pattern");
        Ok(Self(expression))
    }

    pub fn tally(&mut self, text: &[u8]) -> Tally {
        let (mut tally, mut start, mut end) = (Tally::default(), 0, 0);
        // SAFETY: the text has that length, `end` lies in it.
        while unsafe {
            rival_re2_find(self.0, text.as_ptr().cast(), text.len(), end, &raw mut start, &raw mut end)
        } {
            tally.add(start, end);
        }
        tally
    }
}
