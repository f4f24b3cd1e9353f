//! Where a flow's TLS records lie in its bytes, and what of the session's plaintext each carries: what an outside capture
//! can be compared with.
//!
//! Positions count from the ClientHello's record header, which a capture has too, and not from sequence numbers, which
//! begin anywhere and wrap. A flow whose hello was not seen, or whose hello's own record was lost, has none.
//!
//! *Limits*: [`PLACED_MAX`] records are remembered, the last ones.

use std::{collections::VecDeque, ops::Range};

use cprvagt_report::{EVIDENCE_RECORDS_MAX, Evidence, HelloRandom, WireRecord};

use super::records::RecordHeader;

/// Records of one flow that are remembered. A finding is made soon after its record has passed: what a decoder holds
/// back is a few of them.
pub const PLACED_MAX: usize = 64;
/// Content type of a handshake record.
const HANDSHAKE: u32 = 22;

/// See the module.
#[derive(Default)]
pub struct Placement {
    hello: Option<Hello>,
    /// The record that passed last.
    last: Option<Passed>,
    placed: VecDeque<Placed>,
}

struct Hello {
    random: HelloRandom,
    /// Length of its record.
    length: u32,
}

#[derive(Clone, Copy)]
struct Passed {
    seq: u32,
    at: u64,
    length: u32,
}

struct Placed {
    plain: Range<u64>,
    record: WireRecord,
}

impl Placement {
    /// The flow's ClientHello, from its record header on. A later one on the same flow changes nothing.
    pub fn hello(&mut self, random: [u8; 32], bytes: &[u8]) {
        if self.hello.is_none()
            && self.last.is_none()
            && let [_, _, _, high, low, ..] = *bytes
        {
            let length = u32::from(u16::from_be_bytes([high, low]));
            self.hello = Some(Hello { random: HelloRandom::new(random), length });
        }
    }

    /// A record passed.
    pub fn pass(&mut self, header: RecordHeader) {
        let RecordHeader { seq, length, .. } = header;
        let at = match (&self.last, &self.hello) {
            (Some(last), _) => last.at + u64::from(seq.wrapping_sub(last.seq)),
            (None, Some(hello)) if header.content == HANDSHAKE && hello.length == length => 0,
            // Another record comes first: the hello's was lost, and where this one lies is not known.
            (None, _) => {
                self.hello = None;
                0
            }
        };
        self.last = Some(Passed { seq, at, length });
    }

    /// The record that passed last carries this part of the session's plaintext.
    pub fn carry(&mut self, plain: Range<u64>) {
        let Some(Passed { at, length, .. }) = self.last.filter(|_| self.hello.is_some()) else { return };
        if self.placed.len() >= PLACED_MAX {
            self.placed.pop_front();
        }
        self.placed.push_back(Placed { plain, record: WireRecord { at, length } });
    }

    /// By what this part of the session's plaintext can be found in a capture; its records only if all of them are
    /// remembered.
    pub fn evidence(&self, plain: &Range<u64>) -> Option<Evidence> {
        let hello_random = self.hello.as_ref()?.random;
        let overlaps = |placed: &&Placed| placed.plain.start < plain.end && plain.start < placed.plain.end;
        let carrying: Vec<&Placed> = self.placed.iter().filter(overlaps).collect();
        let is_whole = carrying.first().is_some_and(|first| first.plain.start <= plain.start);
        let records = carrying.iter().filter(|_| is_whole).take(EVIDENCE_RECORDS_MAX);
        Some(Evidence { hello_random, records: records.map(|placed| placed.record).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record's header and what of the plaintext it carries.
    type Step = (u32, u32, u32, Option<Range<u64>>);

    const HELLO: [u8; 6] = [22, 3, 1, 2, 0, 1];

    fn placed(hello: bool, steps: &[Step]) -> Placement {
        let mut placement = Placement::default();
        if hello {
            placement.hello([9; 32], &HELLO);
        }
        for (content, seq, length, plain) in steps {
            placement.pass(RecordHeader { content: *content, seq: *seq, length: *length });
            if let Some(plain) = plain {
                placement.carry(plain.clone());
            }
        }
        placement
    }

    fn records(placement: &Placement, plain: Range<u64>) -> Option<Vec<(u64, u32)>> {
        let evidence = placement.evidence(&plain)?;
        assert_eq!(evidence.hello_random, HelloRandom::new([9; 32]));
        Some(evidence.records.iter().map(|record| (record.at, record.length)).collect())
    }

    /// Sequence numbers that wrap behind the hello.
    const STEPS: [Step; 4] = [
        (22, u32::MAX - 100, 512, None),
        (20, 416, 1, None),
        (23, 422, 117, Some(0..100)),
        (23, 544, 67, Some(100..150)),
    ];

    #[test]
    fn positions_count_from_the_hello() {
        let placement = placed(true, &STEPS);
        for (plain, expected) in [
            (0..100, vec![(523, 117)]),
            (99..100, vec![(523, 117)]),
            (99..101, vec![(523, 117), (645, 67)]),
            (100..150, vec![(645, 67)]),
            (150..160, vec![]),
        ] {
            assert_eq!(records(&placement, plain.clone()), Some(expected), "{plain:?}");
        }
    }

    #[test]
    fn without_the_hello_and_its_record_there_is_none() {
        assert_eq!(records(&placed(false, &STEPS), 0..100), None);
        assert_eq!(records(&placed(true, &STEPS[1..]), 0..100), None);
        // A handshake record that is not the hello's.
        assert_eq!(records(&placed(true, &[(22, 5, 511, None), (23, 9, 80, Some(0..9))]), 0..9), None);
        let mut late = placed(true, &STEPS);
        late.hello([8; 32], &HELLO);
        assert_eq!(records(&late, 100..150), Some(vec![(645, 67)]));
    }

    #[test]
    fn the_last_records_are_remembered_and_the_first_of_a_long_part_told() {
        let mut steps = vec![(22, 0, 512, None)];
        steps.extend((0..100).map(|n| (23, 517 + 25 * n, 20, Some(u64::from(n) * 3..u64::from(n) * 3 + 3))));
        let placement = placed(true, &steps);
        assert_eq!(placement.placed.len(), PLACED_MAX);
        assert_eq!(records(&placement, 297..300), Some(vec![(517 + 25 * 99, 20)]));
        assert_eq!(records(&placement, 105..120), Some(vec![]), "its first record is forgotten");
        assert_eq!(records(&placement, 150..300).unwrap().len(), EVIDENCE_RECORDS_MAX);
    }

    #[test]
    fn positions_go_beyond_32_bits() {
        let mut steps = vec![(22, 7, 512, None), (23, 524, 16_401, Some(0..16_384))];
        steps.extend((1..=3).map(|n| {
            (23, 524_u32.wrapping_add(n << 31), 20, Some(u64::from(n) << 20..(u64::from(n) << 20) + 3))
        }));
        let placement = placed(true, &steps);
        assert_eq!(records(&placement, 3 << 20..(3 << 20) + 3), Some(vec![(517 + 3 * (1 << 31), 20)]));
    }
}
