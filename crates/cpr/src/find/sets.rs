//! Which bytes of a text are in which of four sets, many at a time: a bit for each byte.
//!
//! A byte is looked up by its two halves, in a table of sixteen for each: a *kind* is some high halves together with
//! some low ones, and a set is made of kinds.

#[cfg(target_arch = "x86_64")]
use super::avx2::Avx2;

/// Bytes that are marked in one word.
pub const WORD_BYTES: usize = 64;

/// Sets that are told apart at once.
pub const SETS: usize = 4;

/// A bit for each byte of [`WORD_BYTES`] in each set; the first byte is the lowest bit.
pub type SetMarks = [u64; SETS];

/// Kinds of bytes.
const KINDS: usize = 8;

/// Up to four sets of bytes.
pub struct ByteSets {
    /// The kinds that each low half belongs to, and each high half, as bits.
    pub(super) low: [u8; 16],
    pub(super) high: [u8; 16],
    /// The kinds that each set is made of, as bits.
    pub(super) kinds: [u8; SETS],
    /// The kinds of each byte.
    of_byte: [u8; 256],
}

impl ByteSets {
    /// Each kind is its high halves, its low halves and the sets that it is in, a bit for each.
    pub const fn new(kinds: [(u16, u16, u8); KINDS]) -> Self {
        let mut sets = Self { low: [0; 16], high: [0; 16], kinds: [0; SETS], of_byte: [0; 256] };
        let mut kind = 0;
        while kind < KINDS {
            let (high, low, members) = kinds[kind];
            let mut half = 0;
            while half < 16 {
                sets.low[half] |= ((low >> half & 1) as u8) << kind;
                sets.high[half] |= ((high >> half & 1) as u8) << kind;
                half += 1;
            }
            let mut set = 0;
            while set < SETS {
                sets.kinds[set] |= (members >> set & 1) << kind;
                set += 1;
            }
            kind += 1;
        }
        let mut byte = 0;
        while byte < sets.of_byte.len() {
            sets.of_byte[byte] = sets.low[byte & 15] & sets.high[byte >> 4];
            byte += 1;
        }
        sets
    }

    /// Marks `text` from `from` on, as far as there is room in `marks`; returns what was written. Behind the end of the
    /// text no byte is in any set.
    pub fn mark<'m>(&self, text: &[u8], from: usize, marks: &'m mut [SetMarks]) -> &'m [SetMarks] {
        let rest = text.get(from..).unwrap_or_default();
        let (blocks, last) = rest.as_chunks::<WORD_BYTES>();
        let whole = blocks.len().min(marks.len());
        self.mark_blocks(&blocks[..whole], &mut marks[..whole]);
        match marks.get_mut(whole) {
            Some(slot) if !last.is_empty() => {
                *slot = self.mark_last(text, last);
                &marks[..=whole]
            }
            _ => &marks[..whole],
        }
    }

    /// The last bytes of a text, fewer than a block: marked as the end of a block that ends there, where there is one.
    fn mark_last(&self, text: &[u8], last: &[u8]) -> SetMarks {
        let Some(block) = text.last_chunk::<WORD_BYTES>() else { return self.one_by_one(last) };
        let mut marks = [SetMarks::default()];
        self.mark_blocks(&[*block], &mut marks);
        marks[0].map(|word| word >> (WORD_BYTES - last.len()))
    }

    fn mark_blocks(&self, blocks: &[[u8; WORD_BYTES]], marks: &mut [SetMarks]) {
        #[cfg(target_arch = "x86_64")]
        if let Some(avx2) = Avx2::detect() {
            return avx2.mark_sets(self, blocks, marks);
        }
        for (block, marks) in blocks.iter().zip(marks) {
            *marks = self.one_by_one(block);
        }
    }

    /// What every processor can do.
    fn one_by_one(&self, bytes: &[u8]) -> SetMarks {
        let mut marks = SetMarks::default();
        for (at, byte) in bytes.iter().enumerate() {
            let kinds = self.of_byte[usize::from(*byte)];
            for (word, members) in marks.iter_mut().zip(self.kinds) {
                *word |= u64::from(kinds & members != 0) << at;
            }
        }
        marks
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    /// Digits; `MNO`; small letters; everything in the first two, and a byte of the upper half.
    const SETS_OF_TEST: ByteSets = ByteSets::new([
        (1 << 3, 0x3FF, 0b1001),
        (1 << 4, 0xE000, 0b1010),
        (1 << 6, 0xFFFE, 0b0100),
        (1 << 7, 0x7FF, 0b0100),
        (1 << 0xE, 1 << 5, 0b1000),
        (0, 0, 0),
        (0, 0, 0),
        (0, 0, 0),
    ]);

    fn is_in(set: usize, byte: u8) -> bool {
        let few = matches!(byte, b'M'..=b'O');
        match set {
            0 => byte.is_ascii_digit(),
            1 => few,
            2 => byte.is_ascii_lowercase(),
            _ => byte.is_ascii_digit() || few || byte == 0xE5,
        }
    }

    #[test]
    fn marks_are_those_of_a_naive_reading() {
        let bytes: Vec<u8> = (0..700_u32).map(|at| (at * 167 + at / 256 * 3) as u8).collect();
        let mut marks = [[u64::MAX; SETS]; 4];
        for (start, end) in
            (0..130).flat_map(|start| (0..530).step_by(7).map(move |len| (start, start + len)))
        {
            let text = &bytes[start..end];
            for from in (0..text.len()).step_by(WORD_BYTES * marks.len()) {
                let written = SETS_OF_TEST.mark(text, from, &mut marks);
                let rest = &text[from..];
                assert_eq!(written.len(), rest.len().div_ceil(WORD_BYTES).min(4));
                for at in 0..written.len() * WORD_BYTES {
                    for (set, word) in written[at / WORD_BYTES].iter().enumerate() {
                        let marked = word >> (at % WORD_BYTES) & 1 == 1;
                        let expected = rest.get(at).is_some_and(|byte| is_in(set, *byte));
                        assert_eq!(marked, expected, "{at} of {start}..{end}, set {set}");
                    }
                }
            }
        }
    }

    #[test]
    fn every_byte_is_looked_up_alike_everywhere() {
        let bytes: Vec<u8> = (0..=255).collect();
        let mut marks = [SetMarks::default(); 4];
        let slow: Vec<SetMarks> =
            bytes.chunks(WORD_BYTES).map(|block| SETS_OF_TEST.one_by_one(block)).collect();
        assert_eq!(SETS_OF_TEST.mark(&bytes, 0, &mut marks), slow);
    }
}
