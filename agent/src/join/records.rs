//! Following TLS record headers in copied bytes, where the kernel programs handed a flow over.

use cprvagt_abi::TlsRecord;

/// Bytes of a record header.
const HEADER_LEN: usize = 5;
/// Longest record (RFC 5246, 6.2.3: 2^14 bytes and 2048 of expansion).
const RECORD_LEN_MAX: u16 = (1 << 14) + 2048;

/// A record's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordHeader {
    /// Content type.
    pub content: u32,
    /// Bytes behind the header.
    pub length: u32,
    /// TCP sequence number of its first byte.
    pub seq: u32,
}

impl RecordHeader {
    /// As the kernel program read it.
    pub const fn of(record: &TlsRecord) -> Self {
        Self { content: record.content, length: record.length, seq: record.seq }
    }
}

/// What the reader met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Met<'a> {
    /// A record.
    Record(RecordHeader),
    /// Bytes that are no record, nor is anything behind them.
    NoRecord(&'a [u8]),
}

/// The place in a sequence of records.
#[derive(Default)]
pub struct RecordReader {
    header: [u8; HEADER_LEN],
    header_len: usize,
    /// Where the header begins.
    header_seq: u32,
    body_left: u64,
    broken: bool,
}

impl RecordReader {
    /// Reads the next bytes of the flow, which begin at this sequence number.
    pub fn push(&mut self, seq: u32, mut bytes: &[u8], out: &mut dyn FnMut(Met<'_>)) {
        let end = seq.wrapping_add(bytes.len() as u32);
        while !bytes.is_empty() {
            if self.broken {
                return out(Met::NoRecord(bytes));
            }
            bytes =
                if self.body_left > 0 { self.skip_body(bytes) } else { self.read_header(end, bytes, out) };
        }
    }

    /// Bytes are missing here; returns how many of them are of a record that was met. Outside a record's
    /// body it is then unknown where the next one begins.
    pub fn skip(&mut self, bytes: u64, out: &mut dyn FnMut(Met<'_>)) -> u64 {
        let within = bytes.min(self.body_left);
        self.body_left -= within;
        if within < bytes {
            self.give_up(out);
        }
        within
    }

    /// Bytes of a header that is not whole.
    pub const fn header_len(&self) -> usize {
        self.header_len
    }

    fn skip_body<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let skip = usize::try_from(self.body_left).unwrap_or(usize::MAX).min(bytes.len());
        self.body_left -= skip as u64;
        &bytes[skip..]
    }

    fn read_header<'a>(&mut self, end: u32, bytes: &'a [u8], out: &mut dyn FnMut(Met<'_>)) -> &'a [u8] {
        if self.header_len == 0 {
            self.header_seq = end.wrapping_sub(bytes.len() as u32);
        }
        let take = (HEADER_LEN - self.header_len).min(bytes.len());
        self.header[self.header_len..self.header_len + take].copy_from_slice(&bytes[..take]);
        self.header_len += take;
        if self.header_len == HEADER_LEN {
            match parse(self.header, self.header_seq) {
                Some(header) => {
                    self.header_len = 0;
                    self.body_left = u64::from(header.length);
                    out(Met::Record(header));
                }
                None => self.give_up(out),
            }
        }
        &bytes[take..]
    }

    fn give_up(&mut self, out: &mut dyn FnMut(Met<'_>)) {
        self.broken = true;
        self.body_left = 0;
        let waiting = std::mem::take(&mut self.header_len);
        if waiting > 0 {
            out(Met::NoRecord(&self.header[..waiting]));
        }
    }
}

fn parse([content, major, minor, high, low]: [u8; HEADER_LEN], seq: u32) -> Option<RecordHeader> {
    let length = u16::from_be_bytes([high, low]);
    let sound = (20..=24).contains(&content) && major == 3 && minor <= 4 && length <= RECORD_LEN_MAX;
    sound.then(|| RecordHeader { content: u32::from(content), length: u32::from(length), seq })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: [u8; 16] = [23, 3, 3, 0, 4, 1, 2, 3, 4, 21, 3, 3, 0, 2, 9, 9];

    /// Reads pieces, between them holes of the given lengths: what was met, and the bytes of no record.
    fn read(pieces: &[(u64, &[u8])]) -> (Vec<(u32, u32)>, Vec<u8>) {
        let mut reader = RecordReader::default();
        let (mut records, mut rest, mut seqs) = (Vec::new(), Vec::new(), Vec::new());
        let mut take = |met: Met<'_>| match met {
            Met::Record(header) => {
                records.push((header.content, header.length));
                seqs.push(header.seq);
            }
            Met::NoRecord(bytes) => rest.extend_from_slice(bytes),
        };
        // Sequence numbers wrap within the first record.
        let mut seq = u32::MAX - 2;
        for (hole, piece) in pieces {
            if *hole > 0 {
                reader.skip(*hole, &mut take);
            }
            seq = seq.wrapping_add(*hole as u32);
            reader.push(seq, piece, &mut take);
            seq = seq.wrapping_add(piece.len() as u32);
        }
        assert!(seqs.iter().zip([u32::MAX - 2, 6]).all(|(seq, begins)| *seq == begins), "{seqs:?}");
        (records, rest)
    }

    #[test]
    fn two_records_are_found_at_every_split_point() {
        for split in 0..=TWO.len() {
            let found = read(&[(0, &TWO[..split]), (0, &TWO[split..])]);
            assert_eq!(found, (vec![(23, 4), (21, 2)], vec![]), "split at {split}");
        }
    }

    #[test]
    fn an_empty_record_is_a_record() {
        assert_eq!(read(&[(0, &[23, 3, 3, 0, 0])]), (vec![(23, 0)], vec![]));
    }

    #[test]
    fn what_is_no_record_ends_the_reading_and_is_handed_on_whole() {
        let text = b"GET / HTTP";
        for split in 0..=text.len() {
            assert_eq!(read(&[(0, &text[..split]), (0, &text[split..])]), (vec![], text.to_vec()), "{split}");
        }
        assert_eq!(read(&[(0, &[23, 3, 3, 0xff, 0xff])]).0, []);
        assert_eq!(read(&[(0, &[19, 3, 3, 0, 1])]).0, []);
        assert_eq!(read(&[(0, &[23, 3, 5, 0, 1])]).0, []);
    }

    #[test]
    fn a_hole_within_a_record_keeps_the_place_and_any_other_loses_it() {
        assert_eq!(read(&[(0, &TWO[..6]), (3, &TWO[9..])]), (vec![(23, 4), (21, 2)], vec![]));
        assert_eq!(read(&[(0, &TWO[..6]), (4, &TWO[10..])]), (vec![(23, 4)], TWO[10..].to_vec()));
        assert_eq!(
            read(&[(0, &TWO[..11]), (1, &TWO[12..])]),
            (vec![(23, 4)], [&TWO[9..11], &TWO[12..]].concat())
        );
    }
}
