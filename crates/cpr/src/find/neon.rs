//! The backend for aarch64, where NEON is always there: it makes the marks; the lanes are portable words.
//!
//! Its tests have run on an emulated processor (`cargo xtask memcheck neon`); nothing is known of its speed. See
//! `docs/limits.md`.
#![allow(unsafe_code, reason = "vector operations; each says what it reads")]

use core::arch::aarch64::*;

use super::marks::BLOCK_BYTES;
use super::portable::Portable;
use super::vector::{LOW_MAX, Vector};

/// NEON.
#[derive(Clone, Copy, Debug)]
pub(super) struct Neon(());

impl Neon {
    #[inline]
    pub(super) fn new() -> Self {
        Self(())
    }
}

impl Vector for Neon {
    type Lanes = u64;
    const HAS_LOW: bool = true;

    #[inline(always)]
    fn marks(self, block: &[u8; BLOCK_BYTES]) -> (u64, u64) {
        let quarters = block.as_chunks::<16>().0;
        // SAFETY: each quarter is 16 bytes that may be read; every aarch64 processor that Rust supports has NEON.
        unsafe {
            let bytes = [0, 1, 2, 3].map(|at| vld1q_u8(quarters[at].as_ptr()));
            let digits = bytes.map(|bytes| vcltq_u8(vsubq_u8(bytes, vdupq_n_u8(b'0')), vdupq_n_u8(10)));
            let low = bytes.map(|bytes| vcleq_s8(vreinterpretq_s8_u8(bytes), vdupq_n_s8(LOW_MAX)));
            (gathered(digits), gathered(low))
        }
    }

    #[inline(always)]
    fn lanes(self, marks: &[u8], lane: usize) -> u64 {
        Portable.lanes(marks, lane)
    }

    #[inline(always)]
    fn digits(self, bytes: u128) -> u32 {
        Portable.digits(bytes)
    }
}

/// A bit for each byte that has all of its bits; the others have none.
#[inline(always)]
fn gathered(bytes: [uint8x16_t; 4]) -> u64 {
    const WEIGHTS: [u8; 16] = [1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128];
    // SAFETY: the weights are 16 bytes that may be read; every aarch64 processor that Rust supports has NEON.
    unsafe {
        let weights = vld1q_u8(WEIGHTS.as_ptr());
        let [a, b, c, d] = bytes.map(|bytes| vandq_u8(bytes, weights));
        // Sums of neighbours: after three rounds each byte holds the bits of eight.
        let sums = vpaddq_u8(vpaddq_u8(a, b), vpaddq_u8(c, d));
        vgetq_lane_u64::<0>(vreinterpretq_u64_u8(vpaddq_u8(sums, sums)))
    }
}
