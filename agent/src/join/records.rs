//! Following TLS record headers in copied bytes, where the kernel programs handed a flow over.

/// Bytes of a record header.
const HEADER_LEN: usize = 5;
/// Longest record (RFC 5246, 6.2.3: 2^14 bytes and 2048 of expansion).
const RECORD_LEN_MAX: u64 = (1 << 14) + 2048;

/// A record's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordHeader {
    /// Content type.
    pub content: u32,
    /// Bytes behind the header.
    pub length: u32,
}

/// What the reader met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Met {
    /// A record.
    Record(RecordHeader),
    /// Bytes that are no record, nor is anything behind them.
    NoRecord {
        /// How many.
        bytes: u64,
    },
}

/// The place in a sequence of records.
#[derive(Default)]
pub struct RecordReader {
    header: Vec<u8>,
    body_left: u64,
    broken: bool,
}

impl RecordReader {
    /// Reads the next bytes of the flow.
    pub fn push(&mut self, mut bytes: &[u8], out: &mut dyn FnMut(Met)) {
        while !bytes.is_empty() {
            if self.broken {
                return out(Met::NoRecord { bytes: bytes.len() as u64 });
            }
            bytes = if self.body_left > 0 { self.skip_body(bytes) } else { self.read_header(bytes, out) };
        }
    }

    fn skip_body<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let skip = usize::try_from(self.body_left).unwrap_or(usize::MAX).min(bytes.len());
        self.body_left -= skip as u64;
        &bytes[skip..]
    }

    fn read_header<'a>(&mut self, bytes: &'a [u8], out: &mut dyn FnMut(Met)) -> &'a [u8] {
        let take = (HEADER_LEN - self.header.len()).min(bytes.len());
        self.header.extend_from_slice(&bytes[..take]);
        if let [content, major, minor, high, low] = self.header[..] {
            let length = u64::from(u16::from_be_bytes([high, low]));
            self.header.clear();
            if !(20..=24).contains(&content) || major != 3 || minor > 4 || length > RECORD_LEN_MAX {
                self.broken = true;
                out(Met::NoRecord { bytes: HEADER_LEN as u64 });
            } else {
                self.body_left = length;
                out(Met::Record(RecordHeader { content: u32::from(content), length: length as u32 }));
            }
        }
        &bytes[take..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pieces: &[&[u8]]) -> Vec<Met> {
        let mut reader = RecordReader::default();
        let mut met = Vec::new();
        for piece in pieces {
            reader.push(piece, &mut |it| met.push(it));
        }
        met
    }

    #[test]
    fn two_records_are_found_at_every_split_point() {
        let bytes = [23, 3, 3, 0, 4, 1, 2, 3, 4, 21, 3, 3, 0, 2, 9, 9];
        let expected = [
            Met::Record(RecordHeader { content: 23, length: 4 }),
            Met::Record(RecordHeader { content: 21, length: 2 }),
        ];
        for split in 0..=bytes.len() {
            assert_eq!(read(&[&bytes[..split], &bytes[split..]]), expected, "split at {split}");
        }
    }

    #[test]
    fn an_empty_record_is_a_record() {
        assert_eq!(read(&[&[23, 3, 3, 0, 0]]), [Met::Record(RecordHeader { content: 23, length: 0 })]);
    }

    #[test]
    fn what_is_no_record_ends_the_reading_and_is_counted() {
        assert_eq!(read(&[b"GET / HTTP"]), [Met::NoRecord { bytes: 5 }, Met::NoRecord { bytes: 5 }]);
        assert_eq!(read(&[&[23, 3, 3, 0xff, 0xff]]), [Met::NoRecord { bytes: 5 }]);
    }
}
