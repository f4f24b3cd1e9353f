//! The backend for AVX-512: eight lanes at once.
//!
//! How fast it is: `docs/benchmarks/matcher.md`. Where the processor has it not, its tests run on an emulated one
//! (`cargo xtask memcheck avx512`).
//!
//! *Invariants.* Every operation takes an [`Avx512`] or [`Octet`]. The first is made by [`Avx512::detect`] alone, after
//! the processor was asked; the second only from the first. So where an operation runs, AVX-512 F, BW and VL, BMI1, BMI2 and
//! POPCNT are there: that is the obligation of every call of an intrinsic below.
#![allow(unsafe_code, reason = "vector operations; the obligation is in the module's invariants")]

use core::arch::x86_64::*;

use super::marks::BLOCK_BYTES;
use super::queue::Tail;
use super::vector::{LANE_STARTS, LANE_STEP, LOW_MAX, Lanes, SHORT_LANES, STARTS, Vector};
use super::{Candidate, avx2, search};

cpufeatures::new!(processor, "avx512f", "avx512bw", "avx512vl", "bmi1", "bmi2", "popcnt");

/// The proof that the processor has AVX-512 F, BW and VL, BMI1, BMI2 and POPCNT.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx512(());

impl Avx512 {
    /// The proof, if it holds.
    #[inline]
    pub(super) fn detect() -> Option<Self> {
        processor::get().then_some(Self(()))
    }

    #[inline]
    pub(super) fn search<const FULL: bool>(self, text: &[u8], found: &mut dyn FnMut(Candidate)) {
        // SAFETY: `self` is the proof that the processor has these features.
        unsafe { with_features::<FULL>(self, text, found) }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,bmi1,bmi2,popcnt")]
fn with_features<const FULL: bool>(avx512: Avx512, text: &[u8], found: &mut dyn FnMut(Candidate)) {
    search::<Avx512, FULL>(avx512, text, found);
}

/// Eight lanes.
#[derive(Clone, Copy)]
pub(super) struct Octet(__m512i);

impl Vector for Avx512 {
    type Lanes = Octet;
    const HAS_LOW: bool = true;

    #[inline(always)]
    fn marks(self, block: &[u8; BLOCK_BYTES]) -> (u64, u64) {
        // SAFETY: 64 bytes are there to be read, aligned or not.
        unsafe {
            let bytes = _mm512_loadu_si512(block.as_ptr().cast());
            let values = _mm512_sub_epi8(bytes, _mm512_set1_epi8(b'0'.cast_signed()));
            let digits = _mm512_cmplt_epu8_mask(values, _mm512_set1_epi8(10));
            let low = _mm512_cmple_epi8_mask(bytes, _mm512_set1_epi8(LOW_MAX));
            (digits, low)
        }
    }

    #[inline(always)]
    fn lanes(self, marks: &[u8], lane: usize) -> Octet {
        const BYTES: usize = 6 * LANE_STEP + 16;
        let marks: &[u8; BYTES] =
            marks[lane * LANE_STEP..].first_chunk().expect("marks are longer than the lanes");
        // SAFETY: 16 bytes are there to be read from each of the four places, aligned or not.
        unsafe {
            let quarter = |at: usize| _mm_loadu_si128(marks[at..].as_ptr().cast());
            let low = _mm256_set_m128i(quarter(2 * LANE_STEP), quarter(0));
            let high = _mm256_set_m128i(quarter(6 * LANE_STEP), quarter(4 * LANE_STEP));
            let pairs = _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high);
            // Within each quarter, a lane from its first byte on and one from its seventh.
            let spread = _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 6, 7, 8, 9, 10, 11, 12, 13);
            Octet(_mm512_shuffle_epi8(pairs, _mm512_broadcast_i32x4(spread)))
        }
    }

    #[inline(always)]
    fn starts<const FULL: bool>(
        self,
        digits: [u64; SHORT_LANES],
        low: [u64; SHORT_LANES],
    ) -> [u64; SHORT_LANES] {
        avx2::short_starts::<FULL>(digits, low)
    }

    #[inline(always)]
    fn digits(self, bytes: u128) -> u32 {
        avx2::digits(bytes)
    }

    #[inline(always)]
    fn prefetch(self, block: &[u8; BLOCK_BYTES]) {
        avx2::prefetch(block);
    }
}

impl Lanes for Octet {
    const COUNT: usize = 8;

    #[inline(always)]
    fn and(self, other: Self) -> Self {
        // SAFETY: nothing but what the module's invariants hold.
        Self(unsafe { _mm512_and_si512(self.0, other.0) })
    }

    #[inline(always)]
    fn or(self, other: Self) -> Self {
        // SAFETY: nothing but what the module's invariants hold.
        Self(unsafe { _mm512_or_si512(self.0, other.0) })
    }

    #[inline(always)]
    fn without(self, other: Self) -> Self {
        // SAFETY: nothing but what the module's invariants hold.
        Self(unsafe { _mm512_andnot_si512(other.0, self.0) })
    }

    #[inline(always)]
    fn ahead<const BYTES: i32>(self) -> Self {
        // SAFETY: nothing but what the module's invariants hold.
        Self(unsafe { _mm512_srl_epi64(self.0, _mm_cvtsi32_si128(BYTES)) })
    }

    #[inline(always)]
    fn behind<const BYTES: i32>(self) -> Self {
        // SAFETY: nothing but what the module's invariants hold.
        Self(unsafe { _mm512_sll_epi64(self.0, _mm_cvtsi32_si128(BYTES)) })
    }

    #[inline(always)]
    fn enqueue(self, lane: usize, queue: &mut Tail<'_>) {
        // SAFETY: the room is 64 bytes that may be written, aligned or not.
        unsafe {
            let starts = _mm512_and_si512(self.0, _mm512_set1_epi64(STARTS.cast_signed()));
            let used = _mm512_test_epi64_mask(starts, starts);
            let one = 1_i64 << LANE_STARTS;
            let numbers = _mm512_setr_epi64(0, one, 2 * one, 3 * one, 4 * one, 5 * one, 6 * one, 7 * one);
            let numbers = _mm512_add_epi64(numbers, _mm512_set1_epi64(queue.number(lane).cast_signed()));
            let packed = _mm512_maskz_compress_epi64(used, _mm512_or_si512(starts, numbers));
            let room = queue.extend::<8>(used.count_ones() as usize);
            _mm512_storeu_si512(room.as_mut_ptr().cast(), packed);
        }
    }
}
