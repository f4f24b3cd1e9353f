//! Heads of CBOR items (RFC 8949, section 3).

use super::Item;

/// Reads the head that `bytes` begin with, and its length.
pub(super) fn head(bytes: &[u8]) -> Option<(Item, usize)> {
    let first = *bytes.first()?;
    let (major, low) = (first >> 5, first & 0x1F);
    let (argument, len) = argument(low, &bytes[1..])?;
    let item = match (major, argument) {
        (0, Some(value)) => Item::Integer(value),
        (1, Some(_)) => Item::Other(0),
        (2 | 3, Some(size)) => Item::String(size),
        // The chunks of a string are strings.
        (2 | 3, None) => Item::Array(None),
        (4, count) => Item::Array(count),
        (5, count) => Item::Map(count),
        (6, Some(_)) => Item::Tag,
        (7, None) => Item::Break,
        (7, Some(_)) => Item::Other(0),
        _ => return None,
    };
    Some((item, 1 + len))
}

/// The argument, `None` where it is indefinite, and how many bytes it has behind the first one.
fn argument(low: u8, bytes: &[u8]) -> Option<(Option<u64>, usize)> {
    let len = match low {
        0..=23 => return Some((Some(low.into()), 0)),
        24..=27 => 1 << (low - 24),
        31 => return Some((None, 0)),
        _ => return None,
    };
    let value = bytes.get(..len)?.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
    Some((Some(value), len))
}
