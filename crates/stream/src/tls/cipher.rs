//! How many application bytes a TLS record carries, by version and cipher suite.
//!
//! Suites are the numbers of the IANA registry "TLS Cipher Suites". Overheads: RFC 8446 section 5.2 (TLS 1.3),
//! RFC 5288 (GCM), RFC 6655 (CCM), RFC 7905 (ChaCha20-Poly1305), RFC 5246 section 6.2.3 (CBC and stream
//! ciphers), RFC 7366 (encrypt-then-MAC).
//!
//! *Units*: bytes, without the record's 5-byte header.
//!
//! *Limits*: assumes no padding beyond what the cipher needs: TLS 1.3 padding and CBC padding of several
//! blocks, both allowed and both unusual, carry less than is told here. No TLS compression.

use super::{TLS_1_2, TLS_1_3};

/// How many application bytes a record of type 23 carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlainLen {
    /// Exactly this many.
    Exact(usize),
    /// From `min` to `max`, both included: CBC padding hides the length.
    Range {
        /// The least.
        min: usize,
        /// The most.
        max: usize,
    },
    /// The cipher suite is not known, or no record of it is this short.
    Unknown,
}

impl PlainLen {
    /// Whether a write of `len` bytes fits a record of this length. `Unknown` admits any.
    pub const fn admits(self, len: usize) -> bool {
        match self {
            Self::Exact(exact) => len == exact,
            Self::Range { min, max } => min <= len && len <= max,
            Self::Unknown => true,
        }
    }
}

/// How many application bytes a record of type 23 and `record_len` bytes carries, where `version` is the one
/// agreed on (e.g. 0x0303) and `cipher` the number of the suite.
pub fn plain_len(version: u16, cipher: u16, record_len: usize) -> PlainLen {
    let overhead = match version {
        TLS_1_3 => tls13(cipher),
        0x0301..=TLS_1_2 => tls12(cipher),
        _ => None,
    };
    overhead.map_or(PlainLen::Unknown, |overhead| overhead.applied(version, record_len))
}

/// What a record adds to the application bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Overhead {
    /// A fixed number of bytes: nonce, tag, MAC, inner type.
    Fixed(usize),
    /// Initialisation vector and padding to a block, and a MAC; MAC first or last makes no difference to the
    /// length range.
    Cbc { block: usize, mac: usize },
}

impl Overhead {
    fn applied(self, version: u16, record_len: usize) -> PlainLen {
        let (least, most) = match self {
            Self::Fixed(count) => (count, count),
            Self::Cbc { block, mac } => {
                // TLS 1.0 has no explicit vector (RFC 4346, section 1.1).
                let vector = if version == 0x0301 { 0 } else { block };
                (vector + mac + 1, vector + mac + block)
            }
        };
        match (record_len.checked_sub(least), least == most) {
            (None, _) => PlainLen::Unknown,
            (Some(exact), true) => PlainLen::Exact(exact),
            (Some(max), false) => PlainLen::Range { min: record_len.saturating_sub(most), max },
        }
    }
}

/// The tag and the inner content type.
const fn tls13(cipher: u16) -> Option<Overhead> {
    match cipher {
        0x1301..=0x1304 | 0x00C6 | 0x00C7 => Some(Overhead::Fixed(17)),
        0x1305 => Some(Overhead::Fixed(9)),
        _ => None,
    }
}

const MD5: usize = 16;
const SHA1: usize = 20;
const SHA256: usize = 32;
const SHA384: usize = 48;

const fn tls12(cipher: u16) -> Option<Overhead> {
    if let Some(count) = aead(cipher) {
        return Some(Overhead::Fixed(count));
    }
    if let Some(mac) = unpadded(cipher) {
        return Some(Overhead::Fixed(mac));
    }
    match (cbc_16(cipher), cbc_8(cipher)) {
        (Some(mac), _) => Some(Overhead::Cbc { block: 16, mac }),
        (None, Some(mac)) => Some(Overhead::Cbc { block: 8, mac }),
        _ => None,
    }
}

/// Explicit nonce and tag of AEAD suites.
const fn aead(cipher: u16) -> Option<usize> {
    match cipher {
        // GCM of AES, ARIA and Camellia.
        0x009C..=0x00AD | 0xC02B..=0xC032 | 0xC050..=0xC063 | 0xC06A..=0xC06F => Some(24),
        0xC07A..=0xC093 | 0xC0B0 | 0xC0B1 | 0xD001 | 0xD002 => Some(24),
        // CCM with a tag of 16 bytes, then of 8.
        0xC09C..=0xC09F | 0xC0A4..=0xC0A7 | 0xC0AC | 0xC0AD | 0xC0B2 | 0xC0B3 | 0xD005 => Some(24),
        0xC0A0..=0xC0A3 | 0xC0A8..=0xC0AB | 0xC0AE | 0xC0AF | 0xD003 => Some(16),
        // ChaCha20-Poly1305 has no explicit nonce.
        0xCCA8..=0xCCAE => Some(16),
        _ => None,
    }
}

/// MAC of suites with RC4 or without encryption.
const fn unpadded(cipher: u16) -> Option<usize> {
    match cipher {
        0x0001 | 0x0004 | 0x0018 => Some(MD5),
        0x0002 | 0x0005 | 0x002C..=0x002E | 0x008A | 0x008E | 0x0092 => Some(SHA1),
        0xC001 | 0xC002 | 0xC006 | 0xC007 | 0xC00B | 0xC00C | 0xC010 | 0xC011 => Some(SHA1),
        0xC015 | 0xC016 | 0xC033 | 0xC039 => Some(SHA1),
        0x003B | 0x00B0 | 0x00B4 | 0x00B8 | 0xC03A => Some(SHA256),
        0x00B1 | 0x00B5 | 0x00B9 | 0xC03B => Some(SHA384),
        _ => None,
    }
}

/// MAC of CBC suites with blocks of 16 bytes: AES, Camellia, SEED, ARIA.
const fn cbc_16(cipher: u16) -> Option<usize> {
    match cipher {
        0x002F..=0x003A | 0x0041..=0x0046 | 0x0084..=0x0089 | 0x0096..=0x009B => Some(SHA1),
        0x008C | 0x008D | 0x0090 | 0x0091 | 0x0094 | 0x0095 => Some(SHA1),
        0xC004 | 0xC005 | 0xC009 | 0xC00A | 0xC00E | 0xC00F | 0xC013 | 0xC014 => Some(SHA1),
        0xC018 | 0xC019 | 0xC01D..=0xC022 | 0xC035 | 0xC036 => Some(SHA1),
        0x003C..=0x0040 | 0x0067..=0x006D | 0x00AE | 0x00B2 | 0x00B6 | 0x00BA..=0x00C5 => Some(SHA256),
        0x00AF | 0x00B3 | 0x00B7 => Some(SHA384),
        // These come in pairs: odd (AES) or even (ARIA, Camellia) numbers have the 128-bit key and SHA-256.
        0xC023..=0xC02A | 0xC037 | 0xC038 => Some(if cipher % 2 == 1 { SHA256 } else { SHA384 }),
        0xC03C..=0xC04F | 0xC064..=0xC069 | 0xC070..=0xC079 | 0xC094..=0xC09B => {
            Some(if cipher % 2 == 1 { SHA384 } else { SHA256 })
        }
        _ => None,
    }
}

/// MAC of CBC suites with blocks of 8 bytes: 3DES, DES, IDEA.
const fn cbc_8(cipher: u16) -> Option<usize> {
    match cipher {
        0x0007 | 0x0009 | 0x000A | 0x000C | 0x000D | 0x000F | 0x0010 | 0x0012 | 0x0013 => Some(SHA1),
        0x0015 | 0x0016 | 0x001A | 0x001B | 0x008B | 0x008F | 0x0093 => Some(SHA1),
        0xC003 | 0xC008 | 0xC00D | 0xC012 | 0xC017 | 0xC01A..=0xC01C | 0xC034 => Some(SHA1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths() {
        let cases: &[(u16, u16, usize, PlainLen)] = &[
            (TLS_1_3, 0x1301, 117, PlainLen::Exact(100)),
            (TLS_1_3, 0x1303, 17, PlainLen::Exact(0)),
            (TLS_1_3, 0x1305, 109, PlainLen::Exact(100)),
            (TLS_1_3, 0x1302, 16, PlainLen::Unknown),
            (TLS_1_3, 0xC02F, 117, PlainLen::Unknown),
            (TLS_1_2, 0xC02F, 124, PlainLen::Exact(100)),
            (TLS_1_2, 0x009D, 124, PlainLen::Exact(100)),
            (TLS_1_2, 0xC0AC, 124, PlainLen::Exact(100)),
            (TLS_1_2, 0xC0AE, 116, PlainLen::Exact(100)),
            (TLS_1_2, 0xCCA8, 116, PlainLen::Exact(100)),
            (TLS_1_2, 0x0005, 120, PlainLen::Exact(100)),
            // 100 + 20 MAC + 8 padding = 128, and 16 of vector.
            (TLS_1_2, 0xC013, 144, PlainLen::Range { min: 92, max: 107 }),
            (0x0301, 0xC013, 128, PlainLen::Range { min: 92, max: 107 }),
            (TLS_1_2, 0xC027, 160, PlainLen::Range { min: 96, max: 111 }),
            (TLS_1_2, 0xC028, 176, PlainLen::Range { min: 96, max: 111 }),
            (TLS_1_2, 0x000A, 136, PlainLen::Range { min: 100, max: 107 }),
            (TLS_1_2, 0x1301, 117, PlainLen::Unknown),
            (TLS_1_2, 0x00FF, 117, PlainLen::Unknown),
            (0xFEFD, 0xC02F, 124, PlainLen::Unknown),
        ];
        for (version, cipher, len, expected) in cases {
            assert_eq!(plain_len(*version, *cipher, *len), *expected, "{version:04x} {cipher:04x} {len}");
        }
    }

    /// RFC 5246 and RFC 7366 forwards: what a sender makes of each length must be admitted.
    #[test]
    fn cbc_range_admits_both_orders_of_mac() {
        for len in 0..200usize {
            for mac in [SHA1, SHA256, SHA384] {
                let mac_then_encrypt = 16 + (len + mac + 1).next_multiple_of(16);
                let encrypt_then_mac = 16 + (len + 1).next_multiple_of(16) + mac;
                for record_len in [mac_then_encrypt, encrypt_then_mac] {
                    let found = Overhead::Cbc { block: 16, mac }.applied(TLS_1_2, record_len);
                    assert!(found.admits(len), "{len} {mac} {record_len} {found:?}");
                    assert!(!found.admits(len + 16), "{len} {mac} {record_len} {found:?}");
                }
            }
        }
    }

    /// No suite stands in two tables.
    #[test]
    fn tables_are_disjoint() {
        for cipher in 0..=u16::MAX {
            let found = [aead(cipher), unpadded(cipher), cbc_16(cipher), cbc_8(cipher)];
            assert!(found.iter().flatten().count() <= 1, "{cipher:04x}");
        }
    }
}
