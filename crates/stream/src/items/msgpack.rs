//! Heads of MessagePack objects, by its specification.

use super::Item;

/// Reads the head that `bytes` begin with, and its length.
pub(super) fn head(bytes: &[u8]) -> Option<(Item, usize)> {
    let first = *bytes.first()?;
    let small = |mask: u8| u64::from(first & mask);
    let number = |len: usize| {
        let bytes = bytes.get(1..=len)?;
        Some(bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    };
    let item = match first {
        0x00..=0x7F => (Item::Integer(small(0x7F)), 1),
        0x80..=0x8F => (Item::Map(Some(small(0x0F))), 1),
        0x90..=0x9F => (Item::Array(Some(small(0x0F))), 1),
        0xA0..=0xBF => (Item::String(small(0x1F)), 1),
        0xC0 | 0xC2 | 0xC3 | 0xE0..=0xFF => (Item::Other(0), 1),
        0xC1 => return None,
        0xC4 | 0xD9 => (Item::String(number(1)?), 2),
        0xC5 | 0xDA => (Item::String(number(2)?), 3),
        0xC6 | 0xDB => (Item::String(number(4)?), 5),
        0xC7 => (Item::Other(number(1)? + 1), 2),
        0xC8 => (Item::Other(number(2)? + 1), 3),
        0xC9 => (Item::Other(number(4)? + 1), 5),
        0xCA => (Item::Other(4), 1),
        0xCB => (Item::Other(8), 1),
        0xCC => (Item::Integer(number(1)?), 2),
        0xCD => (Item::Integer(number(2)?), 3),
        0xCE => (Item::Integer(number(4)?), 5),
        0xCF => (Item::Integer(number(8)?), 9),
        0xD0 => (Item::Other(1), 1),
        0xD1 => (Item::Other(2), 1),
        // A number that fits is often sent as a signed one.
        0xD2 => (signed(number(4)?, 32), 5),
        0xD3 => (signed(number(8)?, 64), 9),
        0xD4..=0xD8 => (Item::Other((1 << (first - 0xD4)) + 1), 1),
        0xDC => (Item::Array(Some(number(2)?)), 3),
        0xDD => (Item::Array(Some(number(4)?)), 5),
        0xDE => (Item::Map(Some(number(2)?)), 3),
        0xDF => (Item::Map(Some(number(4)?)), 5),
    };
    Some(item)
}

fn signed(value: u64, bits: u32) -> Item {
    if value >> (bits - 1) == 0 { Item::Integer(value) } else { Item::Other(0) }
}
