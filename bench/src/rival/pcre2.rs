//! PCRE2, compiled just in time, with looking around.

use std::ffi::{c_int, c_void};
use std::ptr;

use anyhow::{Result, ensure};

use super::Tally;

const DOTALL: u32 = 0x20;
const JIT_COMPLETE: u32 = 1;
const NO_MATCH: c_int = -1;

unsafe extern "C" {
    fn pcre2_compile_8(
        pattern: *const u8,
        length: usize,
        options: u32,
        error: *mut c_int,
        error_at: *mut usize,
        context: *mut c_void,
    ) -> *mut c_void;
    fn pcre2_jit_compile_8(code: *mut c_void, options: u32) -> c_int;
    fn pcre2_match_data_create_from_pattern_8(code: *const c_void, context: *mut c_void) -> *mut c_void;
    fn pcre2_get_ovector_pointer_8(data: *mut c_void) -> *const usize;
    fn pcre2_jit_match_8(
        code: *const c_void,
        text: *const u8,
        length: usize,
        from: usize,
        options: u32,
        data: *mut c_void,
        context: *mut c_void,
    ) -> c_int;
}

/// A compiled pattern; freed when the program ends.
pub struct Pcre2 {
    code: *mut c_void,
    data: *mut c_void,
}

impl Pcre2 {
    pub fn new() -> Result<Self> {
        let pattern = format!("(?<![0-9]){}(?![0-9])", super::core());
        let (mut error, mut error_at) = (0, 0);
        // SAFETY: the pattern has that length; what is made is used as the library asks.
        unsafe {
            let at = &raw mut error_at;
            let code =
                pcre2_compile_8(pattern.as_ptr(), pattern.len(), DOTALL, &raw mut error, at, ptr::null_mut());
            ensure!(!code.is_null(), "PCRE2 refuses the pattern");
            ensure!(pcre2_jit_compile_8(code, JIT_COMPLETE) == 0, "PCRE2 cannot compile just in time here");
            let data = pcre2_match_data_create_from_pattern_8(code, ptr::null_mut());
            ensure!(!data.is_null(), "PCRE2 has no memory");
            Ok(Self { code, data })
        }
    }

    pub fn tally(&mut self, text: &[u8]) -> Tally {
        let mut tally = Tally::default();
        let mut from = 0;
        // SAFETY: the text has that length, `from` lies in it, code and data belong together; after a match the
        // first two offsets are those of the whole.
        while let Some((start, end)) = unsafe { self.find(text, from) } {
            tally.add(start, end);
            from = end;
        }
        tally
    }

    unsafe fn find(&mut self, text: &[u8], from: usize) -> Option<(usize, usize)> {
        // SAFETY: as the caller holds.
        unsafe {
            let (at, length) = (text.as_ptr(), text.len());
            let outcome = pcre2_jit_match_8(self.code, at, length, from, 0, self.data, ptr::null_mut());
            assert!(outcome > 0 || outcome == NO_MATCH, "PCRE2 fails: {outcome}");
            let offsets = pcre2_get_ovector_pointer_8(self.data);
            (outcome > 0).then(|| (*offsets, *offsets.add(1)))
        }
    }
}
