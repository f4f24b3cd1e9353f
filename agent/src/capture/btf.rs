//! Where a member lies in a structure of the running kernel, from the types that it describes itself with.
//!
//! *Limits*: a table of types as the kernel's documentation on BTF describes it; one pass over the five megabytes of
//! them, nothing is kept. A member of a member without a name is not found.

use std::collections::HashMap;

/// Where the kernel describes its types.
pub(super) const KERNEL_TYPES: &str = "/sys/kernel/btf/vmlinux";
/// What such a description begins with, in the byte order of the machine.
const MAGIC: u16 = 0xeb9f;
/// The bytes that a type of any kind begins with: name, information, size or type.
const TYPE_BYTES: usize = 12;
const STRUCTURE: u32 = 4;

/// The members of the structures named, by both names, in bytes from the structure's start. Nothing of a description
/// that cannot be read.
pub(super) fn members<'a>(types: &'a [u8], structures: &[&str]) -> HashMap<(&'a str, &'a str), u32> {
    let mut found = HashMap::new();
    // What came before the place that cannot be read is right.
    let _ = collect(types, structures, &mut found);
    found
}

fn collect<'a>(
    types: &'a [u8],
    structures: &[&str],
    found: &mut HashMap<(&'a str, &'a str), u32>,
) -> Option<()> {
    let magic = u16::from_ne_bytes(types.get(..2)?.try_into().ok()?);
    if magic != MAGIC {
        return None;
    }
    let header_bytes = word(types, 4)?;
    let part = |at: usize| {
        let begin = (header_bytes as usize).checked_add(word(types, at)? as usize)?;
        types.get(begin..begin.checked_add(word(types, at + 4)? as usize)?)
    };
    let (mut rest, names) = (part(8)?, part(16)?);
    let name = |offset: u32| {
        let name = names.get(offset as usize..)?;
        std::str::from_utf8(&name[..name.iter().position(|&byte| byte == 0)?]).ok()
    };
    while !rest.is_empty() {
        let info = word(rest, 4)?;
        let (kind, count) = (info >> 24 & 0x1f, info as usize & 0xffff);
        let more = more_bytes(kind, count)?;
        let of = if kind == STRUCTURE { name(word(rest, 0)?)? } else { "" };
        if structures.contains(&of) {
            // With bit fields among them, the upper byte of a member's place is a width.
            let place_bits = if info >> 31 == 1 { 0x00ff_ffff } else { u32::MAX };
            for member in rest.get(TYPE_BYTES..TYPE_BYTES + more)?.chunks_exact(TYPE_BYTES) {
                // Of two structures with one name the first, which is the kernel's own.
                found.entry((of, name(word(member, 0)?)?)).or_insert((word(member, 8)? & place_bits) / 8);
            }
        }
        rest = rest.get(TYPE_BYTES + more..)?;
    }
    Some(())
}

/// What follows the beginning of a type: integers, arrays, structures, unions, enumerations, prototypes, variables,
/// sections, tags of declarations, enumerations of 64 bits; nothing follows the others.
fn more_bytes(kind: u32, count: usize) -> Option<usize> {
    Some(match kind {
        1 | 14 | 17 => 4,
        3 => 12,
        STRUCTURE | 5 | 15 | 19 => count * 12,
        6 | 13 => count * 8,
        2 | 7..=12 | 16 | 18 => 0,
        _ => return None,
    })
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two structures, the first with an integer before it; `second` has a bit field.
    fn sample() -> Vec<u8> {
        const NAMES: &[u8] = b"\0first\0a\0b\0second\0";
        let types: [&[u32]; 3] = [
            &[0, 1 << 24, 4, 32],
            &[1, STRUCTURE << 24 | 2, 16, 7, 1, 0, 9, 1, 64],
            &[11, 1 << 31 | STRUCTURE << 24 | 1, 8, 9, 1, 3 << 24 | 32],
        ];
        let types: Vec<u8> = types.concat().into_iter().flat_map(u32::to_ne_bytes).collect();
        let lengths = [24, 0, types.len(), types.len(), NAMES.len()].map(|it| u32::try_from(it).unwrap());
        let mut text = [&MAGIC.to_ne_bytes()[..], &[1, 0]].concat();
        text.extend(lengths.into_iter().flat_map(u32::to_ne_bytes));
        [&text[..], &types, NAMES].concat()
    }

    #[test]
    fn members_are_found_by_both_names() {
        let sample = sample();
        let found = members(&sample, &["first", "second"]);
        assert_eq!(found, HashMap::from([(("first", "a"), 0), (("first", "b"), 8), (("second", "b"), 4)]));
        assert_eq!(members(&sample, &["second"]).len(), 1);
    }

    #[test]
    fn what_is_cut_short_gives_what_came_before() {
        let sample = sample();
        for length in 0..sample.len() {
            assert!(members(&sample[..length], &["first", "second"]).len() <= 3, "{length}");
        }
        assert!(members(b"rubbish that is none", &["first"]).is_empty());
    }
}
