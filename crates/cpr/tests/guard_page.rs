//! No backend reads outside of its text: texts that end where memory ends, and texts that begin where it begins.
//!
//! A read outside kills the test with a signal. The short form runs with all tests; the long one is
//! `cargo test --release -p cprvagt-cpr --test guard_page -- --ignored`.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "tests")]

mod oracle;

use std::num::NonZero;
use std::ptr::NonNull;

use fastrand::Rng;
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous, mprotect, munmap};

const PAGE_BYTES: usize = 4096;
/// Pages between the two that cannot be read.
const PAGES: usize = 2;

/// Memory between two pages that nobody may read or write.
struct Guarded {
    start: NonNull<u8>,
}

impl Guarded {
    fn new() -> Self {
        let length = NonZero::new((PAGES + 2) * PAGE_BYTES).unwrap();
        let (none, private) = (ProtFlags::PROT_NONE, MapFlags::MAP_PRIVATE);
        // SAFETY: the mapping is new, and the pages that are opened lie inside of it.
        unsafe {
            let mapping = mmap_anonymous(None, length, none, private).unwrap();
            let start = mapping.byte_add(PAGE_BYTES);
            mprotect(start, PAGES * PAGE_BYTES, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE).unwrap();
            Self { start: start.cast() }
        }
    }

    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: these pages can be read and written as long as `self` lives, and begin as zeros.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), PAGES * PAGE_BYTES) }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: the mapping is as long as `new` made it, and nobody has a slice of it any more.
        unsafe { munmap(self.start.byte_sub(PAGE_BYTES).cast(), (PAGES + 2) * PAGE_BYTES).unwrap() }
    }
}

/// Lengths near those where something changes, and any others.
fn length(random: &mut Rng) -> usize {
    let special =
        random.choice([10, 16, 32, 64, 112, 128, 201, 256, 448, 1088, 1536, 1600, 3136, 4096]).unwrap();
    match random.u32(0..32) {
        0..24 => random.usize(0..260),
        24..31 => special + random.usize(0..17) - 8,
        _ => random.usize(0..PAGES * PAGE_BYTES),
    }
}

fn check(texts: usize, seed: u64) {
    let random = &mut Rng::with_seed(seed);
    let mut memory = Guarded::new();
    let bytes = memory.bytes();
    for _ in 0..texts {
        let length = length(random);
        let text = oracle::soup(random, length);
        let expected = oracle::Expected::of(&text);
        let last = bytes.len() - text.len();
        bytes[last..].copy_from_slice(&text);
        expected.check(&bytes[last..], "where memory ends");
        bytes[..text.len()].copy_from_slice(&text);
        expected.check(&bytes[..text.len()], "where memory begins");
    }
}

#[test]
fn five_thousand_texts_at_both_ends() {
    check(5_000, 1);
}

#[test]
#[ignore = "takes minutes"]
fn a_million_texts_at_both_ends() {
    check(1_000_000, 2);
}
