//! Hyperscan and Vectorscan, in block mode: the core without boundaries, each match proven where it is told.
//!
//! Vectorscan is what others made of Hyperscan. Both libraries have the same functions under the same file name, so each
//! is loaded for itself instead of linked.

use std::ffi::{CString, c_char, c_int, c_uint, c_ulonglong, c_void};
use std::ptr;

use anyhow::{Context, Result, ensure};
use libloading::{AsFilename, Library};

use super::Tally;

/// Hyperscan, as Debian installs it.
pub const INSTALLED: &str = "libhs.so.5";

const FLAG_DOTALL: c_uint = 2;
const MODE_BLOCK: c_uint = 1;

type OnMatch = extern "C" fn(c_uint, c_ulonglong, c_ulonglong, c_uint, *mut c_void) -> c_int;
type Compile = unsafe extern "C" fn(
    expression: *const c_char,
    flags: c_uint,
    mode: c_uint,
    platform: *const c_void,
    database: *mut *mut c_void,
    error: *mut *mut c_void,
) -> c_int;
type AllocScratch = unsafe extern "C" fn(database: *const c_void, scratch: *mut *mut c_void) -> c_int;
type Scan = unsafe extern "C" fn(
    database: *const c_void,
    text: *const c_char,
    length: c_uint,
    flags: c_uint,
    scratch: *mut c_void,
    on_match: OnMatch,
    context: *mut c_void,
) -> c_int;

/// A compiled pattern; freed when the program ends, as is the library.
pub struct Hyperscan {
    scan: Scan,
    database: *mut c_void,
    scratch: *mut c_void,
}

struct Proof<'t> {
    text: &'t [u8],
    tally: Tally,
}

impl Hyperscan {
    /// With the library of that name, or in that file.
    pub fn load(library: impl AsFilename) -> Result<Self> {
        let pattern = CString::new(super::core()).context("a pattern without zeros")?;
        let (mut database, mut error, mut scratch) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        // SAFETY: the library is one of the two, whose functions have these types, and stays loaded; the pattern ends
        // with a zero, and the three places take what is made.
        unsafe {
            let library = Box::leak(Box::new(Library::new(library).context("loading libhs")?));
            let compile = library.get::<Compile>("hs_compile")?;
            let platform = ptr::null();
            let (at, why) = (&raw mut database, &raw mut error);
            let outcome = compile(pattern.as_ptr(), FLAG_DOTALL, MODE_BLOCK, platform, at, why);
            ensure!(outcome == 0, "libhs refuses the pattern");
            let alloc_scratch = library.get::<AllocScratch>("hs_alloc_scratch")?;
            ensure!(alloc_scratch(database, &raw mut scratch) == 0, "libhs has no memory");
            Ok(Self { scan: *library.get::<Scan>("hs_scan")?, database, scratch })
        }
    }

    pub fn tally(&mut self, text: &[u8]) -> Tally {
        let mut proof = Proof { text, tally: Tally::default() };
        let length = c_uint::try_from(text.len()).expect("a corpus is shorter than 4 GiB");
        let context = (&raw mut proof).cast();
        // SAFETY: database and scratch belong together, the text has that length, the context outlives the call.
        let outcome = unsafe {
            (self.scan)(self.database, text.as_ptr().cast(), length, 0, self.scratch, on_match, context)
        };
        assert_eq!(outcome, 0, "libhs fails");
        proof.tally
    }
}

extern "C" fn on_match(
    _: c_uint,
    _: c_ulonglong,
    end: c_ulonglong,
    _: c_uint,
    context: *mut c_void,
) -> c_int {
    // SAFETY: the context is what `tally` has passed, and nobody else has it during the scan.
    let proof = unsafe { &mut *context.cast::<Proof<'_>>() };
    let end = usize::try_from(end).expect("an offset in memory");
    if let Some(start) = start_of(proof.text, end) {
        proof.tally.add(start, end);
    }
    0
}

/// Where the number that ends at `end` starts, when no digit stands on either side. The bytes tell, because only one
/// separator can stand there: with `%20` the digit before the serial is part of it.
fn start_of(text: &[u8], end: usize) -> Option<usize> {
    if text.get(end).is_some_and(u8::is_ascii_digit) {
        return None;
    }
    let before = &text[..end - 4];
    let length = match before {
        [.., b'%', b'2', b'0' | b'd' | b'D'] | [.., b' ', b'-', b' '] | [.., 0xE2, 0x80, _] => 3,
        [.., b'0'..=b'9'] => 0,
        [.., 0xC2, _] => 2,
        _ => 1,
    };
    let start = end - 10 - length;
    let is_open = start.checked_sub(1).is_none_or(|at| !text[at].is_ascii_digit());
    is_open.then_some(start)
}
