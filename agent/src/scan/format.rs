//! Files that are not what they hold, and that no decoder undoes: network captures and some compressed files, known by
//! their first bytes.

/// First bytes that are enough to know each format.
pub const MAGIC_BYTES: usize = 12;

/// A format that hides what it holds from the decoders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Packets: their payload is in pieces, and in no order.
    Capture(&'static str),
    /// Smaller than what it holds.
    Compressed(&'static str),
}

use Format::{Capture, Compressed};

/// What each begins with: draft-ietf-opsawg-pcap, and the formats' own descriptions.
const MAGICS: [(&[u8], Format); 9] = [
    (b"\xA1\xB2\xC3\xD4", Capture("pcap")),
    (b"\xD4\xC3\xB2\xA1", Capture("pcap")),
    (b"\xA1\xB2\x3C\x4D", Capture("pcap")),
    (b"\x4D\x3C\xB2\xA1", Capture("pcap")),
    (b"\xFD7zXZ\x00", Compressed("xz")),
    (b"7z\xBC\xAF\x27\x1C", Compressed("7z")),
    (b"\x04\x22\x4D\x18", Compressed("lz4")),
    (b"BZh", Compressed("bzip2")),
    (b"%PDF-", Compressed("PDF")),
];

/// A pcapng file begins with a section header (draft-ietf-opsawg-pcapng): a type, a length, a word that tells the order
/// of bytes. The type alone is four line ends.
const SECTION: &[u8] = b"\n\r\r\n";
const ORDERS: [[u8; 4]; 2] = [*b"\x1A\x2B\x3C\x4D", *b"\x4D\x3C\x2B\x1A"];

/// What stands behind a bzip2 file's level: its first block.
const BZIP2_BLOCK: &[u8] = b"1AY&SY";

impl Format {
    /// What a file is that begins with `bytes`, of which [`MAGIC_BYTES`] are enough; nothing for all other files.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let is_section = bytes.starts_with(SECTION)
            && bytes.get(8..MAGIC_BYTES).is_some_and(|order| ORDERS.iter().any(|it| it == order));
        if is_section {
            return Some(Capture("pcapng"));
        }
        let (_, format) = MAGICS.into_iter().find(|(magic, _)| bytes.starts_with(magic))?;
        let is_word = format == Compressed("bzip2") && bytes.get(4..10) != Some(BZIP2_BLOCK);
        (!is_word).then_some(format)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        let cases: &[(&[u8], Option<Format>)] = &[
            (b"", None),
            (b"\xD4\xC3\xB2\xA1\x02\x00\x04\x00", Some(Capture("pcap"))),
            (b"\xD4\xC3\xB2", None),
            (b"\n\r\r\n\x1C\x00\x00\x00\x4D\x3C\x2B\x1A\x01", Some(Capture("pcapng"))),
            (b"\n\r\r\n\x00\x00\x00\x1C\x1A\x2B\x3C\x4D", Some(Capture("pcapng"))),
            (b"\n\r\r\nfour line ends", None),
            (b"\n\r\r\n", None),
            (b"\x1F\x8B\x08\x00", None),
            (b"PK\x03\x04\x14", None),
            (b"BZh91AY&SY", Some(Compressed("bzip2"))),
            (b"BZhe is no archive", None),
            (b"%PDF-1.7", Some(Compressed("PDF"))),
            (b"{\"cpr\":1}", None),
        ];
        for (bytes, expected) in cases {
            assert_eq!(Format::of(bytes), *expected, "{bytes:?}");
        }
    }
}
