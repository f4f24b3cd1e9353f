//! Records of TLS 1.3 that are padded to whole blocks (RFC 8446, 5.4), as OpenSSL does when it is asked to.
//!
//! Then a record's length tells only which block its plaintext ends in. That a flow is padded is told by its records: all
//! of a client's encrypted ones, its Finished among them, have lengths with a common divisor, which those of a flow
//! without padding have not: a Finished without padding is of 37 or 53 bytes with its type, and both are prime.
//!
//! *Not here*: padding of other kinds. Its records agree with no write, and what they carry counts as `no-tap`.

use super::tls_flow::FRAGMENT_MAX;

/// Bytes that encryption adds: the tag.
const TAG_LEN: u32 = 16;
/// Least block that is believed; divisors of lengths that are not padded are smaller, or those of one record.
const BLOCK_MIN: u32 = 64;
/// Length of a record that a block of its own padded: a Finished fills one block, in the sizes that programs ask for.
const BLOCK_MAX: u32 = 4096;

/// What a flow's encrypted records have in common.
#[derive(Default)]
pub struct Padding {
    /// Greatest common divisor of their inner lengths.
    divisor: u32,
}

impl Padding {
    /// An encrypted record of the client passed.
    pub const fn pass(&mut self, record_len: u32) {
        // A record of full length is cut by the limit, not filled up.
        if record_len < FRAGMENT_MAX as u32 {
            self.divisor = divisor(self.divisor, record_len.saturating_sub(TAG_LEN));
        }
    }

    /// Whether the first encrypted record of a client may be a Finished that was padded: one block.
    pub const fn is_finished(&self, record_len: u32) -> bool {
        let inner = record_len.saturating_sub(TAG_LEN);
        self.divisor == inner && inner.is_power_of_two() && BLOCK_MIN <= inner && inner <= BLOCK_MAX
    }

    /// Whether a record of this length may carry so many bytes and less than a block of padding.
    pub const fn admits(&self, record_len: u32, plain: u64) -> bool {
        let inner = record_len.saturating_sub(TAG_LEN) as u64;
        // With its type, which is encrypted too.
        let filled = plain + 1;
        self.divisor >= BLOCK_MIN && filled <= inner && inner < filled + self.divisor as u64
    }
}

/// Greatest common divisor.
const fn divisor(mut one: u32, mut other: u32) -> u32 {
    while other != 0 {
        (one, other) = (other, one % other);
    }
    one
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lengths: &[u32]) -> Padding {
        let mut padding = Padding::default();
        lengths.iter().for_each(|length| padding.pass(*length));
        padding
    }

    #[test]
    fn padded_flows_are_known_by_their_records() {
        let padded = of(&[528, 528, 1040]);
        for (plain, record, admitted) in [
            (1, 528, true),
            (511, 528, true),
            (512, 528, false),
            (512, 1040, true),
            (1023, 1040, true),
            (511, 1040, false),
            (1024, 1040, false),
        ] {
            assert_eq!(padded.admits(record, plain), admitted, "{plain} in {record}");
        }
        for lengths in [&[][..], &[53], &[69, 528, 1040], &[53, 37 + 16 + 37], &[528, 529], &[80, 48]] {
            assert!(!of(lengths).admits(528, 100), "{lengths:?}");
        }
    }

    #[test]
    fn a_padded_finished_fills_one_block() {
        for (length, is_one) in [
            (528, true),
            (80, true),
            (4112, true),
            (53, false),
            (69, false),
            (48, false),
            (16, false),
            (316, false),
        ] {
            assert_eq!(of(&[length]).is_finished(length), is_one, "{length}");
        }
        assert!(!of(&[53, 528]).is_finished(528));
    }

    /// A write beyond a record goes on in records of full length.
    #[test]
    fn full_records_say_nothing_of_blocks() {
        assert!(of(&[528, 16_401, 16_401, 1040]).admits(1040, 900));
    }
}
