//! What may stand between the date and the serial of a number: one list, read in two ways.
//!
//! Who knows how long a separator must be asks [`of_length`], which costs no branch: the bytes themselves are the key
//! of a table without collisions, which the compiler makes. Everybody else asks [`at`].

use crate::Shape;

/// The longest separator.
pub(crate) const BYTES_MAX: usize = 3;

/// Every separator and its shape. One that begins like another stands before it.
const SEPARATORS: [(&[u8], Shape); 18] = [
    (b" - ", Shape::SpacedHyphen),
    (b"-", Shape::Hyphen),
    (b" ", Shape::Space),
    (b"\t", Shape::Space),
    (b".", Shape::Dot),
    (b"/", Shape::Slash),
    (b"_", Shape::Underscore),
    (b"+", Shape::Plus),
    (b"%2d", Shape::Hyphen),
    (b"%2D", Shape::Hyphen),
    (b"%20", Shape::Space),
    ("\u{a0}".as_bytes(), Shape::Space),
    ("\u{ad}".as_bytes(), Shape::SoftHyphen),
    ("\u{2010}".as_bytes(), Shape::Hyphen),
    ("\u{2011}".as_bytes(), Shape::Hyphen),
    ("\u{2012}".as_bytes(), Shape::Dash),
    ("\u{2013}".as_bytes(), Shape::Dash),
    ("\u{2212}".as_bytes(), Shape::Dash),
];

/// Those that the full grammar has and the core grammar has not: tab, soft hyphen, minus sign.
const FULL_ONLY: [&[u8]; 3] = [b"\t", "\u{ad}".as_bytes(), "\u{2212}".as_bytes()];

/// The separator that `text` has at `at`, and its length in bytes.
pub(crate) fn at(text: &[u8], at: usize) -> Option<(usize, Shape)> {
    let rest = text.get(at..)?;
    let found = SEPARATORS.iter().find(|(bytes, _)| rest.starts_with(bytes));
    found.map(|(bytes, shape)| (bytes.len(), *shape))
}

/// The shape of the separator that is the lowest `length` bytes of `bytes`, the first byte lowest. Length 0 is none.
#[inline(always)]
pub(crate) fn of_length<const FULL: bool>(bytes: u32, length: usize) -> Option<Shape> {
    let key = bytes & MASKS[length % MASKS.len()] | of_bytes(length);
    let slot = &SLOTS[slot(FACTOR, key)];
    (slot.key == key && (FULL || slot.is_core)).then_some(slot.shape)
}

const MASKS: [u32; BYTES_MAX + 1] = [0, 0xFF, 0xFFFF, 0xFF_FFFF];

/// What a key has above the bytes: a zero byte behind a separator does not make it one of more bytes.
const fn of_bytes(length: usize) -> u32 {
    (length as u32) << (8 * BYTES_MAX)
}

const SLOTS_BITS: u32 = 7;

#[derive(Clone, Copy)]
struct Slot {
    key: u32,
    shape: Shape,
    is_core: bool,
}

/// No separator has 255 bytes, so this key is never asked for.
const EMPTY: Slot = Slot { key: u32::MAX, shape: Shape::Bare, is_core: false };

const FACTOR: u32 = factor();
static SLOTS: [Slot; 1 << SLOTS_BITS] = slots(FACTOR).expect("the factor was chosen so");

const fn slot(factor: u32, key: u32) -> usize {
    (key.wrapping_add(1).wrapping_mul(factor) >> (u32::BITS - SLOTS_BITS)) as usize
}

/// The first odd factor under which no two separators share a slot.
const fn factor() -> u32 {
    let mut factor = 0x9E37_79B9_u32;
    while slots(factor).is_none() {
        factor = factor.wrapping_add(0x0001_0002);
    }
    factor
}

const fn slots(factor: u32) -> Option<[Slot; 1 << SLOTS_BITS]> {
    let mut slots = [EMPTY; 1 << SLOTS_BITS];
    slots[slot(factor, 0)] = Slot { key: 0, shape: Shape::Bare, is_core: true };
    let mut row = 0;
    while row < SEPARATORS.len() {
        let (bytes, shape) = SEPARATORS[row];
        let at = slot(factor, key(bytes));
        if slots[at].key != EMPTY.key {
            return None;
        }
        slots[at] = Slot { key: key(bytes), shape, is_core: is_core(bytes) };
        row += 1;
    }
    Some(slots)
}

const fn key(bytes: &[u8]) -> u32 {
    let mut key = 0;
    let mut at = bytes.len();
    while at > 0 {
        at -= 1;
        key = key << 8 | bytes[at] as u32;
    }
    key | of_bytes(bytes.len())
}

const fn is_core(bytes: &[u8]) -> bool {
    let mut row = 0;
    while row < FULL_ONLY.len() {
        if key(FULL_ONLY[row]) == key(bytes) {
            return false;
        }
        row += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators() {
        let check = |text: &str, expected: Option<(usize, Shape)>| {
            assert_eq!(at(text.as_bytes(), 0), expected, "{text:?}");
        };
        check("-1", Some((1, Shape::Hyphen)));
        check(" - 1", Some((3, Shape::SpacedHyphen)));
        check(" 1", Some((1, Shape::Space)));
        check("\t1", Some((1, Shape::Space)));
        check("\u{a0}1", Some((2, Shape::Space)));
        check("%2d1", Some((3, Shape::Hyphen)));
        check("%2D1", Some((3, Shape::Hyphen)));
        check("%201", Some((3, Shape::Space)));
        check("\u{2010}", Some((3, Shape::Hyphen)));
        check("\u{2011}", Some((3, Shape::Hyphen)));
        check("\u{2012}", Some((3, Shape::Dash)));
        check("\u{2013}", Some((3, Shape::Dash)));
        check("\u{2212}", Some((3, Shape::Dash)));
        check("\u{ad}", Some((2, Shape::SoftHyphen)));
        check("\u{2014}", None);
        check("", None);
        check("\n1", None);
        check(":1", None);
        check("%211", None);
        check("%2", None);
        check("a", None);
    }

    #[test]
    fn the_table_has_what_the_list_has_and_nothing_else() {
        for (bytes, shape) in SEPARATORS {
            let core = (!FULL_ONLY.contains(&bytes)).then_some(shape);
            assert_eq!(of_length::<true>(key(bytes), bytes.len()), Some(shape), "{bytes:?}");
            assert_eq!(of_length::<false>(key(bytes), bytes.len()), core, "{bytes:?}");
        }
        assert_eq!(of_length::<false>(0x3131_3131, 0), Some(Shape::Bare));
        // Every key of one and two bytes, and of three where the first is as in a separator.
        for (length, mask) in MASKS.into_iter().enumerate().skip(1) {
            let known =
                |key: u32| SEPARATORS.iter().any(|(bytes, _)| self::key(bytes) == key | of_bytes(length));
            let firsts: &[u32] = if length == 3 { &[0x20, 0x25, 0xE2, 0x2D, 0] } else { &[0x100] };
            for (first, rest) in
                firsts.iter().flat_map(|first| (0..=0xFFFF_u32).map(move |rest| (*first, rest)))
            {
                let key = if length == 3 { first | rest << 8 } else { rest & mask };
                assert_eq!(of_length::<true>(key, length).is_some(), known(key), "{key:x}");
            }
        }
    }
}
