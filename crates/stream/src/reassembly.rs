//! One direction of a TCP flow, put in order by sequence number.
//!
//! Sequence numbers are 32 bits and wrap; here each byte has a 64-bit offset, found from its distance to the
//! next byte expected (at most 2 GiB either way, RFC 9293, section 3.4). Bytes before that offset are
//! retransmissions and are dropped. Bytes after it are held until the hole before them fills, and of bytes
//! held twice the first copy counts.
//!
//! *Limits*: [`Limits`] bounds what is held. When it is exceeded, the oldest hole becomes a gap and the
//! stream goes on after it: what the capture lost is told, not waited for.
//!
//! *Units*: bytes.

use std::collections::BTreeMap;

use crate::plain::Plain;

/// What one direction may hold while a hole is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes held out of order.
    pub held_bytes_max: usize,
    /// Separate pieces held out of order.
    pub held_pieces_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { held_bytes_max: 256 * 1024, held_pieces_max: 64 }
    }
}

/// What comes out, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// The next bytes; never empty.
    Bytes(&'a [u8]),
    /// Bytes that were never seen.
    Gap {
        /// How many; at least 1.
        bytes: u64,
    },
}

/// One direction of one TCP flow. The first segment pushed, or `skip_to`, says where it starts.
pub struct Reassembly {
    limits: Limits,
    /// Sequence number of offset 0.
    origin: Option<u32>,
    /// Offset of the next byte expected.
    next: u64,
    /// Pieces after `next` by offset: no two overlap, none is empty.
    held: BTreeMap<u64, Plain>,
    held_bytes: usize,
}

impl Reassembly {
    /// Nothing seen yet.
    pub const fn new(limits: Limits) -> Self {
        Self { limits, origin: None, next: 0, held: BTreeMap::new(), held_bytes: 0 }
    }

    /// Takes the payload of a segment; what is in order comes out.
    pub fn push(&mut self, seq: u32, bytes: &[u8], out: &mut dyn FnMut(Piece<'_>)) {
        let (start, skip) = self.place(seq);
        let Some(bytes) = bytes.get(skip..).filter(|rest| !rest.is_empty()) else { return };
        if start == self.next {
            self.emit(bytes, out);
            self.release(out);
        } else {
            self.hold(start, bytes);
            while self.over_limit() {
                self.give_up_hole(out);
            }
        }
    }

    /// The bytes before `seq` that have not come out by now never will: the source lost them.
    pub fn skip_to(&mut self, seq: u32, out: &mut dyn FnMut(Piece<'_>)) {
        let (target, _) = self.place(seq);
        while self.first_held().is_some_and(|start| start <= target) {
            self.give_up_hole(out);
        }
        self.advance(target, out);
    }

    /// The flow ended: what is held comes out, with the gaps between.
    pub fn finish(&mut self, out: &mut dyn FnMut(Piece<'_>)) {
        while !self.held.is_empty() {
            self.give_up_hole(out);
        }
    }

    /// Bytes held out of order now.
    pub const fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Offset of `seq`, and how many bytes from there have come out already.
    fn place(&mut self, seq: u32) -> (u64, usize) {
        let origin = *self.origin.get_or_insert(seq);
        let expected = origin.wrapping_add(self.next as u32);
        let distance = seq.wrapping_sub(expected) as i32;
        match u64::try_from(distance) {
            Ok(ahead) => (self.next + ahead, 0),
            Err(_) => (self.next, distance.unsigned_abs() as usize),
        }
    }

    fn emit(&mut self, bytes: &[u8], out: &mut dyn FnMut(Piece<'_>)) {
        self.next += bytes.len() as u64;
        out(Piece::Bytes(bytes));
    }

    /// Moves on to `offset`, telling what was left out.
    fn advance(&mut self, offset: u64, out: &mut dyn FnMut(Piece<'_>)) {
        if offset > self.next {
            out(Piece::Gap { bytes: offset - self.next });
            self.next = offset;
        }
    }

    /// Lets out what is held and now in order.
    fn release(&mut self, out: &mut dyn FnMut(Piece<'_>)) {
        while let Some(entry) = self.held.first_entry().filter(|entry| *entry.key() <= self.next) {
            let done = (self.next - entry.key()) as usize;
            let piece = entry.remove();
            self.held_bytes -= piece.len();
            if let Some(rest) = piece.as_slice().get(done..).filter(|rest| !rest.is_empty()) {
                self.emit(rest, out);
            }
        }
    }

    fn give_up_hole(&mut self, out: &mut dyn FnMut(Piece<'_>)) {
        if let Some(start) = self.first_held() {
            self.advance(start, out);
            self.release(out);
        }
    }

    fn first_held(&self) -> Option<u64> {
        self.held.first_key_value().map(|(start, _)| *start)
    }

    fn over_limit(&self) -> bool {
        self.held_bytes > self.limits.held_bytes_max || self.held.len() > self.limits.held_pieces_max
    }

    /// Holds what of `bytes` is not held yet: the parts between the pieces it overlaps.
    fn hold(&mut self, start: u64, bytes: &[u8]) {
        let end = start + bytes.len() as u64;
        let mut at = self.end_of_held_before(start).map_or(start, |held| held.max(start));
        while at < end {
            let taken =
                self.held.range(at..end).next().map(|(from, piece)| (*from, *from + piece.len() as u64));
            let (until, resume) = taken.unwrap_or((end, end));
            self.insert(at, &bytes[(at - start) as usize..(until - start) as usize]);
            at = resume;
        }
    }

    /// Adds a piece that overlaps none, to the one it continues if there is one.
    fn insert(&mut self, at: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.held_bytes += bytes.len();
        match self.held.range_mut(..at).next_back() {
            Some((start, piece)) if *start + piece.len() as u64 == at => piece.append(bytes),
            _ => _ = self.held.insert(at, Plain::copy_of(bytes)),
        }
    }

    fn end_of_held_before(&self, offset: u64) -> Option<u64> {
        self.held.range(..offset).next_back().map(|(start, piece)| start + piece.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, PartialEq, Eq, Clone)]
    enum Seen {
        Bytes(Vec<u8>),
        Gap(u64),
    }

    /// Joins neighbouring byte pieces, so that only content and gaps are compared.
    #[derive(Default)]
    struct Log(Vec<Seen>);

    impl Log {
        fn add(&mut self, piece: Piece<'_>) {
            match (piece, self.0.last_mut()) {
                (Piece::Bytes(bytes), Some(Seen::Bytes(last))) => last.extend_from_slice(bytes),
                (Piece::Bytes(bytes), _) => self.0.push(Seen::Bytes(bytes.to_vec())),
                (Piece::Gap { bytes }, _) => self.0.push(Seen::Gap(bytes)),
            }
        }
    }

    fn bytes(text: &str) -> Seen {
        Seen::Bytes(text.as_bytes().to_vec())
    }

    fn check(segments: &[(u32, &str)], expected: &[Seen]) {
        let (mut order, mut log) = (Reassembly::new(Limits::default()), Log::default());
        for (seq, payload) in segments {
            order.push(*seq, payload.as_bytes(), &mut |piece| log.add(piece));
        }
        order.finish(&mut |piece| log.add(piece));
        assert_eq!(log.0, expected, "{segments:?}");
    }

    #[test]
    fn cases() {
        check(&[(10, "abc"), (13, "def")], &[bytes("abcdef")]);
        check(&[(10, "abc"), (10, "abc"), (11, "bc"), (13, "d")], &[bytes("abcd")]);
        check(&[(10, "abc"), (12, "cde")], &[bytes("abcde")]);
        check(&[(10, "a"), (12, "c"), (11, "b")], &[bytes("abc")]);
        check(&[(10, "a"), (14, "e"), (12, "c"), (11, "bcde")], &[bytes("abcde")]);
        check(&[(10, "a"), (13, "d"), (11, "bcdef")], &[bytes("abcdef")]);
        check(&[(10, "a"), (12, "cd"), (13, "de"), (11, "b")], &[bytes("abcde")]);
        check(&[(10, "a"), (15, "f")], &[bytes("a"), Seen::Gap(4), bytes("f")]);
        check(&[(u32::MAX - 1, "ab"), (0, "cd"), (u32::MAX, "bcde")], &[bytes("abcde")]);
        check(&[(10, ""), (10, "a"), (9, "")], &[bytes("a")]);
    }

    #[test]
    fn first_copy_of_held_bytes_counts() {
        check(&[(0, "a"), (2, "CD"), (1, "bxxe")], &[bytes("abxxe")]);
        check(&[(0, "a"), (3, "D"), (2, "cxe"), (1, "b")], &[bytes("abcDe")]);
    }

    #[test]
    fn skip_to_sets_the_start_and_tells_losses() {
        let (mut order, mut log) = (Reassembly::new(Limits::default()), Log::default());
        order.skip_to(100, &mut |piece| log.add(piece));
        order.push(98, b"xxab", &mut |piece| log.add(piece));
        order.push(105, b"f", &mut |piece| log.add(piece));
        order.push(120, b"z", &mut |piece| log.add(piece));
        order.skip_to(110, &mut |piece| log.add(piece));
        order.push(110, b"k", &mut |piece| log.add(piece));
        order.skip_to(90, &mut |piece| log.add(piece));
        let expected = [bytes("ab"), Seen::Gap(3), bytes("f"), Seen::Gap(4), bytes("k")];
        assert_eq!(log.0, expected);
    }

    #[test]
    fn a_full_hold_makes_the_hole_a_gap() {
        let limits = Limits { held_bytes_max: 4, held_pieces_max: 2 };
        let (mut order, mut log) = (Reassembly::new(limits), Log::default());
        order.push(0, b"a", &mut |piece| log.add(piece));
        order.push(5, b"fghij", &mut |piece| log.add(piece));
        assert_eq!(log.0, [bytes("a"), Seen::Gap(4), bytes("fghij")]);
        for seq in [12, 14, 16] {
            order.push(seq, b"-", &mut |piece| log.add(piece));
        }
        assert_eq!(log.0[3..], [Seen::Gap(2), bytes("-")]);
        assert_eq!(order.held_bytes(), 2);
    }

    proptest! {
        /// Consistent copies of one stream, cut, doubled, overlapped and shuffled, give the stream.
        #[test]
        fn agrees_with_the_stream(
            origin in prop_oneof![any::<u32>(), (u32::MAX - 300)..=u32::MAX],
            stream in proptest::collection::vec(any::<u8>(), 1..400),
            cuts in proptest::collection::vec((0usize..400, 0usize..60), 0..60),
            seed in any::<u64>(),
        ) {
            let mut segments: Vec<(usize, usize)> = cuts.iter()
                .map(|(from, len)| (from % stream.len(), (from % stream.len() + len).min(stream.len())))
                .collect();
            segments.extend((0..stream.len()).step_by(37).map(|from| (from, (from + 37).min(stream.len()))));
            shuffle(&mut segments, seed);
            let (mut order, mut log) = (Reassembly::new(Limits::default()), Log::default());
            order.skip_to(origin, &mut |piece| log.add(piece));
            for (from, to) in segments {
                let seq = origin.wrapping_add(from as u32);
                order.push(seq, &stream[from..to], &mut |piece| log.add(piece));
            }
            prop_assert_eq!(log.0, vec![Seen::Bytes(stream)]);
            prop_assert_eq!(order.held_bytes(), 0);
        }

        /// With pieces missing, bytes and gaps are those of a map of offset to byte, in one left-to-right walk.
        #[test]
        fn agrees_with_a_naive_map_when_bytes_are_missing(
            pieces in proptest::collection::vec((1u32..500, proptest::collection::vec(any::<u8>(), 1..20)), 1..40),
            origin in any::<u32>(),
        ) {
            let (mut order, mut log) = (Reassembly::new(Limits::default()), Log::default());
            order.skip_to(origin, &mut |piece| log.add(piece));
            let mut naive: BTreeMap<u64, u8> = BTreeMap::new();
            for (from, payload) in &pieces {
                // Offset 0 never arrives, so that everything is held to the end: the first copy counts.
                order.push(origin.wrapping_add(*from), payload, &mut |piece| log.add(piece));
                for (index, byte) in payload.iter().enumerate() {
                    naive.entry(u64::from(*from) + index as u64).or_insert(*byte);
                }
            }
            order.finish(&mut |piece| log.add(piece));
            let (mut expected, mut at) = (Log::default(), 0);
            for (offset, byte) in naive {
                if offset > at {
                    expected.add(Piece::Gap { bytes: offset - at });
                }
                expected.add(Piece::Bytes(&[byte]));
                at = offset + 1;
            }
            prop_assert_eq!(log.0, expected.0);
        }

        /// Whatever arrives: bounded memory, and bytes plus gaps never exceed the distance covered.
        #[test]
        fn arbitrary_segments_stay_within_limits(
            pieces in proptest::collection::vec((any::<u32>(), 0usize..3000), 0..200),
        ) {
            let limits = Limits { held_bytes_max: 8192, held_pieces_max: 8 };
            let mut order = Reassembly::new(limits);
            let payload = vec![0u8; 3000];
            for (seq, len) in pieces {
                order.push(seq, &payload[..len], &mut |_| {});
                prop_assert!(order.held_bytes() <= limits.held_bytes_max);
                prop_assert!(order.held.len() <= limits.held_pieces_max);
            }
        }
    }

    fn shuffle<T>(items: &mut [T], mut seed: u64) {
        for index in (1..items.len()).rev() {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            items.swap(index, (seed >> 33) as usize % (index + 1));
        }
    }
}
