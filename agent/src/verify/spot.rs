//! One record that is looked for on one connection: which bytes of it the capture shows.

use std::ops::Range;

use cprvagt_report::WireRecord;

/// Bytes of a record's header.
pub const HEADER_LEN: u64 = 5;
/// Content type of application data.
const APPLICATION_DATA: u8 = 23;

/// See the module. Positions count from the hello, as in the leak.
#[derive(Clone, Debug)]
pub struct Spot {
    record: WireRecord,
    header: [Option<u8>; HEADER_LEN as usize],
    /// Parts of the record that were on the wire, in order; no two touch.
    seen: Vec<Range<u64>>,
}

/// What a capture says of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is there, with all of its bytes.
    There,
    /// Something else is.
    Differs,
    /// Not all of its bytes are in the capture.
    Missing,
}

impl Spot {
    /// Nothing of it was seen.
    pub fn new(record: WireRecord) -> Self {
        Self { record, header: [None; HEADER_LEN as usize], seen: Vec::new() }
    }

    /// The same record, of which nothing was seen.
    pub fn emptied(&self) -> Self {
        Self::new(self.record)
    }

    /// Where the record lies.
    pub fn range(&self) -> Range<u64> {
        let at = self.record.at;
        at..at.saturating_add(HEADER_LEN + u64::from(self.record.length))
    }

    /// Takes bytes that begin at `at`, of which the capture kept the first ones.
    pub fn take(&mut self, at: u64, kept: &[u8], wire_len: u64) {
        let range = self.range();
        let part = at.max(range.start)..at.saturating_add(wire_len).min(range.end);
        if part.is_empty() {
            return;
        }
        for (index, byte) in self.header.iter_mut().enumerate() {
            let offset = range
                .start
                .checked_add(index as u64)
                .and_then(|it| it.checked_sub(at))
                .and_then(|it| usize::try_from(it).ok());
            // Bytes that come twice are the same: the first copy counts.
            *byte = byte.or(offset.and_then(|offset| kept.get(offset)).copied());
        }
        self.see(part);
    }

    fn see(&mut self, part: Range<u64>) {
        let apart = |it: &Range<u64>| it.end < part.start || part.end < it.start;
        let (mut kept, joined): (Vec<_>, Vec<_>) = self.seen.drain(..).partition(apart);
        let whole = joined.iter().fold(part.clone(), |a, b| a.start.min(b.start)..a.end.max(b.end));
        kept.push(whole);
        kept.sort_unstable_by_key(|it| it.start);
        self.seen = kept;
    }

    /// What the capture says of it.
    pub fn state(&self) -> State {
        // The field has 16 bits.
        let Ok(length) = u16::try_from(self.record.length) else { return State::Differs };
        let [high, low] = length.to_be_bytes();
        let is = |index: usize, fits: &dyn Fn(u8) -> bool| self.header[index].is_none_or(fits);
        let fits = is(0, &|it| it == APPLICATION_DATA)
            && is(1, &|it| it == 3)
            && is(2, &|it| it <= 4)
            && is(3, &|it| it == high)
            && is(4, &|it| it == low);
        let is_whole = self.seen == [self.range()] && self.header.iter().all(Option::is_some);
        match (fits, is_whole) {
            (false, _) => State::Differs,
            (true, true) => State::There,
            (true, false) => State::Missing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: [u8; 5] = [23, 3, 3, 0, 7];

    fn state(takes: &[(u64, &[u8], u64)]) -> State {
        let mut spot = Spot::new(WireRecord { at: 100, length: 7 });
        takes.iter().for_each(|(at, kept, len)| spot.take(*at, kept, *len));
        spot.state()
    }

    #[test]
    fn a_record_is_there_however_its_bytes_come() {
        let stream = [&[9; 10][..], &HEADER, &[1; 7], &[9; 10]].concat();
        for first in 0..=stream.len() {
            for second in first..=stream.len() {
                let part = |range: Range<usize>| {
                    (90 + range.start as u64, &stream[range.clone()], range.len() as u64)
                };
                let parts = [part(0..first), part(first..second), part(second..stream.len())];
                for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [1, 0, 2]] {
                    assert_eq!(state(&order.map(|it| parts[it])), State::There, "{first} {second}");
                }
                // And again, overlapping.
                assert_eq!(state(&[parts[1], part(0..second), part(first..stream.len())]), State::There);
                let is_record = first < 22 && second > 10 && first < second;
                let without = if is_record { State::Missing } else { State::There };
                assert_eq!(state(&[parts[0], parts[2]]), without, "{first} {second}");
            }
        }
    }

    #[test]
    fn a_cut_packet_shows_a_record_whose_header_it_kept() {
        for kept in 0..10 {
            let bytes = [&HEADER[..], &[1; 7]].concat();
            let expected = if kept < 5 { State::Missing } else { State::There };
            assert_eq!(state(&[(100, &bytes[..kept], 12)]), expected, "{kept}");
        }
    }

    #[test]
    fn another_record_is_told_by_one_byte() {
        for index in 0..5 {
            let mut header = HEADER;
            header[index] ^= 8;
            assert_eq!(state(&[(100, &header, 5)]), State::Differs, "{index}");
            assert_eq!(state(&[(100 + index as u64, &header[index..=index], 1)]), State::Differs, "{index}");
        }
        assert_eq!(state(&[(100, &[23, 3, 1, 0, 7], 12)]), State::There);
    }

    #[test]
    fn impossible_records_are_nowhere() {
        for (at, length) in [(u64::MAX - 2, 7), (u64::MAX - 2, u32::MAX), (0, 65_536)] {
            let mut spot = Spot::new(WireRecord { at, length });
            spot.take(at, &[23, 3, 3, 255, 255], 100);
            spot.take(0, &[23, 3, 3, 255, 255], u64::MAX);
            assert_ne!(spot.state(), State::There, "{at} {length}");
        }
    }
}
