//! The backend for AVX2: four lanes at once.
//!
//! *Invariants.* Every operation takes an [`Avx2`] or [`Quad`]. The first is made by [`Avx2::detect`] alone, after the
//! processor was asked; the second only from the first. So where an operation runs, AVX2, BMI1, BMI2 and POPCNT are
//! there: that is the obligation of every call of an intrinsic below.
#![allow(unsafe_code, reason = "vector operations; the obligation is in the module's invariants")]

use core::arch::x86_64::*;

use super::marks::BLOCK_BYTES;
use super::queue::Tail;
use super::sets::{ByteSets, SetMarks};
use super::starts::starts;
use super::vector::{LANE_STARTS, LANE_STEP, LOW_MAX, Lanes, SHORT_LANES, STARTS, Vector};
use super::{Candidate, search};

cpufeatures::new!(processor, "avx2", "bmi1", "bmi2", "popcnt");

/// How far ahead of the marks the text is asked for.
const PREFETCH_BYTES: usize = 2048;

/// Moves a byte's value so that digits are the lowest ten when read as signed: `0` becomes -128.
const TO_LOWEST: i8 = (0x80_u8 - b'0').cast_signed();

/// The proof that the processor has AVX2, BMI1, BMI2 and POPCNT.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx2(());

impl Avx2 {
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

    /// The marks of whole blocks.
    #[inline]
    pub(super) fn mark_sets(self, sets: &ByteSets, blocks: &[[u8; BLOCK_BYTES]], marks: &mut [SetMarks]) {
        // SAFETY: `self` is the proof that the processor has these features.
        unsafe { set_marks(sets, blocks, marks) }
    }
}

#[target_feature(enable = "avx2,bmi1,bmi2,popcnt")]
fn set_marks(sets: &ByteSets, blocks: &[[u8; BLOCK_BYTES]], marks: &mut [SetMarks]) {
    let twice = |table: &[u8; 16]| {
        // SAFETY: 16 bytes are there to be read, aligned or not.
        _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(table.as_ptr().cast()) })
    };
    let (low, high) = (twice(&sets.low), twice(&sets.high));
    let half_byte = _mm256_set1_epi8(0x0F);
    let kinds = |bytes: &[u8]| {
        let bytes: &[u8; 32] = bytes.first_chunk().expect("half a block");
        // SAFETY: 32 bytes are there to be read, aligned or not.
        let bytes = unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) };
        let of_low = _mm256_shuffle_epi8(low, _mm256_and_si256(bytes, half_byte));
        let of_high = _mm256_shuffle_epi8(high, _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), half_byte));
        _mm256_and_si256(of_low, of_high)
    };
    for (block, marks) in blocks.iter().zip(marks) {
        let halves = [kinds(&block[..32]), kinds(&block[32..])];
        for (word, members) in marks.iter_mut().zip(sets.kinds) {
            let members = _mm256_set1_epi8(members.cast_signed());
            let [first, second] = halves.map(|kinds| {
                let none = _mm256_cmpeq_epi8(_mm256_and_si256(kinds, members), _mm256_setzero_si256());
                bits(none)
            });
            *word = !(first | second << 32);
        }
    }
}

#[target_feature(enable = "avx2,bmi1,bmi2,popcnt")]
fn with_features<const FULL: bool>(avx2: Avx2, text: &[u8], found: &mut dyn FnMut(Candidate)) {
    search::<Avx2, FULL>(avx2, text, found);
}

/// Four lanes.
#[derive(Clone, Copy)]
pub(super) struct Quad(__m256i);

impl Vector for Avx2 {
    type Lanes = Quad;
    const HAS_LOW: bool = true;

    #[inline(always)]
    fn marks(self, block: &[u8; BLOCK_BYTES]) -> (u64, u64) {
        let [low, high] = block.as_chunks().0 else { unreachable!("a block has two halves") };
        let (low, high) = (half_marks(low), half_marks(high));
        (low.0 | high.0 << 32, low.1 | high.1 << 32)
    }

    #[inline(always)]
    fn lanes(self, marks: &[u8], lane: usize) -> Quad {
        const BYTES: usize = 2 * LANE_STEP + 16;
        let marks: &[u8; BYTES] =
            marks[lane * LANE_STEP..].first_chunk().expect("marks are longer than the lanes");
        // SAFETY: 16 bytes are there to be read from both places, aligned or not.
        unsafe {
            let low = _mm_loadu_si128(marks.as_ptr().cast());
            let high = _mm_loadu_si128(marks[2 * LANE_STEP..].as_ptr().cast());
            // Within each half, a lane from its first byte on and one from its seventh.
            let spread = _mm256_setr_epi8(
                0, 1, 2, 3, 4, 5, 6, 7, 6, 7, 8, 9, 10, 11, 12, 13, //
                0, 1, 2, 3, 4, 5, 6, 7, 6, 7, 8, 9, 10, 11, 12, 13,
            );
            Quad(_mm256_shuffle_epi8(_mm256_set_m128i(high, low), spread))
        }
    }

    #[inline(always)]
    fn starts<const FULL: bool>(
        self,
        digits: [u64; SHORT_LANES],
        low: [u64; SHORT_LANES],
    ) -> [u64; SHORT_LANES] {
        short_starts::<FULL>(digits, low)
    }

    #[inline(always)]
    fn digits(self, bytes: u128) -> u32 {
        digits(bytes)
    }

    #[inline(always)]
    fn prefetch(self, block: &[u8; BLOCK_BYTES]) {
        prefetch(block);
    }
}

/// The marks of half a block.
#[inline(always)]
fn half_marks(half: &[u8; BLOCK_BYTES / 2]) -> (u64, u64) {
    // SAFETY: 32 bytes are there to be read, aligned or not; besides, what the module's invariants hold.
    unsafe {
        let bytes = _mm256_loadu_si256(half.as_ptr().cast());
        let values = _mm256_add_epi8(bytes, _mm256_set1_epi8(TO_LOWEST));
        let digits = _mm256_cmpgt_epi8(_mm256_set1_epi8(i8::MIN + 10), values);
        let low = _mm256_cmpgt_epi8(_mm256_set1_epi8(LOW_MAX + 1), bytes);
        (bits(digits), bits(low))
    }
}

/// The starts of four lanes at once. Written to memory as words and read from there as a vector they would wait for it.
#[inline(always)]
pub(super) fn short_starts<const FULL: bool>(
    digits: [u64; SHORT_LANES],
    low: [u64; SHORT_LANES],
) -> [u64; SHORT_LANES] {
    let mut found = [0; SHORT_LANES];
    // SAFETY: `found` is 32 bytes that may be written, aligned or not; besides, what the module's invariants hold.
    unsafe {
        let starts = starts::<Quad, FULL>(quad(digits), Some(quad(low)));
        let starts = _mm256_and_si256(starts.0, _mm256_set1_epi64x(STARTS.cast_signed()));
        _mm256_storeu_si256(found.as_mut_ptr().cast(), starts);
    }
    found
}

#[inline(always)]
fn quad(words: [u64; SHORT_LANES]) -> Quad {
    let [a, b, c, d] = words.map(u64::cast_signed);
    // SAFETY: nothing but what the module's invariants hold.
    Quad(unsafe { _mm256_setr_epi64x(a, b, c, d) })
}

/// The digits among sixteen bytes, a bit for each.
#[inline(always)]
pub(super) fn digits(bytes: u128) -> u32 {
    // SAFETY: every x86-64 processor has SSE2, and nothing more is needed.
    unsafe {
        let bytes = _mm_set_epi64x((bytes >> 64) as i64, bytes as i64);
        let values = _mm_add_epi8(bytes, _mm_set1_epi8(TO_LOWEST));
        let digits = _mm_cmpgt_epi8(_mm_set1_epi8(i8::MIN + 10), values);
        _mm_movemask_epi8(digits).cast_unsigned()
    }
}

/// Asks for the text that is marked some blocks later.
#[inline(always)]
pub(super) fn prefetch(block: &[u8; BLOCK_BYTES]) {
    let ahead = block.as_ptr().wrapping_add(PREFETCH_BYTES);
    // SAFETY: every x86-64 processor has this; a prefetch of an address that is not mapped does nothing.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(ahead.cast()) }
}

/// The highest bit of each byte.
#[inline(always)]
fn bits(bytes: __m256i) -> u64 {
    // SAFETY: nothing but what the module's invariants hold.
    u64::from(unsafe { _mm256_movemask_epi8(bytes) }.cast_unsigned())
}

impl Lanes for Quad {
    const COUNT: usize = 4;

    #[inline(always)]
    fn and(self, other: Self) -> Self {
        // SAFETY: nothing but what the module's invariants hold.
        Self(unsafe { _mm256_and_si256(self.0, other.0) })
    }

    #[inline(always)]
    fn or(self, other: Self) -> Self {
        // SAFETY: nothing but what the module's invariants hold.
        Self(unsafe { _mm256_or_si256(self.0, other.0) })
    }

    #[inline(always)]
    fn without(self, other: Self) -> Self {
        // SAFETY: nothing but what the module's invariants hold.
        Self(unsafe { _mm256_andnot_si256(other.0, self.0) })
    }

    #[inline(always)]
    fn ahead<const BYTES: i32>(self) -> Self {
        // SAFETY: nothing but what the module's invariants hold.
        Self(unsafe { _mm256_srli_epi64::<BYTES>(self.0) })
    }

    #[inline(always)]
    fn behind<const BYTES: i32>(self) -> Self {
        // SAFETY: nothing but what the module's invariants hold.
        Self(unsafe { _mm256_slli_epi64::<BYTES>(self.0) })
    }

    #[inline(always)]
    fn enqueue(self, lane: usize, queue: &mut Tail<'_>) {
        // SAFETY: a row of `ORDERS` is 32 bytes that may be read, and the room is 32 bytes that may be written,
        // aligned or not.
        unsafe {
            let starts = _mm256_and_si256(self.0, _mm256_set1_epi64x(STARTS.cast_signed()));
            let empty = _mm256_cmpeq_epi64(starts, _mm256_setzero_si256());
            let used = !_mm256_movemask_pd(_mm256_castsi256_pd(empty)).cast_unsigned() & 0xF;
            let one = 1_i64 << LANE_STARTS;
            let numbers = _mm256_setr_epi64x(0, one, 2 * one, 3 * one);
            let numbers = _mm256_add_epi64(numbers, _mm256_set1_epi64x(queue.number(lane).cast_signed()));
            let order = _mm256_loadu_si256(ORDERS[used as usize].as_ptr().cast());
            let packed = _mm256_permutevar8x32_epi32(_mm256_or_si256(starts, numbers), order);
            let room = queue.extend::<4>(used.count_ones() as usize);
            _mm256_storeu_si256(room.as_mut_ptr().cast(), packed);
        }
    }
}

/// For each set of lanes, the order of half lanes that brings those of the set to the front.
static ORDERS: [[u32; 8]; 16] = orders();

const fn orders() -> [[u32; 8]; 16] {
    let mut orders = [[0; 8]; 16];
    let mut set = 0;
    while set < 16 {
        let (mut lane, mut to) = (0, 0);
        while lane < 4 {
            if set >> lane & 1 == 1 {
                orders[set][to] = 2 * lane;
                orders[set][to + 1] = 2 * lane + 1;
                to += 2;
            }
            lane += 1;
        }
        set += 1;
    }
    orders
}
